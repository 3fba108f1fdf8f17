"""What the page remembers of a conversation: plain data that lives in the visitor's browser.

The server keeps nothing between requests. The browser has the whole conversation, which branches
where a request was changed or answered again (`versions.js`). It sends the turns that are shown,
and gets back the one that has changed. What comes in may be old or damaged: `read` drops what does
not fit.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from agent.events import AT_BEGIN, BlockTexts, Event, Measured, Place, Sources
from agent.options import MAX_TEMPERATURE
from agent.step_run import CUT_SHORT, Begun
from agent.turn_record import StepRecord, TurnRecord
from core.errors import InputError
from documents import Document, joined
from tasks.spec import Both, Message
from ui.kept_steps import StepContent, place_contents
from ui.markdown_pieces import Cuts, pieces

Status = Literal["pending", "running", "done", "stopped"]
MAX_INSTRUCTIONS = 2000  # characters; the page takes no more
DRAWN = 30  # turns at once; earlier ones are asked for


class _Data(BaseModel):
    model_config = ConfigDict(extra="ignore")


def new_id() -> str:
    """A name for a conversation or a turn that no other has."""
    return uuid.uuid4().hex[:16]


class NoticeView(_Data):
    """Something the person should know about a step."""

    kind: str
    message: str
    numbers: dict[str, int] = {}
    words: dict[str, str] = {}
    after: bool = False  # under the text


class StepView(_Data):
    """One step of a plan, as far as it has come.

    Attributes:
        content: what it worked on, or where that stands; empty where it is the result before it.
    """

    task: str
    confidence: float = 1.0
    slots: dict[str, str | list[str]] = {}
    nearest: str = ""
    status: Status = "pending"
    adapter: str | None = None
    measured: list[Measured] = []  # how answers like it were judged, the most alike first
    temperature: float | None = None
    most: int | None = None  # tokens that its text may have
    content: StepContent = ""
    text: str = ""
    labels: dict[str, float] = {}
    pieces: list[tuple[str, float]] = []
    notices: list[NoticeView] = []
    tokens: int = 0
    seconds: float = 0.0
    stopped: str = ""
    fingerprints: dict[str, str] = {}
    place: Place = AT_BEGIN
    sources: Sources | None = None
    blocks: BlockTexts | None = None
    progress: tuple[str, int, int] | None = None  # what is counted, how many, of how many
    seconds_left: float | None = None

    @classmethod
    def of(cls, record: StepRecord) -> StepView:
        """What is drawn and stored of a step's record."""
        step, result = record.step, record.result
        view = cls(
            task=step.task,
            confidence=step.confidence,
            slots=step.slots,
            nearest=step.nearest,
            status=record.status,
            adapter=record.adapter,
            measured=list(record.measured),
            temperature=record.temperature,
            most=record.most,
            text=record.text,
            pieces=record.highlights,
            sources=record.sources,
            blocks=record.blocks,
            notices=[
                NoticeView(
                    kind=notice.kind,
                    message=notice.message,
                    numbers=notice.numbers,
                    words=notice.words,
                    after=notice.after,
                )
                for notice in record.notices
            ],
        )
        if progress := record.progress:
            view.progress = (progress.kind, progress.done, progress.total)
            view.seconds_left = progress.seconds_left
        if result:
            view.place = result.place
            view.labels, view.fingerprints = result.labels, result.fingerprints
            view.tokens, view.seconds, view.stopped = result.tokens, result.seconds, result.stopped
        return view


class AttachmentView(_Data):
    """A file that came with a request. The browser keeps what was read of it.

    Attributes:
        document: as `Document.to_json` gives it.
        tokens: how many its text has; None where that could not be counted.
        original: under what name the browser keeps the file itself.
        notes: those of the document in both languages.
    """

    document: dict[str, Any]
    tokens: int | None = None
    original: str = ""
    notes: list[Both] = []

    @field_validator("document")
    @classmethod
    def _is_a_document(cls, document: dict[str, Any]) -> dict[str, Any]:
        Document.from_json(document)
        return document

    @cached_property
    def read(self) -> Document:
        """The document, without the file itself. Each drawing of an answer asks for it."""
        return Document.from_json(self.document)


