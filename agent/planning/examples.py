"""What the planner's network is trained on: features of requests with the tags and plans wanted."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent.feedback.store import Correction
from agent.planning import contents, features, patterns
from agent.planning.compose import Composed, Composer
from agent.planning.contents import Contents
from agent.planning.features import Features
from agent.planning.network import Batch, collate
from agent.planning.patterns import AGAIN, ASIDE, CONTENT, LETTERS
from tasks.spec import TaskSpec

NAMES = (*LETTERS.values(), AGAIN)
TAGS = (CONTENT, ASIDE, *NAMES)
END = len(NAMES)
UNKNOWN = -100  # a tag or step that is not learnt from


@dataclass(frozen=True)
class Example:
    """A request as numbers: a tag for each token, the plan's tasks, those of the turn before."""

    features: Features
    tags: list[int]
    plan: list[int]
    before: list[int]


@dataclass(frozen=True)
class ExampleBatch:
    """Examples side by side.

    Attributes:
        inputs: what the network reads.
        tags: (requests, longest).
        written: (requests, steps) the tasks that each step comes after.
        wanted: (requests, steps) the tasks of each step, then the end.
    """

    inputs: Batch
    tags: Tensor
    written: Tensor
    wanted: Tensor


def composer(tasks: Mapping[str, TaskSpec], seed: int, held_out: bool = False) -> Composer:
    """A composer over the patterns and contents for training, or over those kept out of it."""
    lines = [
        line
        for line in patterns.read() + patterns.of_samples(tasks)
        if line.plan in {(AGAIN,), (ASIDE,)} or patterns.is_held_out(line.line) == held_out
    ]
    return Composer(lines, Contents(held_out), contents.questions(held_out), random.Random(seed))


def of_composed(item: Composed) -> Example:
    """A composed request, every token with its tag."""
    found = features.of(item.text)
    ends = np.cumsum([len(words) for words, _ in item.pieces])
    places = np.searchsorted(ends, [token.start for token in found.tokens], side="right")
    tags = [TAGS.index(item.pieces[int(place)][1]) for place in places]
    return Example(found, tags, _numbers(item.plan), _numbers(item.before or ()))


def of_labelled(text: str, plan: Sequence[str], before: Sequence[str] = ()) -> Example:
    """A request of which only the plan is known."""
    found = features.of(text)
    tags = [UNKNOWN] * len(found.tokens)
    return Example(found, tags, _numbers(list(dict.fromkeys(plan))), _numbers(before))


def read_labelled(file: Path) -> list[Example]:
    """First requests of a file of labelled ones; a follow-up's turn before has no label there."""
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line
    ]
    return [
        of_labelled(row["text"], [step["task"] for step in row["plan"]])
        for row in rows
        if not row.get("history")
    ]


def of_corrections(rows: Iterable[Correction]) -> list[Example]:
    """Routes that somebody corrected, to tasks that the planner knows."""
    return [
        of_labelled(row.request, row.tasks, [name for name in row.follows if name in NAMES])
        for row in rows
        if set(row.tasks) <= set(NAMES)
    ]


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> Iterator[ExampleBatch]:
    """Batches of requests of like length, in random order."""
    near = [len(example.features.tokens) + 8 * rng.random() for example in examples]
    order = sorted(range(len(examples)), key=near.__getitem__)
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    rng.shuffle(groups)
    for group in groups:
        yield together([examples[index] for index in group])


def together(examples: Sequence[Example]) -> ExampleBatch:
    """One batch of all."""
    inputs = collate(
        [example.features for example in examples],
        [example.before for example in examples],
        len(NAMES),
    )
    steps = max(len(example.plan) for example in examples) + 1
    tags = np.full(tuple(inputs.mask.shape), UNKNOWN)
    written = np.full((len(examples), steps), END)
    wanted = np.full((len(examples), steps), UNKNOWN)
    for row, example in enumerate(examples):
        tags[row, : len(example.tags)] = example.tags
        written[row, 1 : len(example.plan) + 1] = example.plan
        wanted[row, : len(example.plan) + 1] = [*example.plan, END]
    return ExampleBatch(
        inputs, torch.from_numpy(tags), torch.from_numpy(written), torch.from_numpy(wanted)
    )


def _numbers(names: Sequence[str]) -> list[int]:
    return [NAMES.index(name) for name in names]
