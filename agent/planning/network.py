"""The planner's network: tokens -> what each asks for, and the plan's tasks in order.

Embedded n-grams, forms and words run through dilated convolutions (Strubell et al. 2017) with a
view of the whole request between them. One head tags each token; a GRU with attention writes the
plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agent.planning import features, words
from agent.planning.features import Features

EMBEDDING, WIDTH, HIDDEN = 64, 96, 96
DILATIONS = (1, 2, 4, 8, 16, 1, 2, 4)
GLOBAL_AFTER = 4  # how many convolutions come before the view of the whole
BEAM = 4


@dataclass(frozen=True)
class Batch:
    """Features of requests side by side.

    Attributes:
        rows, offsets, weights: of all tokens of all requests, behind each other.
        words, word_offsets: likewise, of the table of words.
        place: (tokens,) where each stands in the padded (requests, longest) grid.
        mask: (requests, longest) true where there is a token.
        before: (requests, names + 1) tasks of the turn before; the last is 1 without one.
    """

    rows: Tensor
    offsets: Tensor
    weights: Tensor
    words: Tensor
    word_offsets: Tensor
    place: Tensor
    mask: Tensor
    before: Tensor


def collate(found: Sequence[Features], before: Sequence[Sequence[int]], names: int) -> Batch:
    """Features of several requests, and the task numbers of the turn before each, as a batch."""
    lengths = [len(item.tokens) for item in found]
    longest = max(lengths)
    place = np.concatenate([i * longest + np.arange(n) for i, n in enumerate(lengths)])
    mask = np.arange(longest)[None] < np.array(lengths)[:, None]
    tasks = np.zeros((len(found), names + 1), np.float32)
    for index, numbers in enumerate(before):
        tasks[index, list(numbers) or [names]] = 1
    return Batch(
        rows=torch.from_numpy(np.concatenate([item.rows for item in found])),
        offsets=_offsets([(item.rows, item.offsets) for item in found]),
        weights=torch.from_numpy(np.concatenate([item.weights for item in found])),
        words=torch.from_numpy(np.concatenate([item.words for item in found])),
        word_offsets=_offsets([(item.words, item.word_offsets) for item in found]),
        place=torch.from_numpy(place),
        mask=torch.from_numpy(mask),
        before=torch.from_numpy(tasks),
    )


def _offsets(bags: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Tensor:
    """Where each token's rows begin when those of all requests stand behind each other."""
    begins = np.cumsum([0] + [len(rows) for rows, _ in bags])[:-1]
    return torch.from_numpy(
        np.concatenate([bag[1] + at for bag, at in zip(bags, begins, strict=True)])
    )


class Convolution(nn.Module):
    """One residual layer over neighbouring tokens."""

    def __init__(self, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(requests, tokens, WIDTH) of the same shape."""
        inside = self.norm(x) * mask[..., None]
        mixed = self.conv(inside.transpose(1, 2)).transpose(1, 2)
        out: Tensor = x + self.dropout(self.mix(nn.functional.gelu(mixed)))
        return out


class PlanNetwork(nn.Module):
    """Tags and plans.

    Args:
        names: task names and `again`, as plans are made of.
        tags: what a token can be.
    """

    def __init__(self, names: int, tags: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.names = names
        self.embed = nn.EmbeddingBag(features.ROWS, EMBEDDING, mode="sum")
        nn.init.normal_(self.embed.weight, std=0.3)
        self.words: nn.Module = nn.EmbeddingBag(len(words.vocabulary()), EMBEDDING, mode="mean")
        self.words.requires_grad_(False)
        self.widen = nn.Linear(EMBEDDING, WIDTH)
        self.before = nn.Linear(names + 1, WIDTH)
        self.layers = nn.ModuleList(Convolution(d, dropout) for d in DILATIONS)
        self.glance = nn.Linear(WIDTH, 4)
        self.whole = nn.Linear(4 * WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.tag = nn.Linear(WIDTH, tags)
        self.start = nn.Linear(WIDTH, HIDDEN)
        self.token = nn.Embedding(names + 1, HIDDEN)  # the last one begins
        self.cell = nn.GRUCell(HIDDEN + WIDTH, HIDDEN)
        self.query = nn.Linear(HIDDEN, WIDTH)
        self.out = nn.Linear(HIDDEN + WIDTH, names + 1)  # the last one ends
        self.dropout = nn.Dropout(dropout)

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States (requests, tokens, WIDTH) and tag logits (requests, tokens, tags)."""
        requests, longest = batch.mask.shape
        embedded = self.embed(batch.rows, batch.offsets, per_sample_weights=batch.weights)
        embedded = embedded + self.words(batch.words, batch.word_offsets)
        x = torch.zeros(requests * longest, WIDTH)
        x = x.index_copy(0, batch.place, self.widen(self.dropout(embedded)))
        x = x.view(requests, longest, WIDTH) + self.before(batch.before)[:, None]
        for index, layer in enumerate(self.layers):
            if index == GLOBAL_AFTER:
                x = x + self._whole(x, batch.mask)[:, None]
            x = layer(x, batch.mask)
        x = self.norm(x)
        return x, self.tag(x)

    def plan(self, states: Tensor, batch: Batch, written: Tensor) -> Tensor:
        """Logits (requests, steps, names + 1) of each next task after those that are written."""
        hidden, logits = self.begin(states, batch.mask), []
        for step in range(written.shape[1]):
            hidden, scores = self.step(hidden, written[:, step], states, batch.mask)
            logits.append(scores)
        return torch.stack(logits, 1)

    def begin(self, states: Tensor, mask: Tensor) -> Tensor:
        """The state before the first task."""
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        out: Tensor = torch.tanh(self.start(mean))
        return out

    def step(
        self, hidden: Tensor, last: Tensor, states: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The state after another task, and logits of the next."""
        context = self._attend(hidden, states, mask)
        hidden = self.cell(torch.cat([self.token(last), context], 1), hidden)
        context = self._attend(hidden, states, mask)
        return hidden, self.out(self.dropout(torch.cat([hidden, context], 1)))

    def _attend(self, hidden: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        scores = torch.einsum("bw,btw->bt", self.query(hidden), states) * WIDTH**-0.5
        weights = scores.masked_fill(~mask, -1e9).softmax(1)
        return torch.einsum("bt,btw->bw", weights, states)

    def _whole(self, x: Tensor, mask: Tensor) -> Tensor:
        weights = self.glance(x).masked_fill(~mask[..., None], -1e9).softmax(1)
        pooled = torch.einsum("btk,btw->bkw", weights, x)
        out: Tensor = self.whole(pooled.flatten(1))
        return out
