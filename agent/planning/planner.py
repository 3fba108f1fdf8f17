"""A request and its conversation -> a Plan: ordered steps with slots and content."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import regex

from agent.cleaning import clean, clean_or_none
from agent.plan import Plan, Reason, Step
from agent.planning import parts, slots
from agent.planning.assembly import Assembler, DraftedRequest
from agent.planning.drafting import POINTS, Draft
from agent.planning.earlier_turns import EarlierTurns
from agent.planning.reading import Reader, Reading
from agent.planning.router import Router
from core.errors import InputError, UnknownName
from tasks import languages
from tasks.spec import Message, TaskSpec, conversation_task, find_task

TEXTLESS_PROBABILITY = 0.97  # from which a task is believed though no text came with the request
COMMAND = regex.compile(r"/(?P<name>[A-Za-z][\w-]*)(?=\s|$)(?P<rest>.*)", regex.S)
YOUR_ANSWER = regex.compile(
    r"\byour (?:last )?(?:answer|reply|response)|\bwhat you (?:just )?(?:said|wrote)"
    r"|你的?(?:刚才的?)?(?:回答|答案|回复)|你(?:刚才|刚刚)?(?:说|写)的",
    regex.I,
)
NO_CONTENT = "…"  # the content of a step for which none can be found
StepsAndReason = tuple[list[Step], Reason]


class Planner:
    """Plans requests. Keeps nothing between calls; safe to share between threads.

    Attributes:
        tasks: the tasks that steps may have, by name.
        encoder: what the router puts requests into vectors with.
    """

    def __init__(self, tasks: Mapping[str, TaskSpec], router: Router) -> None:
        self.tasks = dict(tasks)
        self.encoder = router.encoder
        self._reader = Reader(tasks, router)
        self._assembler = Assembler(tasks)
        self._chat = conversation_task(tasks).name

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
        turns = [turn for turn in history if turn["role"] != "system"]
        steps, reason = self._decide(clean(text), EarlierTurns(turns, self._replan), task)
        return Plan(tuple(steps), reason, 1000 * (time.perf_counter() - started))

    def _replan(self, turn: Message, before: EarlierTurns) -> list[Step] | None:
        """The steps of an earlier user turn; a known task wins over routing it again."""
        task = turn.get("task")
        try:
            return self._decide(
                clean(turn["content"]), before, task if task in self.tasks else None
            )[0]
        except InputError:
            return None

    def _decide(self, text: str, earlier: EarlierTurns, task: str | None) -> StepsAndReason:
        command = self._command(text)
        if task is not None:
            name = find_task(self.tasks, task).name
            return [self._one(name, command[1] if command else text, earlier)], "chosen"
        if command:
            return [self._one(*command, earlier)], "command"
        return self._route(self._reader.read(text, follows=bool(earlier)), text, earlier)

    def _command(self, text: str) -> tuple[str, str] | None:
        match = COMMAND.match(text)
        if match is None:
            return None
        try:
            task = find_task(self.tasks, match["name"].lower())
        except UnknownName as error:
            names = [name for task in self.tasks.values() for name in (task.name, *task.commands)]
            raise UnknownName("command", match["name"], names) from error
        return task.name, match["rest"].strip()

    def _one(self, name: str, text: str, earlier: EarlierTurns) -> Step:
        """One step of a task that the person named."""
        task = self.tasks[name]
        if task.conversation:
            return Step(name, 1.0, text=text or NO_CONTENT)
        asked, content = self._taken_apart(task, text)
        if content is None and (not text or self._only_points(name, text)):
            content = self._pointed_at(name, asked, earlier)
        content = content or text or NO_CONTENT
        request = languages.detect(asked, _spoken(earlier))
        language = languages.detect(content, request, unlike=slots.wanted(asked))
        values = slots.fill(task, asked, slots.find_source(asked) or language, request)
        return Step(name, 1.0, values, text=content)

    def _taken_apart(self, task: TaskSpec, text: str) -> tuple[str, str | None]:
        """Instruction and content of what follows a command: `fr The shop is open.`"""
        first, _, rest = text.partition(" ")
        if task.target_slot and languages.parse(first.strip(":：,，")):
            return f"to {first}", rest.strip() or None
        if not text:
            return "", None
        taken = parts.split(text, self._reader.asks)
        return " ".join(taken.asking), taken.content

    def _only_points(self, name: str, text: str) -> bool:
        reading = self._reader.read(text, follows=True)
        wanted = bool(reading.drafts) and all(draft.task == name for draft in reading.drafts)
        return wanted and POINTS.search(text) is not None

    def _route(self, reading: Reading, text: str, earlier: EarlierTurns) -> StepsAndReason:
        drafts, content = reading.drafts, reading.content
        before = earlier.before() if reading.again or not drafts else None
        # New text alone, or "the same for this", repeats the turn before.
        repeats = before and before[0].task != self._chat and (reading.again or reading.certain)
        if before and content and repeats:
            return self._assembler.again(before, content), "follow-up"
        if not drafts or [draft.task for draft in drafts] == [self._chat]:
            return [self._chat_step(drafts, text)], "router"
        if content is not None or drafts[0].task == self._chat:
            steps = self._steps(reading, text, content=content or text, earlier=earlier)
            return steps, "router"
        if earlier:
            content = self._pointed_at(drafts[0].task, reading.asked, earlier)
            steps = self._steps(reading, text, content=content or text, earlier=earlier)
            return steps, "follow-up"
        if drafts[0].confidence < TEXTLESS_PROBABILITY and not self._names_a_text(
            drafts[0], reading.asked
        ):
            return [self._chat_step([], text)], "router"
        return self._steps(reading, text, content=text, earlier=earlier), "router"

    def _chat_step(self, drafts: list[Draft], text: str) -> Step:
        draft = drafts[0] if drafts else Draft(self._chat, 0.5, "", text)
        return Step(self._chat, draft.confidence, nearest=draft.nearest, text=text)

    def _steps(
        self, reading: Reading, text: str, *, content: str, earlier: EarlierTurns
    ) -> list[Step]:
        slots_before = {}
        if earlier and any(self.tasks[draft.task].slots for draft in reading.drafts):
            slots_before = {step.task: step.slots for step in earlier.before() or []}
        drafted = DraftedRequest(
            text, content, asked=reading.asked, earlier=slots_before, spoken=_spoken(earlier)
        )
        return self._assembler.steps(reading.drafts, drafted)

    def _names_a_text(self, draft: Draft, asked: str) -> bool:
        """Whether a request without content still points at some, or holds it unmarked."""
        wanted = self.tasks[draft.task].target_slot and slots.find_target(asked)
        points = bool(wanted) or POINTS.search(asked) is not None or _is_bare(asked)
        return draft.confidence > 0.6 and points

    def _pointed_at(self, name: str, asked: str, earlier: EarlierTurns) -> str | None:
        """The text that a request without content is about."""
        before = earlier.before()
        if YOUR_ANSWER.search(asked) or before is None:
            return earlier.answer
        if before[0].task == self._chat:
            request = clean_or_none(earlier.request or "")
            pasted = request is not None and self._reader.read(request).idle
            return request if pasted else earlier.answer or request
        # A task done again, or after or for a judgement, is about the original, not the answer.
        judged = "choose" in {self.tasks[name].kind, self.tasks[before[-1].task].kind}
        same = judged or any(step.task == name for step in before)
        return before[0].text if same else earlier.answer or before[0].text


def _spoken(earlier: EarlierTurns) -> str:
    """The language in which the person spoke before, what they quoted left out."""
    return languages.detect(parts.mask_quotes((earlier.request or "")[: parts.HEAD]))


def _is_bare(asked: str) -> bool:
    """Whether an instruction is so short that the text was plainly forgotten: "summarize"."""
    return len(regex.findall(r"\p{Han}|[\p{L}\p{N}]+", asked)) <= (
        6 if languages.HAN.search(asked) else 2
    )
