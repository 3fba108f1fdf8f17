"""Serve the page: each thing a visitor does becomes a call of the agent, drawn as it streams.

The conversation comes in with every call and the turn that has changed goes back; nothing of it
stays here. All that is kept while an answer runs is the switch that ends it, under the visitor's
session.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any, Literal

import gradio as gr

from agent.agent import Agent
from agent.events import Failed, StepFinished
from agent.feedback.hub_backup import HubBackup
from agent.feedback.store import Correction, Feedback, FeedbackError, Rating
from agent.inventory import target_languages
from agent.options import TurnOptions
from agent.step_run import Begun
from core.access import Keys
from core.errors import InputError, TooMany
from ui.consent import Rater, rater_of, withdraw
from ui.conversation import Conversation, TurnView, read, read_attached
from ui.draw import GradioMessage, draw_conversation, draw_turn
from ui.kept_steps import kept_steps
from ui.words import say
from workshop.review_file import ReviewError

log = logging.getLogger(__name__)

REDRAW_SECONDS = 0.06  # text that comes faster is drawn together
KEEP_SECONDS = 1.0  # so often the browser keeps what there is of an answer
# Characters for which either is put off by a second: a long answer is slower to draw, and to keep.
KEPT_IN_SECOND, DRAWN_IN_SECOND = 100_000, 300_000
LONG_PAUSE = 0.4  # seconds that a drawing waits at most
Rendered = tuple[list[GradioMessage], Any]  # the chat, and what the browser is to keep of it


class PageHandlers:
    """What the page's events call. One for all visitors; it holds no one's words."""

    def __init__(
        self, agent: Agent, feedback: Feedback, keys: Keys, backup: HubBackup | None = None
    ) -> None:
        self.agent = agent
        self.feedback = feedback
        self.backup = backup
        self.keys = keys
        self._stops: dict[str, threading.Event] = {}

    def open(self, stored: Any, request: gr.Request) -> list[GradioMessage]:
        """Show a conversation, or another version of it."""
        self.stop(request)
        return self._drawn(read(stored))

    def send(self, stored: Any, event: gr.EventData, request: gr.Request) -> Iterator[Rendered]:
        """Answer a new request, or one that replaces an earlier request and all after it."""
        data = _data(event)
        conversation = read(stored)
        replaced = conversation.find(str(data.get("turn", "")))
        old = None if replaced is None else conversation.turns[replaced]
        if replaced is not None:
            del conversation.turns[replaced:]
        turn = conversation.begin(str(data.get("text", "")), instead_of=old)
        try:
            turn.attached = read_attached(data.get("attached"))
        except InputError as error:
            turn.apply(Failed(str(error), type(error).__name__))
            yield self._drawn(conversation), _kept(conversation, turn)
        else:
            yield from self._answer(conversation, turn, request)

    def retry(self, stored: Any, request: gr.Request) -> Iterator[Rendered]:
        """Answer the last request again, with the same task if the person chose it."""
        conversation = read(stored)
        if conversation.turns:
            old = conversation.turns.pop()
            turn = conversation.begin(old.text, old.attached, instead_of=old)
            turn.corrects, turn.chosen_slots = old.corrects, old.chosen_slots
            task = old.tasks[0] if old.reason == "chosen" and old.tasks else None
            picked = old.tasks if old.reason == "picked" else None
            yield from self._answer(conversation, turn, request, task=task, picked=picked)

    def reroute(self, stored: Any, event: gr.EventData, request: gr.Request) -> Iterator[Rendered]:
        """Answer the last request with another task, and keep that as a routing example."""
        task = str(_data(event).get("task", ""))
        yield from self._corrected(stored, event, request, [task], task=task)

    def pick(self, stored: Any, event: gr.EventData, request: gr.Request) -> Iterator[Rendered]:
        """Answer the last request by one of the two plans that were offered, and keep that too."""
        tasks = str(_data(event).get("tasks", "")).split()
        yield from self._corrected(stored, event, request, tasks, picked=tasks)

    def _corrected(
        self,
        stored: Any,
        event: gr.EventData,
        request: gr.Request,
        tasks: list[str],
        **how: Any,
    ) -> Iterator[Rendered]:
        conversation = read(stored)
        if conversation.turns and tasks and set(tasks) <= set(self.agent.tasks):
            old = conversation.turns.pop()
            corrects = self._correct(conversation, old, tasks)
            turn = conversation.begin(old.text, old.attached, instead_of=old)
            turn.corrects = corrects
            slots = _data(event).get("slots") or {}
            turn.chosen_slots = {str(k): str(v) for k, v in slots.items()}
            yield from self._answer(conversation, turn, request, **how)
            self._agree(conversation, turn, self._rater(event, request))
            yield self._rendered(conversation, turn)

    def more(self, stored: Any, request: gr.Request) -> Iterator[Rendered]:
        """Go on with the last answer, which was cut short."""
        conversation = read(stored)
        if conversation.turns and conversation.turns[-1].goes_on:
            yield from self._answer(conversation, conversation.turns[-1], request, more=True)

    def undo(self, stored: Any, event: gr.EventData, request: gr.Request) -> list[GradioMessage]:
        """Draw what stands after the last turn was taken back.

        The routing example that it was is taken back too, to an earlier one of the same request.
        """
        conversation = read(stored)
        corrects = str(_data(event).get("corrects", ""))
        last = conversation.turns[-1] if conversation.turns else None
        if corrects and last and last.corrects == corrects:
            past = conversation.model_copy(update={"turns": conversation.turns[:-1]})
            self._correct(past, last, last.tasks)
            self._agree(conversation, last, self._rater(event, request))
        elif corrects:
            self._stored(lambda: self.feedback.forget_correction(corrects))
        return self._drawn(conversation)

    def rate(self, stored: Any, event: gr.EventData, request: gr.Request) -> Rendered:
        """Keep a like or dislike; pressing it again takes it back. To `explain` says what was wrong
        with a disliked answer, and a better one; to `agree` lets what is rated be trained on, to
        `withdraw` takes that back.
        """
        conversation = read(stored)
        data = _data(event)
        index = conversation.find(str(data.get("turn", "")))
        if index is None:
            return self._drawn(conversation), gr.skip()
        turn, rater = conversation.turns[index], self._rater(event, request)
        if data.get("act") == "withdraw":
            if self._stored(lambda: withdraw(self.feedback, rater)):
                turn.consent = False
            return self._rendered(conversation, turn)
        if data.get("act") == "explain":
            words = {key: str(data.get(key, "")).strip() for key in ("wrong", "better")}
            self._rate(turn, -1, **words)
        elif data.get("act") != "agree":
            wanted: Literal[-1, 1] = 1 if data.get("act") == "like" else -1
            rating: Literal[-1, 0, 1] = 0 if turn.rating == wanted else wanted
            self._rate(turn, rating, wrong=turn.wrong, better=turn.better)
        before = conversation.model_copy(update={"turns": conversation.turns[: index + 1]})
        self._agree(before, turn, rater)
        return self._rendered(conversation, turn)

    def _rendered(self, conversation: Conversation, changed: TurnView) -> Rendered:
        return self._drawn(conversation), _kept(conversation, changed)

    def _drawn(self, conversation: Conversation) -> list[GradioMessage]:
        return draw_conversation(conversation, self.agent.tasks, target_languages(self.agent))

    def stop(self, request: gr.Request) -> None:
        """End what runs for this visitor: asked for, or because the page has gone."""
        switch = self._stops.pop(str(request.session_hash), None)
        if switch is not None:
            switch.set()

    def _answer(
        self,
        conversation: Conversation,
        turn: TurnView,
        request: gr.Request,
        more: bool = False,
        **how: Any,
    ) -> Iterator[Rendered]:
        """Draw the turn while it is answered; `how` goes to the agent."""
        past = conversation.model_copy(update={"turns": conversation.turns[:-1]})
        before = self._drawn(conversation)[:-2]
        draw = partial(draw_turn, turn, self.agent.tasks, target_languages(self.agent))
        begun = turn.go_on() if more else None
        kept = time.monotonic()
        yield before + draw(), _kept(conversation, turn)
        with closing(self._run(turn, past, request, how, begun=begun)) as ticks:
            for _ in ticks:
                decided = all(step.status == "done" for step in turn.steps)
                pause = KEEP_SECONDS + turn.length / KEPT_IN_SECOND
                due = decided or time.monotonic() - kept >= pause
                kept = time.monotonic() if due else kept
                keep = _kept(conversation, turn) if due else gr.skip()
                yield before + draw(), keep
        yield before + draw(), _kept(conversation, turn)

    def _run(
        self,
        turn: TurnView,
        past: Conversation,
        request: gr.Request,
        how: dict[str, Any],
        begun: Begun | None,
    ) -> Generator[None]:
        """Let the agent answer into the turn; yields when it is worth drawing again."""
        if begun is None:
            turn.seed = secrets.randbits(32)  # answering again may give another answer
        elif turn.reason == "chosen":
            how = {"task": turn.tasks[0]}
        elif turn.reason == "picked":
            how = {"picked": turn.tasks}
        self.stop(request)
        switch = self._stops[str(request.session_hash)] = threading.Event()
        visitor = self.keys.named(request.username, request.client.host if request.client else "")
        options = TurnOptions(
            seed=turn.seed,
            allowed=visitor.allowed,
            visitor=visitor.name,
            use={task: name or None for task, name in past.use.items()},
            **past.wishes.model_dump(),
        )
        events = self.agent.answer(
            turn.text,
            past.messages(),
            **how,
            slots=turn.chosen_slots,
            ask=begun is None,
            documents=turn.documents,
            stop=switch,
            options=options,
            begun=begun,
        )
        drawn = 0.0
        try:
            self.agent.limits.count_request(visitor.name)
            for event in events:
                turn.apply(event, past.turns)
                # What follows a finished step can take its time.
                pause = min(LONG_PAUSE, REDRAW_SECONDS + turn.length / DRAWN_IN_SECOND)
                if isinstance(event, StepFinished) or time.monotonic() - drawn >= pause:
                    drawn = time.monotonic()
                    yield
        except TooMany as error:
            turn.apply(Failed(str(error), type(error).__name__))
        except Exception:  # a bug, not a person's mistake: the page must still come to rest
            log.exception("A turn ended unexpectedly")
            turn.apply(Failed("", "unexpected"))
        finally:  # also when the page has gone and this generator is closed
            switch.set()
            if self._stops.get(str(request.session_hash)) is switch:
                del self._stops[str(request.session_hash)]

    def _correct(self, before: Conversation, turn: TurnView, tasks: list[str]) -> str:
        """Keep a routing example; the id it is kept under, or nothing where that failed."""
        correction = Correction(
            turn=turn.corrects or turn.id,
            request=turn.text,
            tasks=tasks,
            instead_of=turn.tasks,
            confidence=turn.confidence,
            follows=before.answered[-1].tasks if before.answered else [],
            fingerprints=turn.fingerprints,
        )
        return correction.turn if self._stored(lambda: self.feedback.correct(correction)) else ""

    def _rate(self, turn: TurnView, rating: Literal[-1, 0, 1], *, wrong: str, better: str) -> None:
        row = Rating(
            turn=turn.id,
            rating=rating,
            request=turn.text,
            answer=turn.answer,
            tasks=turn.tasks,
            fingerprints=turn.fingerprints,
            wrong=wrong if rating == -1 else "",
            better=better if rating == -1 else "",
        )
        if self._stored(lambda: self.feedback.rate(row)):
            turn.rating, turn.wrong, turn.better = rating, wrong, better

    def _rater(self, event: gr.EventData, request: gr.Request) -> Rater:
        return rater_of(_data(event), str(request.username) if self.keys else None)

    def _agree(self, conversation: Conversation, turn: TurnView, rater: Rater) -> None:
        """Keep that the conversation's last turn may be trained on, where the rater has agreed."""
        rated = bool(turn.rating or turn.corrects)
        if not (rated and rater.agrees):
            turn.consent = turn.consent and rated
            return
        past = conversation.model_copy(update={"turns": conversation.turns[:-1]})
        steps = kept_steps(turn, past, self.agent.tasks)
        turn.consent = self._stored(
            lambda: self.feedback.agree(turn.id, steps, rater.name, turn.corrects)
        )

    def _stored(self, store: Callable[[], None]) -> bool:
        """Whether feedback could be stored; a visitor is warned where it or its copy was not."""
        try:
            store()
        except (FeedbackError, ReviewError) as error:
            log.warning("%s", error)
            gr.Warning(say("error.kept"), title="Patchbay")
            return False
        if self.backup and self.backup.problem:
            gr.Warning(say("kept.behind", name=self.backup.name), title="Patchbay")
        return True


def _kept(conversation: Conversation, turn: TurnView) -> dict[str, Any]:
    """The turn for the browser to put into its conversation."""
    return {"conversation": conversation.id, "turn": turn.model_dump()}


def _data(event: gr.EventData) -> dict[str, Any]:
    return event._data if isinstance(event._data, dict) else {}
