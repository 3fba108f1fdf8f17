"""What speaks against rows: near-duplicates, labels that look wrong, evaluation rows, odd raters.

All of it is only marked: a person decides. `look_over` marks the rows of a task in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.near_texts import NearTexts
from tasks.spec import TaskSpec
from workshop.out_of_sample import OutOfSample, out_of_sample
from workshop.review_row import ReviewRow
from workshop.rows import ReviewStore

LIKELIER = 5.0  # times, from which another label is said to be the right one
MIN_RATED = 5  # rows of a rater from which something is said of them
RATER_LEVEL = 0.01  # of the test whether a rater disagrees more than the rest, for all of them


@dataclass(frozen=True)
class RaterAgreement:
    """How far a rater's rows agree with what the rows of all others predict.

    Attributes:
        rows: theirs that could be looked at, `against` of them by another label than predicted.
        rest: share (0 to 1) of the others' rows that are against.
        p: probability of so many or more if they disagreed as often as the rest (binomial test).
        odd: whether that is under 1% although all raters were looked at (Bonferroni).
    """

    rater: str
    rows: int
    against: int
    rest: float
    p: float
    odd: bool


@dataclass(frozen=True)
class LookedOver:
    """How many rows of a task were marked; `raters` are those with enough rows."""

    duplicates: int
    suspects: int
    in_evaluation: int
    raters: Sequence[RaterAgreement]


def look_over(
    store: ReviewStore, task: TaskSpec, judged: Mapping[str, Sequence[str]] | None = None
) -> LookedOver:
    """Mark a task's rows anew: by each other, and by the texts of evaluation sets.

    Args:
        judged: name of an evaluation set -> its texts. Rows that are held out count as one too.

    Raises:
        ReviewError: the store cannot be read or written.
        SetupError: the extra `evaluation` is not installed.
    """
    pending, done = store.pending(task.name), store.done(task.name)
    among = [row.id for row in [*done, *pending]]
    duplicates = near_duplicates(pending, done)
    held_out = [row for row in [*done, *pending] if row.held_out]
    sets = {**(judged or {}), "held-out rows": [row.text for row in held_out]}
    trained = [row for row in [*done, *pending] if not row.held_out]
    found = in_evaluation(trained, sets)
    others = out_of_sample([*done, *pending]) if task.kind == "choose" else None
    raters = rater_agreement(others) if others else []
    odd = {one.rater: f"{one.against} of {one.rows}" for one in raters if one.odd}
    wrong = suspects(others) if others else {}
    store.mark("duplicate", duplicates, among)
    store.mark("evaluation", found, among)
    store.mark("suspect", wrong, among)
    by_rater = {row.id: odd[row.rater] for row in [*done, *pending] if row.rater in odd}
    store.mark("rater", by_rater, among)
    return LookedOver(len(duplicates), len(wrong), len(found), raters)


def near_duplicates(rows: Sequence[ReviewRow], done: Sequence[ReviewRow] = ()) -> dict[str, str]:
    """Id of a row -> id of one that it repeats, among those done or before it in `rows`.

    Raises:
        SetupError: the extra `evaluation` is not installed.
    """
    known = [*done, *rows]
    texts = NearTexts(row.text for row in done)
    found: dict[str, str] = {}
    for row in rows:
        [like] = texts.find([row.text])
        texts.add([row.text])
        if like:
            found[row.id] = known[like.place].id
    return found


def in_evaluation(rows: Sequence[ReviewRow], judged: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Id of a row whose text is one of an evaluation set, exactly or nearly -> the set's name.

    Raises:
        SetupError: the extra `evaluation` is not installed.
    """
    names = [name for name, texts in judged.items() for _ in texts]
    known = NearTexts(text for texts in judged.values() for text in texts)
    likes = known.find([row.text for row in rows])
    return {row.id: names[like.place] for row, like in zip(rows, likes, strict=True) if like}


def suspects(found: OutOfSample) -> dict[str, str]:
    """Id of a row whose label looks wrong -> the likelier label.

    As in confident learning (Northcutt et al. 2021, arXiv 1911.00068) a label is held against
    probabilities of a model that has not seen it. Their thresholds, which `cleanlab` has, trust
    that model: on 1,000 film reviews, where the cheap one is right about two times in three, they
    marked a third of the rows. So another label has to be five times as likely as the given one.
    """
    likeliest = found.probabilities.argmax(axis=1)
    given = np.take_along_axis(found.probabilities, found.given[:, None], axis=1)[:, 0]
    wrong = found.probabilities.max(axis=1) >= LIKELIER * np.maximum(given, 1e-9)
    places = zip(found.rows, likeliest, wrong & (likeliest != found.given), strict=True)
    return {row.id: found.labels[best] for row, best, marked in places if marked}


def rater_agreement(found: OutOfSample) -> list[RaterAgreement]:
    """Each rater with enough rows, against what the others' rows predict; the oddest first."""
    against = found.probabilities.argmax(axis=1) != found.given
    raters = np.array([row.rater for row in found.rows])
    named = [
        str(name) for name in dict.fromkeys(raters) if name and sum(raters == name) >= MIN_RATED
    ]
    agreements = [_agreement(name, raters, against, len(named)) for name in named]
    return sorted(agreements, key=lambda one: one.p)


def _agreement(name: str, raters: np.ndarray, against: np.ndarray, tests: int) -> RaterAgreement:
    from scipy.stats import binomtest

    own = raters == name
    rest = float(against[~own].mean()) if (~own).any() else 0.0
    rows, wrong = int(own.sum()), int(against[own].sum())
    others = int((~own).sum())
    expected = (float(against[~own].sum()) + 1) / (others + 2)  # never quite 0 or 1
    p = float(binomtest(wrong, rows, expected, alternative="greater").pvalue)
    return RaterAgreement(
        name, rows, wrong, rest, p, others >= MIN_RATED and p * tests < RATER_LEVEL
    )
