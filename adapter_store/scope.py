"""What an adapter was trained for, so that it answers nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks import languages

# Letters from which the language of a text can be told from others of its script.
TELLABLE_LETTERS = 40
JOINED_LETTERS = 5 * TELLABLE_LETTERS  # of short texts taken together
# From either, a language counts as trained for.
LEAST_SHARE = 0.05  # of the texts
ENOUGH_TEXTS = 200


class Scope(BaseModel):
    """The steps an adapter was trained for. An empty one says nothing and covers everything.

    Attributes:
        slots: slot -> the values it had in training (translation: languages).
        labels: the only label list it knows, as prompts say it; None when it knows others.
        among: the labels it has seen, where these were too few to learn to read any list.
        languages: ISO 639-1 codes of the texts.
        any_task: whether it also answers for tasks without an adapter of their own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    slots: dict[str, list[str]] = {}
    labels: list[str] | None = None
    among: list[str] | None = None
    languages: list[str] = []
    any_task: bool = False

    def covers(self, slots: Mapping[str, Any], labels: Iterable[str], text: str) -> bool:
        """Whether a step is of the kind trained for.

        Args:
            slots: the step's slot values.
            labels: the labels its prompt shows; none for a `write` task.
            text: its content.
        """
        if any(slots.get(name) not in values for name, values in self.slots.items()):
            return False
        if self.labels is not None and set(labels) != set(self.labels):
            return False
        if self.among is not None and not set(labels) <= set(self.among):
            return False
        return not self.languages or self._knows_language(text)

    def _knows_language(self, text: str) -> bool:
        guess = languages.detect(text, self.languages[0])
        if guess in self.languages:
            return True
        # In a few words English may look Dutch; it never looks Chinese.
        uncertain = guess not in languages.LANGUAGE_SCRIPTS and len(text) < TELLABLE_LETTERS
        return uncertain and any(code not in languages.LANGUAGE_SCRIPTS for code in self.languages)


def languages_of(texts: Iterable[str]) -> list[str]:
    """ISO 639-1 codes of the languages that texts are in, the most frequent first."""
    counts = Counter(languages.detect(text) for text in _tellable(texts))
    enough = min(LEAST_SHARE * counts.total(), ENOUGH_TEXTS)
    return [code for code, count in counts.most_common() if count >= enough]


def _tellable(texts: Iterable[str]) -> Iterator[str]:
    """The texts, short ones joined until their language can be told."""
    joined = ""
    for text in texts:
        if len(text) >= TELLABLE_LETTERS:
            yield text
        elif len(joined := f"{joined}{text}. ") >= JOINED_LETTERS:
            yield joined
            joined = ""
    if joined:
        yield joined
