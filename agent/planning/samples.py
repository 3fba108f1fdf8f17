"""The tasks' sample requests: the nearest to what is asked, and skills that the planner never saw.

A skill added after the planner was trained is told from the others by the character n-grams of its
samples, in a logistic regression fitted when it is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import regex
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tasks import languages
from tasks.spec import TaskSpec

STRENGTH = 20.0  # inverse regularization


class Samples:
    """What each task's samples look like. Reads only; safe to share between threads.

    Args:
        tasks: all tasks, by name.
        known: those that the planner was trained for.
    """

    def __init__(self, tasks: Mapping[str, TaskSpec], known: Collection[str]) -> None:
        pairs = [(text, name) for name, task in tasks.items() for text in task.requests.all()]
        self._texts = [text for text, _ in pairs]
        self._names = np.array([name for _, name in pairs])
        self._vectorizer = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, min_df=2, dtype=np.float32
        )
        vectors = self._vectorizer.fit_transform([_masked(text) for text in self._texts])
        self._vectors: csr_matrix = vectors.T.tocsr()
        self._new = {
            name: _told_apart(vectors, self._names == name) for name in tasks if name not in known
        }

    def nearest(self, task: str, asked: str) -> str:
        """The task's sample most like what is asked; empty where it has none."""
        alike = (self._vectorizer.transform([_masked(asked)]) @ self._vectors).toarray()[0]
        alike[self._names != task] = -1
        best = int(alike.argmax())
        return self._texts[best] if self._names[best] == task else ""

    def new_skill(self, asked: str) -> tuple[str, float] | None:
        """A skill the planner was not trained for that is asked for, with its probability."""
        if not self._new:
            return None
        vector = self._vectorizer.transform([_masked(asked)])
        found = {name: model.predict_proba(vector)[0, 1] for name, model in self._new.items()}
        name = max(found, key=found.__getitem__)
        return (name, float(found[name])) if found[name] > 0.5 else None


def _told_apart(vectors: csr_matrix, own: np.ndarray) -> LogisticRegression:
    heft = float(np.sqrt((~own).sum() / max(1, own.sum())))
    model = LogisticRegression(C=STRENGTH, class_weight={True: heft, False: 1.0}, max_iter=200)
    return model.fit(vectors, own)


def _masked(text: str) -> str:
    """With one language for all, as the samples have it, and without the mark for content."""
    text = regex.sub(r"“…”|…", " ", text)
    parts, end = [], 0
    for mention in languages.find(text):
        wide = languages.HAN.search(text[mention.start : mention.end])
        parts += [text[end : mention.start], "法语" if wide else "French"]
        end = mention.end
    return "".join([*parts, text[end:]]).casefold()
