"""Drafts -> steps: each gets its slots and its content, and a wanted language gets its step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import regex

from agent.plan import Step
from agent.planning import slots
from agent.planning.drafting import Draft
from tasks import languages
from tasks.spec import SlotValue, TaskSpec

ENDS = regex.compile(
    r"(?:[\s,，;；、]|\b(?:and|then|also)\b|并且?|再|然后|接着|随后|and then)+$", regex.I
)


@dataclass(frozen=True)
class Job:
    """What a list of drafts is about.

    Attributes:
        text: the whole request.
        content: the text to work on.
        asked: the instruction, content masked.
        earlier: slot values of the turn before, by task, for what a follow-up leaves unsaid.
    """

    text: str
    content: str
    asked: str
    earlier: Mapping[str, Mapping[str, SlotValue]] = field(default_factory=dict)


class Assembler:
    """Makes steps out of drafts."""

    def __init__(self, tasks: Mapping[str, TaskSpec]) -> None:
        self._tasks = tasks
        self._into = next((task for task in tasks.values() if task.target_slot), None)

    def steps(self, drafts: list[Draft], job: Job) -> list[Step]:
        """One step a draft, and one more when the result is wanted in another language."""
        language = languages.detect(job.content)
        request = languages.detect(job.asked or job.text)
        translated = any(self._tasks[draft.task].target_slot for draft in drafts)
        steps: list[Step] = []
        for draft in drafts:
            task = self._tasks[draft.task]
            values = slots.fill(
                task,
                self._says(draft, job, alone=len(drafts) == 1),
                language,
                request,
                job.earlier.get(task.name, {}),
            )
            text = None if steps and not task.conversation else self._text(draft, drafts, job)
            slot = task.target_slot
            if slot and values[slot] == language and len(drafts) > 1:
                continue  # the text is in that language already
            step = Step(task.name, draft.confidence, values, draft.nearest, text)
            steps += self._into_each(step, slot, self._says(draft, job, len(drafts) == 1), language)
            language = self._language_after(task, steps[-1].slots, language, request)
        last = self._tasks[drafts[-1].task]
        if self._into and not translated and not last.conversation:
            steps += self._into_wanted(self._into, last, drafts[-1], job.asked, language)
        return steps

    def _into_each(
        self, step: Step, slot: str | None, asked: str, language: str | None
    ) -> list[Step]:
        """The step, once for each language asked for where there are several."""
        codes = slots.find_targets(asked, language) if slot else []
        if slot is None or len(codes) < 2:
            return [step]
        return [replace(step, slots={**step.slots, slot: code}) for code in codes]

    def again(self, before: list[Step], content: str) -> list[Step]:
        """The steps of the turn before, on new content."""
        language = languages.detect(content)
        steps = []
        for position, step in enumerate(before):
            values = dict(step.slots)
            source = self._tasks[step.task].source_slot
            if source and position == 0:
                values[source] = language
            steps.append(replace(step, slots=values, text=content if position == 0 else None))
        return steps

    def _says(self, draft: Draft, job: Job, alone: bool) -> str:
        """The words to look for slot values in: the draft's own, or all of them."""
        task = self._tasks[draft.task]
        if alone or (task.target_slot and slots.find_target(draft.asked) is None):
            return job.asked
        return draft.asked

    def _text(self, draft: Draft, drafts: list[Draft], job: Job) -> str:
        if not self._tasks[draft.task].conversation:
            return job.content
        if draft is not drafts[0]:
            return draft.asked
        if len(drafts) == 1:
            return job.text
        return _before_next(drafts[1], job)

    def _language_after(
        self, task: TaskSpec, values: Mapping[str, SlotValue], language: str, request: str
    ) -> str:
        slot = task.target_slot
        if slot:
            return str(values[slot])
        return language if task.kind == "write" and not task.conversation else request

    def _into_wanted(
        self, into: TaskSpec, last: TaskSpec, draft: Draft, asked: str, language: str
    ) -> list[Step]:
        target = slots.find_target(asked, language)
        slot = into.target_slot
        # A written text is wanted in any language that is named; a label only when it is clear.
        if target is None or slot is None or target.code == language:
            return []
        if target.weight < (0 if last.kind == "write" else 1):
            return []
        values = {**slots.fill(into, "", language, language), slot: target.code}
        step = Step(into.name, draft.confidence, values, draft.nearest)
        return self._into_each(step, slot, asked, language)


def _before_next(following: Draft, job: Job) -> str:
    """The request without the clauses of later steps, which the writer must not answer too."""
    place = job.text.find(following.asked.split(", ")[0])
    if place < 1:
        return job.text
    head = ENDS.sub("", job.text[:place])
    if job.content in head or job.content == job.text:
        return head or job.text
    return f"{head}\n{job.content}"