class TurnView(_Data):
    """A request and what came of it. The browser stores its fields.

    Attributes:
        parent: id of the turn before, nothing for a first one. Turns with the same are versions.
        version: which of them this is, the first being 1; the browser counts them.
    """

    id: str = Field(default_factory=new_id)
    parent: str = ""
    version: int = Field(default=1, exclude=True)
    versions: int = Field(default=1, exclude=True)
    unfolded: int = Field(default=0, ge=0, exclude=True)  # so often more of it was asked for
    text: str
    attached: list[AttachmentView] = []
    steps: list[StepView] = []
    alternative: list[StepView] = []  # of the other plan, where the planner is uncertain
    place: int = 0  # in the queue, 1 being next
    reason: str = "router"
    milliseconds: float = 0.0
    status: Literal["running", "done", "failed"] = "running"
    stopped: str = ""
    tokens: int = 0
    seconds: float = 0.0
    error: str = ""
    error_kind: str = ""
    asked_back: str = ""  # about what, in place of an answer
    rating: Literal[-1, 0, 1] = 0
    consent: bool = False  # and the rating, or the route, is kept as one that may be trained on
    wrong: str = ""  # what was, with a disliked answer
    better: str = ""  # the answer that the person would have wanted
    corrects: str = ""  # the routing example this answer follows from, by its id
    seed: int = 0
    chosen_slots: dict[str, str | list[str]] = {}  # by the person, in place of the plan's

    _record: TurnRecord = PrivateAttr(default_factory=TurnRecord)
    _stood: list[StepView] = PrivateAttr(default_factory=list)  # when the answer was gone on with
    _kept: int = PrivateAttr(default=0)  # so many of them are done
    _spent: tuple[int, float] = PrivateAttr(default=(0, 0.0))
    _placed: dict[int, StepContent] = PrivateAttr(default_factory=dict)
    _cuts: Cuts = PrivateAttr(default_factory=dict)

    @property
    def documents(self) -> list[Document]:
        """The files that came along."""
        return [attachment.read for attachment in self.attached]

    @property
    def offers(self) -> tuple[list[StepView], ...]:
        """The plans that the person is to pick from, in place of an answer."""
        return (self.steps, self.alternative) if self.alternative else ()

    @property
    def tasks(self) -> list[str]:
        """The plan's tasks in order."""
        return [step.task for step in self.steps]

    @property
    def answer(self) -> str:
        """The last step's text that there is."""
        return next((step.text for step in reversed(self.steps) if step.text), "")

    def pieces(self, step: StepView) -> list[str]:
        """A step's text, cut for drawing."""
        return pieces(step.text, self._cuts)

    @property
    def length(self) -> int:
        """Characters of all its steps' texts."""
        return sum(len(step.text) for step in self.steps)

    @property
    def question(self) -> str:
        """What was asked back and can be replied to; the list of commands is no question."""
        return "" if self.asked_back in {"", "help"} else self.error

    @property
    def by_model(self) -> bool:
        """Whether a model answers, and not the task files."""
        return self.reason != "abilities"

    @property
    def confidence(self) -> float:
        """That of the least certain step."""
        return min((step.confidence for step in self.steps), default=1.0)

    @property
    def fingerprints(self) -> dict[str, str]:
        """What made the answer; with several steps, each key carries its step's number."""
        if len(self.steps) == 1:
            return self.steps[0].fingerprints
        return {
            f"{number}.{key}": value
            for number, step in enumerate(self.steps, 1)
            for key, value in step.fingerprints.items()
        }

    @property
    def goes_on(self) -> bool:
        """Whether the answer was cut short in a way that it can be gone on with."""
        begun = [step for step in self.steps if step.status != "pending" and step.stopped]
        return self.stopped in CUT_SHORT and bool(begun)

    def go_on(self) -> Begun:
        """Begin to go on with the answer."""
        ended = [step for step in self.steps if step.status == "done"]
        last = ended[-1]
        begun = Begun.of([step.text for step in ended], last.stopped, last.place, last.blocks)
        self._stood, self._kept = self.steps, len(begun.texts) - 1
        self._spent = (self.tokens, self.seconds)
        self._record, self.status = TurnRecord(), "running"
        return begun

    def apply(self, event: Event, past: Sequence[TurnView] = ()) -> None:
        """Take in what the agent says next.

        Args:
            past: the turns before this one.
        """
        self._record.apply(event)
        self.place = self._record.position
        if plan := self._record.plan:
            self.reason, self.milliseconds = plan.reason, plan.milliseconds
            self.asked_back = plan.question.about if plan.question else ""
            other = plan.alternative.steps if plan.uncertain and plan.alternative else ()
            self.alternative = [StepView.of(StepRecord(step)) for step in other]
        self.steps = self._steps()
        place_contents(self, past, self._record, self._placed)
        if finished := self._record.finished:
            self.status, self.stopped = "done", finished.stopped
            tokens, seconds = self._spent
            self.tokens, self.seconds = tokens + finished.tokens, seconds + finished.seconds
            self._settle()
        if failed := self._record.failed:
            self.status, self.error, self.error_kind = "failed", failed.message, failed.kind
            self.steps = self._stood or self.steps
            self._settle()

    def _steps(self) -> list[StepView]:
        """The steps of an answer that is gone on with: those that stood, until the next begins."""
        steps = [StepView.of(step) for step in self._record.steps]
        if self._stood and not any(step.status != "pending" for step in steps[self._kept :]):
            return self._stood
        return self._stood[: self._kept] + steps[self._kept :]

    def interrupt(self) -> None:
        """The page went away while the turn was running."""
        self.status, self.stopped = "done", "stop"
        self._settle()

    def _settle(self) -> None:
        for step in self.steps:
            if step.status != "done":
                step.status = "stopped"


