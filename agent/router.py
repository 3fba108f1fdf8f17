"""One clause of a request -> tasks with calibrated probabilities, and the nearest sample request.

Two views of a clause are weighed together by a logistic regression: the encoder's vector (meaning,
in the languages the encoder knows) and character n-grams (wording, in any language, which Chinese
needs beside an English encoder). The training set is the tasks' requests.yaml plus samples.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import regex
import yaml
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.special import log_softmax, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from agent import wording
from agent.encoder import Encoder, Vectors
from core import fingerprint, paths
from tasks.spec import Requests, TaskSpec

SAMPLES_FILE = Path(__file__).with_name("samples.yaml")
ASIDE = "aside"
AGAIN = "again"
STRENGTH = 20.0  # inverse regularization, chosen by cross-validation on the samples
FOLDS = 3
CUE_WEIGHT = 0.5
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """A clause's probabilities, by task name plus `aside` and `again`, and the nearest samples."""

    text: str
    scores: dict[str, float]
    nearest: dict[str, str]

    @property
    def top(self) -> str:
        """The likeliest name."""
        return max(self.scores, key=self.scores.__getitem__)


class Router:
    """Scores clauses. Reads only; safe to share between threads."""

    def __init__(self, tasks: Mapping[str, TaskSpec], encoder: Encoder) -> None:
        self._encoder = encoder
        self.own_words = own_words(tasks)
        samples = {name: task.requests for name, task in tasks.items()} | _other_samples()
        pairs = [(text, name) for name, requests in samples.items() for text in requests.all()]
        self._texts = [text for text, _ in pairs]
        masked = [wording.mask(text, self.own_words) for text in self._texts]
        self._answers = np.array([name for _, name in pairs])
        self._names = sorted(samples)
        self._grams = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, min_df=2, dtype=np.float32
        )
        self._task_cues = {name: _cues(task) for name, task in tasks.items()}
        self._cues = [cue for cues in self._task_cues.values() for cue in cues]
        grams = self._with_cues(masked, self._grams.fit_transform(masked))
        self._vectors = _cached_vectors(masked, encoder)
        self._gram_rows = grams
        self._quick = _fit(grams, self._answers)
        both = _join(grams, self._vectors)
        self._model = _fit(both, self._answers)
        self.temperature, self.calibration_error = _calibrate(both, self._answers)

    def score(self, clauses: Sequence[str]) -> list[Scored]:
        """Score clauses, quoted content already masked, in one batch."""
        if not clauses:
            return []
        masked = [wording.mask(clause, self.own_words) for clause in clauses]
        vectors = self._encoder.encode(masked)
        grams = self._with_cues(masked, self._grams.transform(masked))
        logits = self._model.decision_function(_join(grams, vectors)) / self.temperature
        alike = vectors @ self._vectors.T + (grams @ self._gram_rows.T).toarray()
        return [
            Scored(clause, self._by_name(row), self._nearest(near))
            for clause, row, near in zip(clauses, softmax(logits, axis=1), alike, strict=True)
        ]

    def quick(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Rough scores from the wording alone: cheap enough to tell requests from pasted text."""
        if not texts:
            return []
        masked = [wording.mask(text, self.own_words) for text in texts]
        grams = self._with_cues(masked, self._grams.transform(masked))
        rows = self._quick.predict_proba(grams)
        return [self._by_name(row) for row in rows]

    def has_cue(self, task: str, text: str) -> bool:
        """Whether a cue of the task is in the text; True for a task that lists no cues."""
        cues = self._task_cues.get(task)
        masked = wording.mask(text, self.own_words)
        return not cues or any(cue.search(masked) for cue in cues)

    def _with_cues(self, texts: list[str], grams: csr_matrix) -> csr_matrix:
        hits = [[cue.search(text) is not None for cue in self._cues] for text in texts]
        columns = CUE_WEIGHT * np.array(hits, np.float32).reshape(len(texts), -1)
        return hstack([grams, csr_matrix(columns)], format="csr")

    def _by_name(self, row: Floats) -> dict[str, float]:
        return {str(name): float(p) for name, p in zip(self._model.classes_, row, strict=True)}

    def _nearest(self, alike: Floats) -> dict[str, str]:
        found = {}
        for name in self._names:
            rows = np.flatnonzero(self._answers == name)
            found[name] = self._texts[rows[int(np.argmax(alike[rows]))]]
        return found


def own_words(tasks: Mapping[str, TaskSpec]) -> frozenset[str]:
    """Words of fixed labels, in both languages: they say which task a list of choices is for."""
    words = set()
    for task in tasks.values():
        if not any(slot.type == "labels" for slot in task.slots.values()):
            for label, name in task.labels.items():
                words |= {label.casefold(), name.en.casefold(), name.zh}
    return frozenset(words)


def _cues(task: TaskSpec) -> list[regex.Pattern[str]]:
    """One pattern per cue, so that the fit weighs each cue for itself."""
    return [regex.compile(cue, regex.I) for cues in task.cues.values() for cue in cues]


def _other_samples() -> dict[str, Requests]:
    values = yaml.safe_load(SAMPLES_FILE.read_text(encoding="utf-8"))
    return {name: Requests(**requests) for name, requests in values.items()}


def _join(grams: csr_matrix, vectors: Vectors) -> csr_matrix:
    return hstack([grams, csr_matrix(vectors)], format="csr")


def _fit(features: csr_matrix, answers: NDArray[np.str_]) -> LogisticRegression:
    return LogisticRegression(C=STRENGTH, max_iter=100, tol=1e-3).fit(features, answers)


def _calibrate(features: csr_matrix, answers: NDArray[np.str_]) -> tuple[float, float]:
    """The temperature that makes unseen samples' probabilities true, and the error left (ECE)."""
    logits = np.zeros((len(answers), len(set(answers))))
    names = np.unique(answers)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(logits, answers):
        logits[test] = _fit(features[train], answers[train]).decision_function(features[test])
    right = np.searchsorted(names, answers)
    losses = {
        float(t): -log_softmax(logits / t, axis=1)[np.arange(len(right)), right].mean()
        for t in np.geomspace(0.3, 5, 40)
    }
    best = min(losses, key=losses.__getitem__)
    probabilities = softmax(logits / best, axis=1)
    return best, calibration_error(probabilities.max(1), probabilities.argmax(1) == right)


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: mean gap between confidence and accuracy, over equal bins."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        (which == b).mean() * abs(confidence[which == b].mean() - correct[which == b].mean())
        for b in np.unique(which)
    ]
    return float(sum(gaps))


def _cached_vectors(texts: list[str], encoder: Encoder) -> Vectors:
    """The samples' vectors, kept in the cache folder so that only a first start encodes them."""
    file = paths.cache_dir() / "router" / f"{fingerprint.of_value([encoder.name, texts])}.npy"
    try:
        vectors: Vectors = np.load(file, allow_pickle=False)
        if len(vectors) == len(texts):
            return vectors
    except (OSError, ValueError, EOFError):
        pass  # not there, or damaged: made again below
    vectors = encoder.encode(texts)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npy")
        np.save(part, vectors)
        part.replace(file)
    except OSError:
        pass  # a cache that cannot be written only costs the next start a few seconds
    return vectors
