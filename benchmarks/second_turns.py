"""Labelled second turns after instructions around real texts, for `python -m evaluation routing`.

    python -m benchmarks.second_turns en:NEWS:text --questions en:CHAT:instruction > turns.jsonl

Every first turn is one of `tests/data/everyday` around a text. Half of the second turns refer back
(`tests/data/follow_ups.jsonl`); the others are questions that stand by themselves, of the files
named behind `--questions`, and are conversation.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

from agent.planning import contents, patterns
from agent.planning.patterns import LETTERS, Pattern
from benchmarks.pasted_requests import PlainComposer, RealTexts, texts

DATA = Path(__file__).parent.parent / "tests" / "data"
FIRST = [("S",), ("T",), ("M",), ("C",), ("G",), ("S", "T")]
COPIES = 8  # of each follow-up, after other first turns


def main(files: list[str], questions: list[str]) -> None:
    """Print the turns."""
    rng = random.Random(0)
    first = FirstTurns(files, rng)
    follow_ups = (DATA / "follow_ups.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, follow_ups * COPIES):
        history = first.after(tuple(row["after"]), row["lang"])
        _print(row["text"], history, row["plan"], "refers back", row["lang"])
    asked = [text for file in questions for text in texts(file)]
    for question in asked:
        plan = tuple(LETTERS[letter] for letter in rng.choice(FIRST))
        history = first.after(plan, question.lang)
        chat = [{"task": LETTERS["G"]}]
        _print(question.text, history, chat, "stands by itself", question.lang)


class FirstTurns:
    """Draws first exchanges: an everyday instruction with its text, and an answer."""

    def __init__(self, files: list[str], rng: random.Random) -> None:
        asides = [line for line in patterns.read() if line.plan == (patterns.ASIDE,)]
        self._rng, self._pool = rng, RealTexts(files)
        self._lines = patterns.read(DATA / "everyday")
        lines = [*self._lines, *asides]
        self._composer = PlainComposer(lines, self._pool, contents.questions(), rng)

    def after(self, plan: tuple[str, ...], lang: str) -> list[dict[str, str]]:
        """The two messages of an exchange with that plan; in English where there is no other."""
        asked = self._composer.around(
            self._rng.choice(self._of(plan, lang) or self._of(plan, "en"))
        )
        answer = "\n\n".join(self._answer(task, asked.content or asked.text) for task in plan)
        return [
            {"role": "user", "content": asked.text},
            {"role": "assistant", "content": answer},
        ]

    def _of(self, plan: tuple[str, ...], lang: str) -> list[Pattern]:
        return [line for line in self._lines if (line.plan, line.lang) == (plan, lang)]

    def _answer(self, task: str, content: str) -> str:
        if task == LETTERS["M"]:
            return self._rng.choice(["positive", "negative"])
        if task == LETTERS["C"]:
            return self._rng.choice(["sports", "business", "体育"])
        text = content if task == LETTERS["S"] else self._pool.draw(self._rng).text
        return contents.within_a_sentence(text)


def _print(text: str, history: list[dict[str, str]], plan: list[Any], kind: str, lang: str) -> None:
    row = {"text": text, "history": history, "plan": plan, "kind": kind, "lang": lang}
    print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    arguments, _, questions_of = " ".join(sys.argv[1:]).partition(" --questions ")
    main(arguments.split(), questions_of.split())
