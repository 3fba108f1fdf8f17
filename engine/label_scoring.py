"""Log-likelihoods of labels from what a server says of the tokens of its own answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

UNSEEN_LOGPROB = -2.0  # beside the least likely token that was named, for a label that none begins
NOT_CHOSEN_LOGPROB = -20.0
AnswerTokens = Sequence[tuple[str, Mapping[str, float]]]
"""Of each token of an answer, its text and the log-likelihoods of the likeliest in its place."""


def label_log_likelihood(label: str, answer: AnswerTokens) -> float:
    """Natural log-likelihood of a label, as far as the likeliest tokens of each place tell.

    The label is followed while the answer goes its way. Where they part, the named tokens that go
    on with the label count together, and what follows them is taken as certain: at that place the
    label is usually told from all others.
    """
    rest, total = label, 0.0
    for i, (chosen, named) in enumerate(answer):
        here = {token.lstrip() if i == 0 else token: value for token, value in named.items()}
        text = chosen.lstrip() if i == 0 else chosen
        if not rest:  # the answer goes on where the label ends
            return total + math.log(max(1e-9, 1 - math.exp(min(0.0, named.get(chosen, 0.0)))))
        if text and rest.startswith(text):
            total, rest = total + named.get(chosen, 0.0), rest[len(text) :]
            continue
        fitting = [v for t, v in here.items() if t and (rest.startswith(t) or t.startswith(rest))]
        if fitting:
            top = max(fitting)
            return total + top + math.log(sum(math.exp(value - top) for value in fitting))
        return total + min(named.values(), default=0.0) + UNSEEN_LOGPROB
    return total if not rest else total + UNSEEN_LOGPROB


def scores_of_answer(labels: Sequence[str], answer: str) -> dict[str, float]:
    """All for the label that the answer begins with; the same for all where it is none."""
    text = answer.strip().casefold()
    fitting = [label for label in labels if text.startswith(label.casefold())]
    chosen = max(fitting, key=len, default=None)
    if chosen is None:
        return dict.fromkeys(labels, -math.log(len(labels)))
    return {label: 0.0 if label == chosen else NOT_CHOSEN_LOGPROB for label in labels}
