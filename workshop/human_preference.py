"""Which of two adapters' answers people prefer who compared them blind.

A row where the two answers differ is one observation: 1 where the new answer was chosen, -1 where
the old one was. Ties say nothing of either. The evidence is that of the gate, valid however often
one looks (`core.sequential`: betting, Waudby-Smith and Ramdas 2024); at a bound of one half it is
the sequential sign test that Robbins (1970) named. A row counts once: what several people say of
one row is not independent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Literal

from core import sequential
from core.sequential import Answer

Winner = Literal["new", "old", "tie"]
WORTH = 0.55  # share of the choices from which a preference is worth having
LEAST = 10  # rows that are compared before the result is shown: who sees it guesses whose is whose


@dataclass(frozen=True)
class HumanPreference:
    """What people found.

    Attributes:
        answer: whether the new adapter's answers are preferred: `better` is shown to be chosen more
            often than not, `not better` less often than `WORTH`.
        new, old, ties: rows by what was chosen.
        share: of the new one in the choices, ties left out, 0 to 1.
        low, high: each holds at every look with a confidence of 1 - alpha.
        more_rows: about how many decide, if they are like these; 0 where it is decided.
    """

    answer: Answer
    new: int
    old: int
    ties: int
    share: float
    low: float
    high: float
    more_rows: int

    @property
    def compared(self) -> int:
        """Rows that were."""
        return self.new + self.old + self.ties

    @property
    def prefers_old(self) -> bool:
        """Whether it is shown that the old answers are chosen more often."""
        return self.high < 1 / 2

    @property
    def more_known(self) -> bool:
        """Whether it can be foreseen how many more rows decide."""
        return self.more_rows < sequential.MOST_ROWS

    def __str__(self) -> str:
        ties = f", {self.ties} tied" if self.ties else ""
        more = "more comparisons than can be foreseen"
        if self.more_known:
            more = f"about {self.more_rows:,} more comparisons"
        wanted = f" ({more})" if self.more_rows else ""
        return (
            f"{self.answer}{wanted}: the new answer was chosen on {self.new} of "
            f"{self.new + self.old} rows{ties}; share {self.share:.2f} "
            f"[{self.low:.2f}, {self.high:.2f}]"
        )


def preference(winners: Iterable[Winner], alpha: float) -> HumanPreference:
    """What the choices show.

    Args:
        winners: one of each row.
        alpha: largest chance, over all looks, that `better` is wrong; and that `not better` is.
    """
    found = list(winners)
    new, old, ties = (found.count(one) for one in ("new", "old", "tie"))
    seen = sequential.judge([1.0] * new + [-1.0] * old, alpha, 0.0, 2 * WORTH - 1)
    more = ceil(seen.more_rows * len(found) / max(1, new + old))  # some of them will be ties
    share, low, high = ((1 + mean) / 2 for mean in (seen.mean, seen.low, seen.high))
    return HumanPreference(
        seen.answer, new, old, ties, share, low, high, min(more, sequential.MOST_ROWS)
    )
