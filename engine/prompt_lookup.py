"""Guess the next tokens of an answer from what followed on its last ones before: prompt lookup.

Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding. Guesses are read together with the token
before them, and only those stay that are what would have been picked without: nothing that is
written changes. Answers that copy (a text corrected, marked up, quoted) are quicker so. Whether a
guess is worth a pass that costs more is asked of the guesses before it, made or not, and of the
machine.
"""

from __future__ import annotations

from collections.abc import Sequence

LENGTHS = (1, 2, 3, 4)  # tokens that must be the same as before; the most is preferred
# How often a guess after so many is right, at first, as if seen RATE_WEIGHT times. Later tokens of
# a guess count as the last.
RATES, RATE_WEIGHT, FORGET = {1: 0.2, 2: 0.4, 3: 0.4, 4: 0.65}, 4.0, 0.95
# Of a pass, what guesses cost at all, and each of them, until that is known of the machine:
# `python -m benchmarks.prompt_lookup`.
ANY_COST, EACH_COST = 0.05, 0.09
NEW_SHARE = 0.1  # of what is known, that the newest pass is


class GuessCost:
    """What each guess costs of the time of a pass without any, by the passes that are made anyhow.

    Attributes:
        each: that share.
    """

    def __init__(self) -> None:
        self.each, self._plain = EACH_COST, 0.0

    def took(self, guesses: int, seconds: float) -> None:
        """How long a pass for one token and so many guesses took."""
        if not guesses:
            self._plain += (seconds - self._plain) * (NEW_SHARE if self._plain else 1)
        elif self._plain:
            cost = (seconds / self._plain - 1 - ANY_COST) / guesses
            self.each += NEW_SHARE * (min(1.0, max(0.0, cost)) - self.each)


class PromptLookup:
    """The text of one request up to now."""

    def __init__(self, prompt: Sequence[int], cost: GuessCost) -> None:
        self._cost = cost
        self._tokens: list[int] = []
        self._followed: dict[tuple[int, ...], int] = {}  # on tokens: where the next one stands
        self._right = {n: rate * RATE_WEIGHT for n, rate in RATES.items()}
        self._seen = dict.fromkeys(RATES, RATE_WEIGHT)
        for token in prompt:
            self._append(token)

    def add(self, token: int) -> None:
        """Take in what was picked, and whether it would have been guessed."""
        if place := self._place():
            length, at = place
            self._right[length] = FORGET * self._right[length] + (self._tokens[at] == token)
            self._seen[length] = FORGET * self._seen[length] + 1
        self._append(token)

    def guess(self, most: int) -> tuple[int, ...]:
        """As many tokens as are worth their cost, up to `most`."""
        place = self._place()
        if place is None:
            return ()
        length, at = place
        worth, best, tokens, likely = 1.0, 0, 1.0, self._rate(length)
        for count in range(1, most + 1):
            tokens += likely
            likely *= self._rate(LENGTHS[-1])
            gained = tokens / (1 + ANY_COST + self._cost.each * count)
            if gained > worth:
                worth, best = gained, count
        return tuple(self._tokens[at : at + best])

    def _place(self) -> tuple[int, int] | None:
        """How many of the last tokens stood before, and where what followed on them begins."""
        for length in reversed(LENGTHS[: len(self._tokens)]):
            at = self._followed.get(tuple(self._tokens[-length:]))
            if at is not None:
                return length, at
        return None

    def _rate(self, length: int) -> float:
        return self._right[length] / self._seen[length]

    def _append(self, token: int) -> None:
        for length in LENGTHS:
            if len(self._tokens) >= length:
                self._followed[tuple(self._tokens[-length:])] = len(self._tokens)
        self._tokens.append(token)
