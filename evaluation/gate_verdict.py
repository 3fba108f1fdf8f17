"""What the gate found: its checks, one of three answers, and how many more rows would tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core import sequential
from core.sequential import Answer, Evidence
from core.statement import Statement, in_english
from evaluation.compare import Comparison
from evaluation.elsewhere import Elsewhere

Kind = Literal[
    "same conditions",
    "better",
    "slices",
    "calibration",
    "answers",
    "not empty",
    "repetition",
    "contamination",
    "baseline",
    "elsewhere",
]


@dataclass(frozen=True)
class Check:
    """One thing the gate looked at, and what it found.

    Attributes:
        said: what was found, sentence by sentence.
        more_rows: where it did not pass for want of rows, about how many more would tell; else 0.
        about: which one it is, where there are several of a kind.
    """

    kind: Kind
    passed: bool
    said: Sequence[Statement]
    more_rows: int = 0
    about: str = ""

    @property
    def name(self) -> str:
        """What tells it from the other checks."""
        return f"{self.kind} {self.about}".rstrip()

    @property
    def reason(self) -> str:
        """What was found, in English."""
        return in_english(self.said)

    def record(self) -> dict[str, Any]:
        """JSON-able; the reason stands there too, for those who read English."""
        return {
            "name": self.name,
            "passed": self.passed,
            "reason": self.reason,
            "said": [asdict(one) for one in self.said],
            "more_rows": self.more_rows,
        }


@dataclass(frozen=True)
class Gain:
    """A candidate's gain, row by row, over all the looks at it.

    Attributes:
        score: what the evidence is the difference of.
        evidence: that there is a gain.
        harmless: that there is no loss of the rules' `margin`.
        candidate: it is so many-th that was judged on these rows.
    """

    score: str
    evidence: Evidence
    harmless: Evidence
    candidate: int


@dataclass(frozen=True)
class GateVerdict:
    """Every check of a candidate beside the adapter in place.

    Attributes:
        comparison: of the two runs.
        gain: what the rows show, however often they are looked at.
        others: what other pairs of runs show.
    """

    checks: list[Check]
    comparison: Comparison
    gain: Gain
    others: list[Elsewhere]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def answer(self) -> Answer:
        """`not better` where a check failed that no more rows will change."""
        failed = [check for check in self.checks if not check.passed]
        if not failed:
            return "better"
        return "not enough evidence" if all(c.more_rows for c in failed) else "not better"

    @property
    def more_rows(self) -> dict[str, int]:
        """Check -> about how many more rows would tell; empty unless that is the answer."""
        if self.answer != "not enough evidence":
            return {}
        return {check.name: check.more_rows for check in self.checks if check.more_rows}

    def record(self, candidate: Path, in_place: Path) -> dict[str, Any]:
        """JSON-able; the folders are those of the two runs."""
        return {
            "answer": self.answer,
            "more_rows": self.more_rows,
            "checks": [check.record() for check in self.checks],
            "gain": asdict(self.gain),
            "others": [asdict(other) for other in self.others],
            "comparison": self.comparison.record(in_place, candidate),
        }

    def __str__(self) -> str:
        lines = [f"{_mark(check)}  {check.name}: {check.reason}" for check in self.checks]
        wanted = "; ".join(f"{name}: {rows_wanted(n)}" for name, n in self.more_rows.items())
        return "\n".join([*lines, f"{self.answer}: {wanted}" if wanted else self.answer])


def rows_wanted(rows: int) -> str:
    """How many more rows are wanted, in words."""
    if rows >= sequential.MOST_ROWS:
        return "more rows than can be foreseen"
    return f"about {rows:,} more {'row' if rows == 1 else 'rows'}"


def _mark(check: Check) -> str:
    return "pass" if check.passed else "rows" if check.more_rows else "FAIL"
