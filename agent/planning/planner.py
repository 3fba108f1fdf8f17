"""A request and its conversation -> a Plan: ordered steps with slots and content."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import regex

from agent.cleaning import MAX_CONTENT, clean
from agent.plan import Plan, Question, Reason, Step
from agent.planning import asking, commands, slots
from agent.planning.abilities import asks_for_abilities
from agent.planning.earlier_turns import EarlierTurns
from agent.planning.features import QUOTED
from agent.planning.follow_ups import NO_CONTENT, FollowUps
from agent.planning.given_slots import with_slots
from agent.planning.patterns import AGAIN
from agent.planning.reading import Reader, Reading
from agent.planning.samples import Samples
from core.errors import InputError
from tasks import languages
from tasks.spec import Message, SlotValue, TaskSpec, conversation_task, find_task

POINTS = regex.compile(
    r"(?:\b(?:it|this|that|these|those|them|the above|above|again|please|now)\b"
    r"|\b(?:ceci|cela|ça|das|esto)\b|[这那它]个?|上文|上面的?|以上|これ|それ)[\s.?!。？！]*",
    regex.I,
)
# A word or two to translate that stand bare within the instruction.
WITHIN = regex.compile(
    r"(?:(?:how (?:do|would|can) (?:you|i|we|one) say|what(?:'s| is)|translate|say|put)\s+)?+"
    r"(?P<text>.{1,60}?)\s+(?:in|into|to)\s+(?P<language>\p{L}+)[\s?.!]*"
    r"|(?P<text>.{1,20}?)用(?P<language>\p{Han}{1,3}[语文话]?)怎么[说讲写][\s?？。]*",
    regex.I,
)
QUOTES_WITHIN = 2000  # characters of a request looked through for a quoted text


class Planner:
    """Plans requests. Keeps nothing between calls; safe to share between threads.

    Attributes:
        tasks: the tasks that steps may have, by name.
        threshold: probability of a plan below which it is uncertain.
    """

    def __init__(self, tasks: Mapping[str, TaskSpec], reader: Reader, samples: Samples) -> None:
        self.tasks = dict(tasks)
        self.threshold = reader.threshold
        self._reader, self._samples = reader, samples
        self._follow_ups = FollowUps(self.tasks, reader)
        self._chat = conversation_task(tasks).name

    def plan(
        self,
        text: str,
        history: Sequence[Message] = (),
        task: str | None = None,
        content: str | None = None,
    ) -> Plan:
        """Decide what to do with a request.

        Args:
            text: the request.
            history: earlier turns, oldest first.
            task: the person's own choice of task; slots and content are still found.
            content: the text to work on, where it came apart from the request: it is never read
                as instruction, and the request is then instruction alone.

        Raises:
            InputError: nothing is left of the text without control characters.
            UnknownName: no task has the chosen name, or the slash command is unknown.
        """
        started = time.perf_counter()
        turns = [turn for turn in history if turn["role"] != "system"]
        earlier = EarlierTurns(turns, self._replan)
        given = clean(content, MAX_CONTENT) if content else None
        plan = self._decide(clean(text), earlier, task, given)
        return replace(plan, milliseconds=1000 * (time.perf_counter() - started))

    def _replan(self, turn: Message, before: EarlierTurns) -> Plan | None:
        """The plan of an earlier user turn; what the person decided wins over routing it again."""
        task, picked, attached = turn.get("task"), turn.get("plan"), turn.get("attached")
        try:
            text = clean(turn["content"].removesuffix(attached or ""))
            given = clean(attached, MAX_CONTENT) if attached else None
            known = task if task in self.tasks else None
            plan = self._decide(text, before, task=known, given=given)
            plan = plan.picked(picked) if picked else plan
            return with_slots(plan, turn.get("slots", {}), self.tasks)
        except InputError:
            return None

    def _decide(
        self,
        text: str,
        earlier: EarlierTurns,
        task: str | None = None,
        given: str | None = None,
    ) -> Plan:
        if asked := earlier.asked_back():
            earlier = earlier.before_request()  # the question is no text to work on
            own = task is not None or given is not None or text.startswith("/")
            if not own and (completed := self._follow_ups.completed(asked, text)):
                plan = self._decide(completed.asked, earlier, completed.task, completed.content)
                return replace(plan, reason="follow-up") if plan.reason == "router" else plan
        plan = self._decided(text, earlier, task, given)
        if plan.question and not plan.question.asked:
            plan = replace(plan, question=replace(plan.question, asked=text, task=task))
        return plan

    def _decided(
        self, text: str, earlier: EarlierTurns, task: str | None, given: str | None
    ) -> Plan:
        if text.casefold() in {"/help", "/?", "/帮助"}:
            listed = Question("help", commands.listed(self.tasks))
            return Plan((Step(self._chat, 1.0, text=text),), "command", question=listed)
        if task is None and given is None and asks_for_abilities(text):
            return Plan((Step(self._chat, 1.0, text=text),), "abilities")
        command = commands.find(text, self.tasks)
        if task is not None:
            spec = find_task(self.tasks, task)
            return self._chosen(spec, command[1] if command else text, earlier, given)
        if command:
            return self._commanded(*command, earlier, given)
        return self._routed(text, earlier, given)

    def _commanded(
        self, task: TaskSpec, text: str, earlier: EarlierTurns, given: str | None
    ) -> Plan:
        """What follows a command is content, but for a language or a label list in front of it."""
        asked, content = commands.options(task, text)
        if POINTS.fullmatch(content):
            asked, content = f"{asked} {content}", ""
        return self._one(task, asked, given or content, earlier=earlier, reason="command")

    def _chosen(self, task: TaskSpec, text: str, earlier: EarlierTurns, given: str | None) -> Plan:
        """The person says what is to be done; where the content is, the request says."""
        reading = self._read(text, earlier)
        content = given or reading.content
        asked = text if given else reading.asked[""]
        quotes = [match.group() for match in QUOTED.finditer(text[:QUOTES_WITHIN])]
        if content is None and quotes:
            quote = max(quotes, key=len)
            content, asked = quote[1:-1], text.replace(quote, "…", 1)
        asks = reading.asked.keys() - {"", self._chat}  # a skill; else nobody asks for anything
        if content is None and not POINTS.fullmatch(text) and not (asks and POINTS.search(text)):
            content, asked = text, ""
        return self._one(task, asked, content or "", earlier=earlier, reason="chosen")

    def _one(
        self, task: TaskSpec, asked: str, content: str, *, earlier: EarlierTurns, reason: Reason
    ) -> Plan:
        """One step of a task that the person named."""
        if task.conversation:
            text = "\n\n".join(part for part in (asked, content) if part)
            return Plan((Step(task.name, 1.0, text=text or NO_CONTENT),), reason)
        found = content or self._follow_ups.pointed_at(task.name, asked, earlier)
        language, request = _languages(found or "", asked, earlier)
        values = slots.fill(task, asked, language, request)
        step = Step(task.name, 1.0, values, text=found or NO_CONTENT)
        question = asking.about_content(task, found, asked or found or "")
        return Plan((step,), reason, question=question)

    def _read(self, text: str, earlier: EarlierTurns) -> Reading:
        return self._reader.read(text, [step.task for step in earlier.before() or []])

    def _routed(self, text: str, earlier: EarlierTurns, given: str | None) -> Plan:
        """The likeliest plan, with the next likeliest where it is uncertain."""
        reading = self._read(text, earlier)
        if not self._can_repeat(given or reading.content, earlier):
            reading = reading.renamed((AGAIN,), (self._chat,))
        reading = self._with_new_skill(reading)
        plan = self._carried_out(text, reading, earlier, given)
        plan = replace(plan, alternatives=self._others(reading, earlier))
        if plan.question or plan.confidence >= self.threshold:
            return plan
        others = (
            self._carried_out(text, replace(reading, plans=reading.plans[n:]), earlier, given)
            for n in range(1, len(reading.plans))
        )
        other = next((other for other in others if other.tasks != plan.tasks), None)
        return replace(plan, alternative=other, uncertain=True)

    def _others(
        self, reading: Reading, earlier: EarlierTurns
    ) -> tuple[tuple[tuple[str, ...], float], ...]:
        """The plans that are not taken, with what `again` stands for in its place."""
        again = tuple(dict.fromkeys(step.task for step in earlier.before() or ()))
        taken = reading.plans[0][0]
        taken = again if taken == (AGAIN,) else taken
        named = reading.renamed((AGAIN,), again).plans
        return tuple((plan, chance) for plan, chance in named if plan != taken)

    def _can_repeat(self, content: str | None, earlier: EarlierTurns) -> bool:
        """Whether there is a skill to do again, and a text to do it with."""
        before = earlier.before()
        return bool(content and before and before[0].task != self._chat)

    def _carried_out(
        self, text: str, reading: Reading, earlier: EarlierTurns, given: str | None
    ) -> Plan:
        """The first of a reading's plans, with content and slots."""
        names, sure = reading.plans[0]
        content = given or reading.content
        asked = text if given else reading.asked[""]
        before = earlier.before() or []
        if names == (AGAIN,) and content:
            return Plan(tuple(self._follow_ups.on_another(before, content)), "follow-up")
        if content is None and self._follow_ups.changes_a_chain(names, before, asked, earlier):
            steps = self._follow_ups.changed(before, names[0], asked)
            return Plan(tuple(steps), "follow-up")
        if names == (self._chat,):
            whole = f"{text}\n\n{given}" if given else text
            step = Step(self._chat, sure, nearest=self._samples.nearest(self._chat, asked))
            return Plan((replace(step, text=whole),), "router")
        reason: Reason = "router"
        if names[0] == self._chat:
            content = f"{reading.rests[names]}\n\n{given}" if given else reading.rests[names]
        elif content is None and earlier:
            content, reason = self._follow_ups.pointed_at(names[0], asked, earlier), "follow-up"
        if content is None and self.tasks[names[0]].target_slot:
            content = _within(asked)
        values = {step.task: step.slots for step in before}
        steps = self._steps(
            names,
            sure,
            reading,
            asked=asked,
            content=content,
            earlier=values,
            spoken=_languages(content or "", asked, earlier),
        )
        question = asking.about_language(asked, steps) if self._translates(steps) else None
        if names[0] != self._chat:
            question = asking.about_content(self.tasks[names[0]], content, asked) or question
        return Plan(tuple(steps), reason, question=question)

    def _translates(self, steps: list[Step]) -> bool:
        return any(self.tasks[step.task].target_slot for step in steps)

    def _with_new_skill(self, reading: Reading) -> Reading:
        """The reading with a skill that came after the planner's training, where one is asked."""
        found = self._samples.new_skill(reading.asked[""])
        if found is None:
            return reading
        name, chance = found
        others = [(plan, (1 - chance) * other) for plan, other in reading.plans]
        return replace(reading, plans=(((name,), chance), *others))

    def _steps(
        self,
        names: tuple[str, ...],
        sure: float,
        reading: Reading,
        *,
        asked: str,
        content: str | None,
        earlier: Mapping[str, Mapping[str, SlotValue]],
        spoken: tuple[str, str],
    ) -> list[Step]:
        """A step for each task, and one for each language where several are asked for."""
        language, request = spoken
        steps: list[Step] = []
        for name in names:
            task = self.tasks[name]
            own = asked if len(names) == 1 else reading.asked.get(name, "")
            values = slots.fill(
                task,
                own,
                content_language=language,
                request_language=request,
                earlier=earlier.get(name, {}),
                whole=asked,
            )
            slot = task.target_slot
            if slot and values[slot] == language and len(names) > 1 and names[0] != self._chat:
                continue  # the text is in that language already
            text = None
            if not steps:
                text = content or NO_CONTENT
            elif task.conversation:
                text = own or asked
            nearest = self._samples.nearest(name, own or asked)
            step = Step(name, sure, values, nearest=nearest, text=text)
            targets = slots.find_targets(own, language) if slot else []
            steps += (
                [replace(step, slots={**values, str(slot): code}) for code in targets]
                if len(targets) > 1
                else [step]
            )
            language = self._language_after(task, steps[-1], language, request)
        return steps

    def _language_after(self, task: TaskSpec, step: Step, language: str, request: str) -> str:
        if task.target_slot:
            return str(step.slots[task.target_slot])
        return language if task.kind == "write" and not task.conversation else request


def _within(asked: str) -> str | None:
    """The words that an instruction to translate holds between its own: `cat in French`."""
    match = WITHIN.fullmatch(asked.strip())
    if match is None or languages.parse(match["language"]) is None or POINTS.match(match["text"]):
        return None
    return str(match["text"])


def _languages(content: str, asked: str, earlier: EarlierTurns) -> tuple[str, str]:
    """Of the content, and of the request; what is too short to tell is in that spoken before."""
    before = QUOTED.sub("…", (earlier.request or "")[:QUOTES_WITHIN])
    request = languages.detect(asked, languages.detect(before))
    content_language = slots.find_source(asked) or languages.detect(
        content, request, unlike=slots.wanted(asked)
    )
    return content_language, request
