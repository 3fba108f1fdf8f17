"""A step of an answer as it ran, kept with a rating whose giver has agreed to its use."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tasks.spec import SlotValue


class AnsweredStep(BaseModel):
    """What a step worked on, and what it came to.

    Attributes:
        content: the text that it worked on; empty where that is not known.
        labels: label -> probability, the likeliest first; empty where a text was written.
        adapter: what answered; empty: the bare base.
        fingerprints: of what made the answer.
        alone: nothing but the content was read; else earlier turns or instructions were too.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    slots: dict[str, SlotValue] = {}
    content: str = ""
    answer: str = ""
    labels: dict[str, float] = {}
    adapter: str = ""
    fingerprints: dict[str, str] = {}
    alone: bool = True
