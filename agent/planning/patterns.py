"""Instruction patterns: what people write around a content, by plan and language.

A file of `patterns/` has, under a heading with a plan, a pattern a line. Plans are letters in the
order of doing (`S>T`: summarize, then translate), `again` for the plan of the turn before, and `A`
for what asks for nothing. In a pattern

- `(a|b|)` is one of several wordings,
- `{text}` is where the content stands; without it, it stands below, above or behind,
- `{lang}`, `{labels}` and the other blanks of `blanks.py` are filled in,
- `{none}` in front says that no content comes with it,
- `<T ...>` asks for that step; the rest for the plan's first step that no such words ask for.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import regex

from tasks.spec import TaskSpec

FOLDER = Path(__file__).with_name("patterns")
LETTERS = {
    "G": "generation",
    "T": "translation",
    "S": "summarization",
    "M": "sentiment",
    "C": "classification",
}
AGAIN, ASIDE, CONTENT = "again", "aside", "content"
Pieces = list[tuple[str, str]]  # words with the tag of what they ask for
HEADING = regex.compile(r"\[([GTSMC>]+|again|A)\]")
WORDINGS = regex.compile(r"\(([^()]*)\)")
SEGMENT = regex.compile(r"<([GTSMCA]) ([^<>]*)>")
ALONE = "{none}"
HOLD_OUT = 10  # one pattern and one content in so many is kept out of training


@dataclass(frozen=True)
class Pattern:
    """A line of a patterns file with its plan and language.

    Attributes:
        short: a clause that can follow another, such as "then sum it up".
    """

    line: str
    plan: tuple[str, ...]
    lang: str
    short: bool = False

    @property
    def alone(self) -> bool:
        """Whether no content comes with it."""
        return self.line.startswith(ALONE)

    def wording(self, rng: random.Random) -> Pieces:
        """One of its wordings as pieces, marks such as `{lang}` still in them."""
        line = self.line.removeprefix(ALONE)
        while WORDINGS.search(line):
            line = WORDINGS.sub(lambda match: rng.choice(match[1].split("|")), line)
        segments = list(SEGMENT.finditer(line))
        named = {LETTERS.get(match[1]) for match in segments}
        rest = next((task for task in self.plan if task not in named), self.plan[0])
        pieces: Pieces = []
        end = 0
        for match in segments:
            pieces += [(line[end : match.start()], rest)]
            pieces += [(match[2], LETTERS.get(match[1], ASIDE))]
            end = match.end()
        pieces.append((line[end:], rest))
        return [(words, tag) for words, tag in pieces if words]


def is_held_out(text: str) -> bool:
    """Whether a pattern or content is for measuring only, which its text alone decides."""
    return zlib.crc32(text.encode()) % HOLD_OUT == 0


def read(folder: Path = FOLDER) -> list[Pattern]:
    """Every pattern of every language."""
    return [pattern for file in sorted(folder.glob("*.txt")) for pattern in _read_file(file)]


def of_samples(tasks: Mapping[str, TaskSpec]) -> list[Pattern]:
    """The tasks' own sample requests as patterns; content and particulars become their marks."""
    return [
        _of_sample(sample, name, lang)
        for name in LETTERS.values()
        for lang, samples in (("en", tasks[name].requests.en), ("zh", tasks[name].requests.zh))
        for sample in samples
        if "\n" not in sample and len(sample) < 160
    ]


def _of_sample(sample: str, task: str, lang: str) -> Pattern:
    line = sample.replace("“…”", "{text}")
    line = line.replace("(", "").replace(")", "").replace("|", "/").replace("<", "")
    plan: tuple[str, ...] = (task,)
    if task == LETTERS["C"]:
        line = regex.sub(r"A, B,? (?:or|and) C|甲、乙(?:还是|或|和|、)丙", "{labels}", line)
        line = regex.sub(r"\bA or B\b|甲还是乙", "{pair}", line)
    elif task in {LETTERS["T"], LETTERS["G"]}:
        line = regex.sub(
            r"\bFrench\b(?! (?:person|people|team|customer|films))|法语", "{lang}", line
        )
    elif task == LETTERS["S"] and regex.search("French|法语", line):
        line = regex.sub(r"((?:in|into|to) |用|成)?(French|法语)", r"<T \1{lang}>", line)
        plan = (task, LETTERS["T"])
    return Pattern(line, plan, lang, short=True)


def _read_file(file: Path) -> Iterator[Pattern]:
    plan: tuple[str, ...] = ()
    for line in file.read_text(encoding="utf-8").splitlines():
        heading = HEADING.fullmatch(line)
        if heading:
            plan = _plan(heading[1])
        elif line and not line.startswith("#"):
            yield Pattern(line, plan, file.stem)


def _plan(heading: str) -> tuple[str, ...]:
    if heading in {AGAIN, "A"}:
        return (AGAIN,) if heading == AGAIN else (ASIDE,)
    return tuple(LETTERS[letter] for letter in heading.split(">"))
