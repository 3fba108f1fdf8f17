"""The router's decision: fitted to the sample requests, calibrated, kept in the cache folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from core import fingerprint, paths
from core.calibration import calibration_error

VERSION = 3  # of the method; another one makes every start fit again
STRENGTH = 20.0  # inverse regularization, chosen by cross-validation on the samples
FOLDS = 3
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """What was learned from n samples with d-dimensional vectors and g n-grams and cues.

    Attributes:
        vectors: (n, d), the samples' own.
        weights: (names, g + d), and bias (names,): the decision.
        quick_weights: (names, g), and quick_bias: a rougher one that needs no vectors.
        temperatures: (2,), what each decision's logits are divided by to make probabilities.
        calibration_error: (2,), expected calibration error on samples left out, 0 to 1.
    """

    vectors: Vectors
    weights: Floats
    bias: Floats
    quick_weights: Floats
    quick_bias: Floats
    temperatures: Floats
    calibration_error: Floats

    def score(self, grams: csr_matrix, vectors: Vectors) -> Floats:
        """Probabilities, (texts, names)."""
        split = grams.shape[1]
        logits = grams @ self.weights[:, :split].T + vectors @ self.weights[:, split:].T
        return _softmax((logits + self.bias) / self.temperatures[0])

    def quick(self, grams: csr_matrix) -> Floats:
        """Probabilities by the wording alone, (texts, names)."""
        return _softmax((grams @ self.quick_weights.T + self.quick_bias) / self.temperatures[1])


def fitted(
    key: Sequence[object],
    grams: csr_matrix,
    answers: NDArray[np.str_],
    encode: Callable[[], Vectors],
) -> Fit:
    """The fit for these samples: read from the cache, else made and kept there.

    Args:
        key: everything the fit depends on, JSON-able.
        grams: (n, g) n-grams and cues of the samples.
        answers: the n names.
        encode: makes the samples' vectors when they are needed.
    """
    file = paths.cache_dir() / "router" / f"{fingerprint.of_value([VERSION, *key])}.npz"
    kept = _read(file, len(answers), grams.shape[1])
    if kept is not None:
        return kept
    made = _make(grams, answers, encode())
    _write(file, made)
    return made


def _make(grams: csr_matrix, answers: NDArray[np.str_], vectors: Vectors) -> Fit:
    both = hstack([grams, csr_matrix(vectors)], format="csr")
    full, quick = _regression(both, answers), _regression(grams, answers)
    measured = [_calibrate(both, answers), _calibrate(grams, answers)]
    return Fit(
        vectors,
        full.coef_,
        full.intercept_,
        quick.coef_,
        quick.intercept_,
        np.array([temperature for temperature, _ in measured]),
        np.array([error for _, error in measured]),
    )


def _regression(features: csr_matrix, answers: NDArray[np.str_]) -> LogisticRegression:
    names, counts = np.unique(answers, return_counts=True)
    # A new skill has a dozen samples beside hundreds; weigh it up, but not to equality.
    heft = {name: float(np.sqrt(counts.max() / n)) for name, n in zip(names, counts, strict=True)}
    model = LogisticRegression(C=STRENGTH, max_iter=100, tol=1e-3, class_weight=heft)
    return model.fit(features, answers)


def _calibrate(features: csr_matrix, answers: NDArray[np.str_]) -> tuple[float, float]:
    """The temperature that makes left-out samples' probabilities true, and the error left."""
    names = np.unique(answers)
    logits = np.zeros((len(answers), len(names)))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(logits, answers):
        model = _regression(features[train], answers[train])
        logits[test] = model.decision_function(features[test])
    right = np.searchsorted(names, answers)
    rows = np.arange(len(right))
    losses = {
        float(t): -log_softmax(logits / t, axis=1)[rows, right].mean()
        for t in np.geomspace(0.3, 5, 40)
    }
    best = min(losses, key=losses.__getitem__)
    found = softmax(logits / best, axis=1)
    return best, calibration_error(found.max(axis=1), found.argmax(axis=1) == right)


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _read(file: Path, samples: int, grams: int) -> Fit | None:
    """A kept fit; None when there is none, or it is damaged or of another shape."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            fit = Fit(**{field.name: kept[field.name] for field in fields(Fit)})
    except (OSError, ValueError, KeyError, EOFError):
        return None
    right = len(fit.vectors) == samples and fit.quick_weights.shape[1] == grams
    return fit if right else None


def _write(file: Path, fit: Fit) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.stem}.part.npz")
        np.savez(part, **asdict(fit))
        part.replace(file)
    except OSError:
        return  # without a cache the next start fits again, which takes some seconds
