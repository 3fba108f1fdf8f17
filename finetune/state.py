"""How far a training has come: what a checkpoint holds beside its tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class TrainingState:
    """Counts, losses and time of the steps done.

    Attributes:
        step: optimizer steps done.
        total: steps to do; None until a time budget has been measured.
        seconds: time spent in steps, their batches included.
        tokens: positions computed, padding included.
        rows: examples learnt from.
        losses: training loss of each step.
        before: validation loss before the first step.
        evaluations: (step, validation loss) pairs.
        stale: evaluations since the best one.
    """

    step: int = 0
    total: int | None = None
    seconds: float = 0.0
    tokens: int = 0
    rows: int = 0
    losses: list[float] = field(default_factory=list)
    before: float | None = None
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    stale: int = 0

    @property
    def best(self) -> float:
        """The lowest validation loss so far."""
        return min((loss for _, loss in self.evaluations), default=math.inf)
