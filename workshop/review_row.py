"""One row that a person reviews, and what was decided about it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.spec import SlotValue, TaskSpec
from workshop.review_file import now

Why = Literal["liked", "disliked", "corrected", "rerouted", "unsure", "random", "imported"]
Status = Literal["pending", "done", "declined"]


class ReviewRow(BaseModel):
    """One answer, or one text without any, and what a reviewer made of it.

    Attributes:
        id: says where the row comes from and its place there, so that collecting it twice adds
            nothing twice.
        text: the content that the step worked on.
        slots: the step's slot values, a label list of the person's own among them.
        answer: what was answered; empty where nothing was.
        labels: label -> probability (0 to 1), the likeliest first; empty where a text is written.
        adapter: what answered; empty: the bare base, or nothing did.
        fingerprint: of what made the answer.
        why: the row is here because it was `liked`, `disliked`, `corrected`, `rerouted` to this
            task, `unsure` (a low probability), drawn at `random`, or `imported`.
        suggested: the right answer as far as anything says it.
        rater: who gave the row; empty where that is not known.
        consent: whether it may be used for training.
        right: the answer that the reviewer accepted.
        by, decided_at: who decided, and when (UTC, ISO 8601).
        held_out: drawn at random, so that it estimates honestly: judged on, never trained on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    task: str
    text: str
    slots: dict[str, SlotValue] = {}
    answer: str = ""
    labels: dict[str, float] = {}
    adapter: str = ""
    fingerprint: str = ""
    why: Why
    suggested: str = ""
    rater: str = ""
    consent: bool = False
    at: str = Field(default_factory=now)
    status: Status = "pending"
    right: str = ""
    by: str = ""
    decided_at: str = ""
    held_out: bool = False

    def choices(self, task: TaskSpec) -> list[str]:
        """The labels that a reviewer chooses from, the likeliest first; none where `task` writes.

        Labels that the row names and the task, or its own label list, does not are left out.
        """
        offered = task.own_labels(self.slots) or list(task.labels)
        return sorted(offered, key=lambda label: -self.labels.get(label, 0.0))
