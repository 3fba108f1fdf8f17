"""A turn's events folded into what has come of it so far, for everybody who draws or stores it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agent.events import (
    BlockTexts,
    Event,
    Failed,
    Finished,
    Highlighted,
    Measured,
    Notice,
    Planned,
    Progress,
    Sources,
    StepFinished,
    StepStarted,
    TextDelta,
    Waiting,
)
from agent.plan import Plan, Step

StepEvent = Notice | Progress | TextDelta | StepFinished | Highlighted | Sources | BlockTexts


@dataclass
class StepRecord:
    """A step as far as it has come.

    Attributes:
        adapter: what answers it; None is the bare base.
        measured: how answers like it were judged, see `StepStarted`; `temperature`, `most` too.
        content: the text that it works on.
        text: as much as there is; once it is finished, the whole.
        notices: those about the engine that answers; see `TurnRecord.notices` for all.
        progress: how far it is with what takes long, while it does.
        sources: where what it wrote or chose comes from, of a text that was read in parts.
        blocks: a text for each block of the files that it worked on.
        highlights: pieces of the text and the weight of each for the decision.
        result: how it ended, with its cost and fingerprints; None until then.
    """

    step: Step
    started: bool = False
    adapter: str | None = None
    measured: tuple[Measured, ...] = ()
    temperature: float | None = None
    most: int | None = None
    content: str = ""
    text: str = ""
    notices: list[Notice] = field(default_factory=list)
    highlights: list[tuple[str, float]] = field(default_factory=list)
    progress: Progress | None = None
    sources: Sources | None = None
    blocks: BlockTexts | None = None
    result: StepFinished | None = None

    @property
    def status(self) -> Literal["pending", "running", "done"]:
        """How far it is."""
        if self.result:
            return "done"
        return "running" if self.started else "pending"


@dataclass
class TurnRecord:
    """A turn as far as it has come: give it the events in order.

    Attributes:
        position: in the queue, 1 being next, when it was last said; 0 where nobody came first.
        plan: None until the request is planned, and for messages that are answered as they stand.
        steps: those of the plan, or the one that answers messages as they stand.
        notices: in the order they came, those about an engine that turned out to be away included.
        finished, failed: how the turn ended; both None while it runs.
    """

    position: int = 0
    plan: Plan | None = None
    steps: list[StepRecord] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    finished: Finished | None = None
    failed: Failed | None = None

    @property
    def started(self) -> list[StepRecord]:
        """The steps that were begun."""
        return [step for step in self.steps if step.started]

    @property
    def results(self) -> list[StepFinished]:
        """The results of the steps that have ended."""
        return [step.result for step in self.steps if step.result]

    def apply(self, event: Event) -> None:
        """Take in what the agent says next."""
        match event:
            case Waiting(place=position):
                self.position = position
            case Planned(plan=plan):
                self.plan, self.steps = plan, [StepRecord(step) for step in plan.steps]
            case StepStarted():
                self._start(event)
            case Finished():
                self.finished = event
            case Failed():
                self.failed = event
            case _:
                self._apply_to_step(self.steps[event.index], event)

    def _start(self, event: StepStarted) -> None:
        """Begin a step, or begin it anew where another engine takes it over."""
        planned = self.steps[event.index].step if self.plan else event.step
        begun = StepRecord(
            planned,
            started=True,
            adapter=event.adapter,
            measured=event.measured,
            temperature=event.temperature,
            most=event.most,
            content=event.content,
        )
        self.steps[event.index : event.index + 1] = [begun]

    def _apply_to_step(self, step: StepRecord, event: StepEvent) -> None:
        match event:
            case Notice():
                step.notices.append(event)
                self.notices.append(event)
            case Progress():
                step.progress = event
            case TextDelta(text=text):
                step.text += text
                if step.progress and step.progress.kind != "part":
                    step.progress = None
            case StepFinished(text=text):
                step.text, step.result, step.progress = text, event, None
            case Sources():
                step.sources = event
            case BlockTexts():
                step.blocks = event
            case Highlighted(pieces=pieces):
                step.highlights = pieces