class Wishes(_Data):
    """How texts are to be written in a conversation; None is as the task has it."""

    temperature: Annotated[float, Field(ge=0, le=MAX_TEMPERATURE)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class Conversation(_Data):
    """The turns that are shown, in order. An empty one has not begun.

    Attributes:
        instructions: the person's own system prompt.
        use: task -> the adapter that answers it here; an empty name is the bare base.
        drawn: so many of the last turns are drawn.
        unsent: so many turns before these were not sent, because nothing is answered.
    """

    id: str = Field(default_factory=new_id)
    instructions: str = Field(default="", max_length=MAX_INSTRUCTIONS)
    use: dict[str, str] = {}
    wishes: Wishes = Wishes()
    turns: list[TurnView] = []
    drawn: int = Field(default=DRAWN, ge=1, exclude=True)
    unsent: int = Field(default=0, ge=0, exclude=True)

    @field_validator("wishes", mode="wrap")
    @classmethod
    def _or_none(cls, wishes: Any, read_as: ValidatorFunctionWrapHandler) -> Any:
        """What is no wish must not cost the conversation."""
        try:
            return read_as(wishes)
        except ValidationError:
            return Wishes()

    def begin(
        self, text: str, attached: Sequence[AttachmentView] = (), instead_of: TurnView | None = None
    ) -> TurnView:
        """Add a request, which may be another version of one that stood in this place."""
        turn = TurnView(text=text, attached=list(attached))
        if self.turns:
            turn.parent = self.turns[-1].id
        if instead_of:
            turn.version = turn.versions = instead_of.versions + 1
        self.turns.append(turn)
        return turn

    @property
    def earlier(self) -> int:
        """How many turns before those that are drawn there are."""
        return self.unsent + max(0, len(self.turns) - self.drawn)

    def find(self, turn_id: str) -> int | None:
        """Where the turn is, if it is here."""
        return next((i for i, turn in enumerate(self.turns) if turn.id == turn_id), None)

    @property
    def answered(self) -> list[TurnView]:
        """The turns with an answer; requests that failed are left out."""
        return [turn for turn in self.turns if turn.status != "failed" and turn.answer]

    def messages(self) -> list[Message]:
        """The turns as the agent reads them, each with what the person decided about it: those
        with an answer, and those with a question that the next request may reply to.
        """
        messages: list[Message] = []
        if self.instructions.strip():
            messages.append({"role": "system", "content": self.instructions.strip()})
        for turn in self.turns:
            said = turn.question or (turn.answer if turn.status != "failed" else "")
            if not said:
                continue
            request: Message = {"role": "user", "content": turn.text}
            if content := joined(turn.documents):
                request |= {"content": f"{turn.text}\n\n{content}", "attached": content}
            if turn.reason == "chosen":
                request["task"] = turn.tasks[0]
            elif turn.reason == "picked":
                request["plan"] = turn.tasks
            if turn.chosen_slots:
                request["slots"] = turn.chosen_slots
            answer: Message = {"role": "assistant", "content": said}
            if len(turn.steps) > 1 and not turn.question:
                answer["results"] = [step.text for step in turn.steps]
            messages += [request, answer]
        return messages


def read_attached(sent: Any) -> list[AttachmentView]:
    """What the browser sent along with a request.

    Raises:
        InputError: it is damaged.
    """
    try:
        return _ATTACHMENTS.validate_python(sent or [])
    except ValidationError as error:
        raise InputError(
            "What was attached came damaged. Remove it, and attach it again."
        ) from error


_ATTACHMENTS = TypeAdapter(list[AttachmentView])


def read(stored: Any) -> Conversation:
    """The conversation as the browser sent it; an empty one where it makes no sense.

    A turn that was still running when the page went away has ended.
    """
    try:
        conversation = Conversation.model_validate(stored or {})
    except ValidationError:
        return Conversation()
    for turn in conversation.turns:
        if turn.status == "running":
            turn.interrupt()
    return conversation
