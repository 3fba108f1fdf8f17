"""The order of review: what teaches most first, and rows drawn at random evenly among them.

Worth is uncertainty, as the small margin between the two likeliest labels (Scheffer et al. 2001),
times the difference from all that is done or comes before: the first rows of a queue are not all of
one kind. Rows that are held out were drawn at random and keep their share of every stretch, so that
an estimate from them is honest whenever the reviewer stops.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from workshop.review_row import ReviewRow
from workshop.rows import ReviewStore

COMPARED = (
    400  # rows that are picked by their difference from those before; the rest by worth alone
)
UNKNOWN = 0.5  # uncertainty where no probability is known
LEAST_DIFFERENCE = 0.05  # so that among much the same the unsure ones still come first


def put_in_order(store: ReviewStore, task: str, seed: int = 0) -> int:
    """Order a task's pending rows; those marked as duplicates come last.

    Returns:
        how many there are.

    Raises:
        ReviewError: the store cannot be read or written.
    """
    pending = store.pending(task)
    marks = store.marks([row.id for row in pending])
    folded = {id for id, said in marks.items() if "duplicate" in said}
    store.put_in_order(task, ordered(pending, store.done(task), folded, seed))
    return len(pending)


def ordered(
    pending: Sequence[ReviewRow],
    done: Sequence[ReviewRow] = (),
    folded: Collection[str] = (),
    seed: int = 0,
) -> list[str]:
    """Ids of the pending rows, in the order of review.

    Args:
        folded: ids that come last.
        seed: of the order of those that were drawn at random.
    """
    open_rows = [row for row in pending if row.id not in folded]
    drawn = [row.id for row in open_rows if row.held_out]
    random.Random(seed).shuffle(drawn)
    others = [row for row in open_rows if not row.held_out]
    last = [row.id for row in pending if row.id in folded]
    return [*_mixed(_by_worth(others, done), drawn), *last]


def uncertainty(row: ReviewRow) -> float:
    """0 (sure) to 1: what the margin of the two likeliest labels leaves; 1 of a known error."""
    if row.why in {"disliked", "corrected", "rerouted"}:
        return 1.0
    if not row.labels:
        return UNKNOWN
    first, second = sorted([*row.labels.values(), 0.0], reverse=True)[:2]
    return 1.0 - (first - second)


def _by_worth(rows: Sequence[ReviewRow], done: Sequence[ReviewRow]) -> list[str]:
    """Greedily the row of most worth, each pick making what is like it worth less."""
    if not rows:
        return []
    vectors = _vectors([row.text for row in [*rows, *done]])
    new, old = vectors[: len(rows)], vectors[len(rows) :]
    unsure = np.array([uncertainty(row) for row in rows])
    like = (new @ old.T).max(axis=1).toarray().ravel() if done else np.zeros(len(rows))
    picked: list[int] = []
    left = np.ones(len(rows), dtype=bool)
    for _ in range(min(COMPARED, len(rows))):
        worth = np.where(left, unsure * np.maximum(1 - like, LEAST_DIFFERENCE), -1.0)
        best = int(worth.argmax())
        picked.append(best)
        left[best] = False
        like = np.maximum(like, (new @ new[best].T).toarray().ravel())
    worth = unsure * np.maximum(1 - like, LEAST_DIFFERENCE)
    rest = sorted(map(int, np.flatnonzero(left)), key=lambda place: -worth[place])
    return [rows[place].id for place in [*picked, *rest]]


def _vectors(texts: Sequence[str]) -> Any:
    """TF-IDF of the texts, sparse rows of length 1; texts without any word are unlike all."""
    from tasks.text_classifier import vectors

    return vectors().fit_transform([*texts, "a word"])[: len(texts)]


def _mixed(ids: Sequence[str], drawn: Sequence[str]) -> list[str]:
    """Both in their own order, with the same share of drawn ones everywhere."""
    places = [
        ((place + 0.5) / len(own), id) for own in (ids, drawn) for place, id in enumerate(own)
    ]
    return [id for _, id in sorted(places, key=lambda one: one[0])]
