"""Labelled requests of instructions around real texts, for `python -m evaluation routing`.

    python -m benchmarks.pasted_requests tests/data/everyday 900 en:news.jsonl:text > requests.jsonl

The instructions are in the form of `agent/planning/patterns/`. Each file of texts comes with its
language and the field that holds them; texts stand as they are, in every place and kind of quote.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.planning import contents, patterns
from agent.planning.compose import CHAT, INTO, Composer
from agent.planning.contents import Content, Contents


class RealTexts(Contents):
    """Texts of files instead of the project's own; every kind of content is any of them."""

    def __init__(self, files: list[str]) -> None:
        self._texts = [content for file in files for content in texts(file)]

    def draw(self, rng: random.Random, kind: str | None = None, lang: str | None = None) -> Content:
        """Any text, of the language if there is one."""
        fitting = [text for text in self._texts if lang in {None, text.lang}]
        return rng.choice(fitting or self._texts)


class PlainComposer(Composer):
    """Leaves the texts as they are."""

    def _reshaped(self, content: Content) -> str:
        return content.text


def main(folder: str, count: str, *files: str) -> None:
    """Print the requests."""
    lines = patterns.read(Path(folder))
    asides = [line for line in patterns.read() if line.plan == (patterns.ASIDE,)]
    rng = random.Random(0)
    composer = PlainComposer([*lines, *asides], RealTexts(list(files)), contents.questions(), rng)
    left = int(count)
    while left:
        row = _row(composer, rng.choice(lines))
        if row is not None:
            left -= 1
            print(json.dumps(row, ensure_ascii=False))


def _row(composer: PlainComposer, line: patterns.Pattern) -> dict[str, Any] | None:
    """A labelled request; None where the plan needs what the composer left out."""
    item = composer.around(line)
    if (INTO in item.plan and item.target is None) or (item.plan[0] != CHAT and not item.content):
        return None
    steps = [
        {"task": task, "target_lang": item.target} if task == INTO else {"task": task}
        for task in item.plan
    ]
    kind = "compound" if len(item.plan) > 1 else item.plan[0]
    return {"text": item.text, "plan": steps, "kind": kind, "lang": item.lang}


def texts(file: str) -> Iterator[Content]:
    """The texts of a file given as `language:path:field`."""
    lang, path, field = file.split(":")
    for line in Path(path).read_text(encoding="utf-8").splitlines()[:250]:
        if line.strip():
            yield Content(json.loads(line)[field].strip(), lang)


if __name__ == "__main__":
    main(*sys.argv[1:])
