"""One clause of a request -> tasks with calibrated probabilities, and the nearest sample request.

Two views of a clause are weighed together by a logistic regression: the encoder's vector (meaning,
in the languages the encoder knows), and the wording (character n-grams and the tasks' cues, in any
language, which Chinese needs beside an English encoder). The training set is the tasks'
requests.yaml and samples.yaml. Where the wording alone leaves no doubt the encoder is not asked,
which spares most requests its milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import regex
import yaml
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from agent.planning import wording
from agent.planning.classifier import Float64s, load_or_fit
from agent.planning.encoder import SentenceEncoder
from tasks import languages
from tasks.spec import Requests, TaskSpec

SAMPLES_FILE = Path(__file__).with_name("samples.yaml")
ASIDE = "aside"
AGAIN = "again"
CUE_WEIGHT = 0.5  # beside n-gram vectors of length 1
# Probability by the wording alone from which the encoder is not asked; in Chinese an English
# encoder has little to add.
ENOUGH_WORDING, ENOUGH_WORDING_CHINESE = 0.9, 0.85


@dataclass(frozen=True)
class ClauseScores:
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

    def __init__(self, tasks: Mapping[str, TaskSpec], encoder: SentenceEncoder) -> None:
        self.encoder = encoder
        self._own_words = own_words(tasks)
        self._task_cues = {name: _cues(task) for name, task in tasks.items()}
        self._cues = [cue for cues in self._task_cues.values() for cue in cues]
        samples = {name: task.requests for name, task in tasks.items()} | _other_samples()
        pairs = [(text, name) for name, requests in samples.items() for text in requests.all()]
        self._samples = [text for text, _ in pairs]
        self._answers = np.array([name for _, name in pairs])
        self._names = [str(name) for name in np.unique(self._answers)]
        masked = [wording.mask(text, self._own_words) for text in self._samples]
        self._vectorizer = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, min_df=2, dtype=np.float32
        )
        self._vectorizer.fit(masked)
        grams = self._wording(masked)
        self._by_gram = grams.T.tocsr()
        key = [encoder.name, masked, pairs, [cue.pattern for cue in self._cues]]
        self._fit = load_or_fit(key, grams, self._answers, lambda: encoder.encode(masked))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error on samples left out of the fit, 0 to 1."""
        return float(self._fit.calibration_error[0])

    def score(self, clauses: Sequence[str]) -> list[ClauseScores]:
        """Score clauses, quoted content already masked, the doubtful ones in one batch."""
        if not clauses:
            return []
        masked = [wording.mask(clause, self._own_words) for clause in clauses]
        grams = self._wording(masked)
        rows = self._fit.quick(grams)
        alike = (grams @ self._by_gram).toarray()
        enough = [
            ENOUGH_WORDING_CHINESE if languages.HAN.search(text) else ENOUGH_WORDING
            for text in masked
        ]
        doubtful = np.flatnonzero(rows.max(axis=1) < enough)
        if len(doubtful):
            vectors = self.encoder.encode([masked[index] for index in doubtful])
            rows[doubtful] = self._fit.score(grams[doubtful], vectors)
            alike[doubtful] += vectors @ self._fit.vectors.T
        return [
            ClauseScores(clause, self._by_name(row), self._nearest(near))
            for clause, row, near in zip(clauses, rows, alike, strict=True)
        ]

    def quick(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Rough scores from the wording alone: cheap enough to tell requests from pasted text."""
        if not texts:
            return []
        masked = [wording.mask(text, self._own_words) for text in texts]
        return [self._by_name(row) for row in self._fit.quick(self._wording(masked))]

    def has_cue(self, task: str, text: str) -> bool:
        """Whether a cue of the task is in the text; True for a task that lists no cues."""
        cues = self._task_cues.get(task)
        masked = wording.mask(text, self._own_words)
        return not cues or any(cue.search(masked) for cue in cues)

    def _wording(self, texts: list[str]) -> csr_matrix:
        """N-grams and cues, sparse, (texts, n-grams + cues)."""
        hits = [[cue.search(text) is not None for cue in self._cues] for text in texts]
        columns = CUE_WEIGHT * np.array(hits, np.float32).reshape(len(texts), -1)
        return hstack([self._vectorizer.transform(texts), csr_matrix(columns)], format="csr")

    def _by_name(self, row: Float64s) -> dict[str, float]:
        return dict(zip(self._names, row.tolist(), strict=True))

    def _nearest(self, alike: Float64s) -> dict[str, str]:
        nearest: dict[str, str] = {}
        for index in np.argsort(-alike):
            name = str(self._answers[index])
            if name not in nearest:
                nearest[name] = self._samples[index]
                if len(nearest) == len(self._names):
                    break
        return nearest


def own_words(tasks: Mapping[str, TaskSpec]) -> frozenset[str]:
    """Words of fixed labels, in both languages: they say which task a list of choices is for."""
    words: set[str] = set()
    for task in tasks.values():
        if task.labels_slot is None:
            for label, name in task.labels.items():
                words |= {label.casefold(), name.en.casefold(), name.zh}
    return frozenset(words)


def _cues(task: TaskSpec) -> list[regex.Pattern[str]]:
    """One pattern per cue, so that the fit weighs each cue for itself."""
    return [regex.compile(cue, regex.I) for cues in task.cues.values() for cue in cues]


def _other_samples() -> dict[str, Requests]:
    values = yaml.safe_load(SAMPLES_FILE.read_text(encoding="utf-8"))
    return {name: Requests(**requests) for name, requests in values.items()}
