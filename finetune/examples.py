"""Rows to token ids: the task's own prompt, the answer that serving would score or generate."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from core.errors import InputError
from tasks.rows import Row
from tasks.spec import Message, TaskSpec

# Share of the label lists in which two labels are one, like "science/technology".
JOINED_SHARE = 0.15
COUNTED_TEXTS = 1000  # that are tokenized at one time
JOINTS = ("/", " and ", " or ")

PromptIds = Callable[[Sequence[Message]], list[int]]


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt and of the whole answer, its end-of-turn token included."""

    prompt: list[int]
    answer: list[int]
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class ExampleEncoder:
    """Makes examples with the code that serves: `TaskSpec.messages` and `ChatTemplate.prompt_ids`.

    Attributes:
        task: the skill.
        prompt_ids: messages -> token ids of the prompt.
        answer_ids: answers -> token ids of each, without the end.
        end: the end-of-turn token.
    """

    task: TaskSpec
    prompt_ids: PromptIds
    answer_ids: Callable[[Sequence[str]], list[list[int]]]
    end: int

    def example(self, row: Row, labels: Sequence[str] = (), weight: float = 1.0) -> Example:
        """The row as token ids. `labels` is the label list the prompt shows (choose tasks)."""
        try:
            fills = self.task.fills(row.slots, labels)
        except InputError as error:
            raise InputError(f"line {row.line}: {error}") from error
        messages = self.task.messages(row.text, fills, row.history)
        (answer,) = self.answer_ids([row.answer])
        return Example(self.prompt_ids(messages), [*answer, self.end], weight)

    def counted(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with the number of their tokens, without what the prompt adds to every row."""
        texts = [[*(t["content"] for t in row.history), row.text, row.answer] for row in rows]
        flat = chain.from_iterable(texts)
        # A tokenizer holds much more than the ids of all that it is given at one time.
        parts = iter(lambda: list(islice(flat, COUNTED_TEXTS)), [])
        lengths = (len(ids) for part in parts for ids in self.answer_ids(part))
        counts = [sum(islice(lengths, len(own))) for own in texts]
        return [replace(row, tokens=count) for row, count in zip(rows, counts, strict=True)]


def label_list_batches(
    rows: Sequence[Row], size: int, list_sizes: tuple[int, int], rng: random.Random
) -> list[tuple[list[Row], list[str]]]:
    """Batches of rows with a shared label list, drawn anew: which labels, their order and style.

    The model can then read the list instead of knowing one by heart. Now and then two labels are
    joined to one. One list a batch lets its rows share the work of reading it.

    Args:
        rows: all of one data set.
        size: most rows in a batch.
        list_sizes: fewest and most labels in a list.
        rng: draws everything.

    Returns:
        (rows with their answer restyled, label list) for every batch; each row once.
    """
    queues: dict[str, list[Row]] = {}
    for row in rng.sample(list(rows), len(rows)):
        queues.setdefault(row.answer, []).append(row)
    names = list(queues)
    batches = []
    while left := [name for name in names if queues[name]]:
        count = min(rng.randint(*list_sizes), len(names))
        drawn = _draw(left, [len(queues[name]) for name in left], count, rng)
        drawn += rng.sample([n for n in names if n not in drawn], count - len(drawn))
        style = rng.choice(LABEL_STYLES)
        shown_as = {name: style(name) for name in drawn}
        if len(drawn) > 2 and rng.random() < JOINED_SHARE:
            one, other = rng.sample(drawn, 2)
            shown_as[one] = shown_as[other] = rng.choice(JOINTS).join(
                (shown_as[one], shown_as[other])
            )
        batch = _take(queues, drawn, size, rng)
        labels = list(dict.fromkeys(rng.sample(list(shown_as.values()), len(shown_as))))
        batches.append(([replace(row, answer=shown_as[row.answer]) for row in batch], labels))
    return batches


def own_label_list(
    row: Row, list_sizes: tuple[int, int], rng: random.Random
) -> tuple[Row, list[str]]:
    """A row that brings its own label list, with a part of that list, in another order and style.

    Args:
        row: its answer is among its labels.
        list_sizes: fewest and most labels in the list.
        rng: draws everything.

    Returns:
        the row with its answer restyled, and the label list.
    """
    others = [label for label in row.labels if label != row.answer]
    # Half of the lists are whole: few labels are easy, and people bring what they have.
    count = len(others) if rng.random() < 0.5 else rng.randint(1, len(others))
    drawn = [row.answer, *rng.sample(others, min(count, max(1, list_sizes[1] - 1)))]
    styles = LABEL_STYLES if all(label.isascii() for label in drawn) else LABEL_STYLES[:1]
    style = rng.choice(styles)
    shown = [style(label) for label in drawn]
    return replace(row, answer=shown[0]), rng.sample(list(dict.fromkeys(shown)), len(set(shown)))


def _draw(names: list[str], weights: list[int], count: int, rng: random.Random) -> list[str]:
    """Up to `count` distinct names, the frequent ones rather."""
    keys = {name: rng.random() ** (1 / weight) for name, weight in zip(names, weights, strict=True)}
    return sorted(names, key=lambda name: -keys[name])[:count]


def _take(
    queues: dict[str, list[Row]], names: list[str], size: int, rng: random.Random
) -> list[Row]:
    batch: list[Row] = []
    while len(batch) < size and (left := [name for name in names if queues[name]]):
        (name,) = rng.choices(left, [len(queues[n]) for n in left])
        batch.append(queues[name].pop())
    return batch


def _words(label: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label.replace("_", " "))
    return spaced.split()


def _plain_label(label: str) -> str:
    return " ".join(_words(label)).lower()


def _titled(label: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in _words(label))


def _camel(label: str) -> str:
    return _titled(label).replace(" ", "")


LABEL_STYLES: list[Callable[[str], str]] = [str, _plain_label, _titled, _camel]
