"""A request and its conversation -> a Plan: ordered steps with slots and content."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

import regex

from agent import parts, slots
from agent.plan import Plan, Reason, Step
from agent.reading import POINTS, Draft, Reader, Reading
from agent.router import Router
from core.errors import InputError, UnknownName
from tasks import languages
from tasks.spec import Message, TaskSpec, find_task

HAN = regex.compile(r"\p{Han}")
SURE = 0.97  # probability from which a task is believed though no text came with the request
COMMAND = regex.compile(r"^/(?P<name>[A-Za-z][\w-]*)(?=\s|$)(?P<rest>.*)", regex.S)
CONTROL = regex.compile(r"[^\P{C}\n\t\u200c\u200d\U000e0020-\U000e007f]+")


class Planner:
    """Plans requests. Keeps nothing between calls; safe to share between threads."""

    def __init__(self, tasks: Mapping[str, TaskSpec], router: Router) -> None:
        self._tasks = dict(tasks)
        self._reader = Reader(tasks, router)
        self._chat = next(name for name, task in tasks.items() if task.conversation)
        self._translate = next(
            (name for name, task in tasks.items() if slots.target_slot(task)), None
        )

    def plan(self, text: str, history: Sequence[Message] = (), task: str | None = None) -> Plan:
        """Decide what to do with a request.

        Args:
            text: the request.
            history: earlier turns, oldest first.
            task: the person's own choice of task; slots and content are still found.

        Raises:
            InputError: nothing is left of the text without control characters.
            UnknownName: no task has the chosen name, or the slash command is unknown.
        """
        started = time.perf_counter()
        steps, reason = self._decide(clean(text), list(history), task)
        return Plan(tuple(steps), reason, 1000 * (time.perf_counter() - started))

    def _decide(
        self, text: str, history: list[Message], task: str | None
    ) -> tuple[list[Step], Reason]:
        command = self._command(text)
        if task is not None:
            name = find_task(self._tasks, task).name
            rest = command[1] if command else text
            return self._one(name, rest, history), "chosen"
        if command:
            return self._one(command[0], command[1], history), "command"
        reading = self._reader.read(text, follows=bool(history))
        return self._route(reading, text, history)

    def _command(self, text: str) -> tuple[str, str] | None:
        match = COMMAND.match(text)
        if match is None:
            return None
        try:
            task = find_task(self._tasks, match["name"].lower())
        except UnknownName as error:
            known = [name for task in self._tasks.values() for name in (task.name, *task.commands)]
            raise UnknownName("command", match["name"], known) from error
        return task.name, match["rest"].strip()

    def _one(self, name: str, text: str, history: list[Message]) -> list[Step]:
        task = self._tasks[name]
        if task.conversation:
            return [Step(name, 1.0, text=text or "…")]
        taken = parts.split(text, self._reader.asks) if text else parts.Parts((), None)
        content = taken.content
        asked = " ".join(taken.asking)
        first, _, rest = text.partition(" ")
        if slots.target_slot(task) and languages.parse(first.strip(":：,")) and rest.strip():
            asked, content = f"to {first}", rest.strip()
        if content is None and text:
            reading = self._reader.read(text)
            pointing = all(draft.task == name for draft in reading.drafts) and reading.drafts
            content = self._pointed_at(name, history) if pointing and history else None
        elif not text:
            content = self._pointed_at(name, history)
        content = content or text or "…"
        return [Step(name, 1.0, self._slots(name, asked, content, text), text=content)]

    def _route(
        self, reading: Reading, text: str, history: list[Message]
    ) -> tuple[list[Step], Reason]:
        drafts, content = reading.drafts, reading.content
        if history and (reading.again or not drafts):
            before = self._before(history)
            brings = content and (reading.again or reading.certain)
            if before and content and brings and before[0].task != self._chat:
                return self._repeat(before, content), "follow-up"
        if not drafts or drafts[0].task == self._chat and len(drafts) == 1:
            return [self._chat_step(drafts, text)], "router"
        reason: Reason = "router"
        if content is None and drafts[0].task != self._chat:
            if history:
                content = self._pointed_at(drafts[0].task, history, reading.asked)
                reason = "follow-up"
            elif drafts[0].confidence < SURE and not self._names_a_text(drafts[0], reading.asked):
                return [self._chat_step([], text)], "router"
        return self._steps(drafts, content, reading, text), reason

    def _names_a_text(self, draft: Draft, asked: str) -> bool:
        wanted = slots.target_slot(self._tasks[draft.task]) and slots.find_target(asked)
        points = bool(wanted) or POINTS.search(asked) is not None or _is_bare(asked)
        return draft.confidence > 0.6 and points

    def _chat_step(self, drafts: list[Draft], text: str) -> Step:
        draft = drafts[0] if drafts else Draft(self._chat, 0.5, "", text)
        return Step(self._chat, draft.confidence, nearest=draft.nearest, text=text)

    def _steps(
        self, drafts: list[Draft], content: str | None, reading: Reading, text: str
    ) -> list[Step]:
        content = content or text
        language = languages.detect(content)
        request = languages.detect(reading.asked)
        steps: list[Step] = []
        for position, draft in enumerate(drafts):
            task = self._tasks[draft.task]
            asked = draft.asked
            if position == 0 or slots.target_slot(task):
                asked = draft.asked if slots.find_target(draft.asked) else reading.asked
            values = slots.fill(task, asked, content, language, request)
            step_text = content if position == 0 else None
            if task.conversation:
                step_text = text if position == 0 else draft.asked
            steps.append(Step(draft.task, draft.confidence, values, draft.nearest, step_text))
            slot = slots.target_slot(task)
            if slot:
                language = str(values[slot])
            elif (
                self._translate and not task.conversation and not self._has(drafts, self._translate)
            ):
                target = slots.find_target(reading.asked, language)
                if (
                    target
                    and target.weight > 0
                    and target.code != language
                    and position == len(drafts) - 1
                ):
                    steps.append(self._translation(target.code, language, draft))
        return steps

    def _has(self, drafts: list[Draft], task: str) -> bool:
        return any(draft.task == task for draft in drafts)

    def _translation(self, target: str, source: str, draft: Draft) -> Step:
        assert self._translate is not None
        task = self._tasks[self._translate]
        values = slots.fill(task, "", "", source, target)
        slot = slots.target_slot(task)
        assert slot is not None
        return Step(task.name, draft.confidence, {**values, slot: target}, draft.nearest)

    def _slots(self, name: str, asked: str, content: str, text: str) -> dict[str, slots.SlotValue]:
        return slots.fill(
            self._tasks[name],
            asked,
            content,
            languages.detect(content),
            languages.detect(asked or text),
        )

    def _repeat(self, before: list[Step], content: str) -> list[Step]:
        language = languages.detect(content)
        steps = []
        for position, step in enumerate(before):
            values = dict(step.slots)
            for name, slot in self._tasks[step.task].slots.items():
                if slot.type == "language" and slot.default == "detected":
                    values[name] = language
            steps.append(replace(step, slots=values, text=content if position == 0 else None))
        return steps

    def _before(self, history: list[Message]) -> list[Step] | None:
        """The steps of the last user turn, planned again from what stood before it."""
        for index in range(len(history) - 1, -1, -1):
            turn = history[index]
            if turn["role"] == "user" and clean_or_none(turn["content"]):
                task = turn.get("task")
                chosen = task if task in self._tasks else None
                try:
                    return self._decide(clean(turn["content"]), history[:index], chosen)[0]
                except InputError:
                    return None
        return None

    def _pointed_at(self, name: str, history: list[Message], asked: str = "") -> str | None:
        """The text that a request without content is about."""
        answer = next((m["content"] for m in reversed(history) if m["role"] == "assistant"), None)
        user = next((m["content"] for m in reversed(history) if m["role"] == "user"), None)
        if regex.search(r"your (?:answer|reply)|你的?(?:刚才的?)?(?:回答|答案)", asked):
            return answer
        before = self._before(history)
        if before is None:
            return answer
        if before[0].task == self._chat:
            if user and self._reader.read(clean(user)).idle:
                return user
            return answer or user
        same = any(step.task == name for step in before) or self._tasks[name].kind == "choose"
        return before[0].text if same else answer or before[0].text


def _is_bare(asked: str) -> bool:
    """Whether an instruction is so short that the text was plainly forgotten: "summarize"."""
    return len(regex.findall(r"\p{Han}|[\p{L}\p{N}]+", asked)) <= (6 if HAN.search(asked) else 2)


def clean(text: str) -> str:
    """The text without control characters, in composed form, ends trimmed.

    Raises:
        InputError: nothing is left.
    """
    kept = clean_or_none(text)
    if kept is None:
        raise InputError("The request is empty. Type what you would like done.")
    return kept


def clean_or_none(text: str) -> str | None:
    """As `clean`, but None when nothing is left."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", CONTROL.sub("", text)).strip() or None
