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
class DraftedRequest:
    """A request of which a list of drafts was made.

    Attributes:
        text: the whole request.
        content: the text to work on.
        asked: the instruction, content masked.
        earlier: slot values of the turn before, by task, for what a follow-up leaves unsaid.
        spoken: the language of the conversation before, for what is too short to tell.
    """

    text: str
    content: str
    asked: str
    earlier: Mapping[str, Mapping[str, SlotValue]] = field(default_factory=dict)
    spoken: str = "en"


class Assembler:
    """Makes steps out of drafts."""

    def __init__(self, tasks: Mapping[str, TaskSpec]) -> None:
        self._tasks = tasks
        self._into = next((task for task in tasks.values() if task.target_slot), None)

    def steps(self, drafts: list[Draft], drafted: DraftedRequest) -> list[Step]:
        """One step a draft, and one more when the result is wanted in another language."""
        request = languages.detect(drafted.asked or drafted.text, drafted.spoken)
        language = slots.find_source(drafted.asked) or languages.detect(
            drafted.content,
            request,
            unlike=slots.wanted(drafted.asked),
        )
        translated = any(self._tasks[draft.task].target_slot for draft in drafts)
        steps: list[Step] = []
        for draft in drafts:
            task = self._tasks[draft.task]
            asked = self._says(draft, drafted, alone=len(drafts) == 1)
            values = slots.fill(
                task,
                asked,
                content_language=language,
                request_language=request,
                earlier=drafted.earlier.get(task.name, {}),
            )
            text = None if steps and not task.conversation else self._text(draft, drafts, drafted)
            slot = task.target_slot
            if slot and values[slot] == language and len(drafts) > 1:
                continue  # the text is in that language already
            step = Step(task.name, draft.confidence, values, nearest=draft.nearest, text=text)
            steps += self._into_each(step, slot, asked, language)
            language = self._language_after(task, steps[-1].slots, language, request)
        last = self._tasks[drafts[-1].task]
        if self._into and not translated and not last.conversation:
            steps += self._into_wanted(
                self._into, last, drafts[-1], asked=drafted.asked, language=language
            )
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
        steps = []
        for position, step in enumerate(before):
            values = dict(step.slots)
            task = self._tasks[step.task]
            if task.source_slot and position == 0:
                values[task.source_slot] = languages.detect(
                    content,
                    str(values.get(task.source_slot, "en")),
                    unlike=task.target_language(values),
                )
            steps.append(replace(step, slots=values, text=content if position == 0 else None))
        return steps

    def _says(self, draft: Draft, drafted: DraftedRequest, alone: bool) -> str:
        """The words to look for slot values in: the draft's own, or all of them."""
        task = self._tasks[draft.task]
        if alone or (task.target_slot and slots.find_target(draft.asked) is None):
            return drafted.asked
        return draft.asked

    def _text(self, draft: Draft, drafts: list[Draft], drafted: DraftedRequest) -> str:
        if not self._tasks[draft.task].conversation:
            return drafted.content
        if draft is not drafts[0]:
            return draft.asked
        if len(drafts) == 1:
            return drafted.text
        return _before_next(drafts[1], drafted)

    def _language_after(
        self, task: TaskSpec, values: Mapping[str, SlotValue], language: str, request: str
    ) -> str:
        slot = task.target_slot
        if slot:
            return str(values[slot])
        return language if task.kind == "write" and not task.conversation else request

    def _into_wanted(
        self, into: TaskSpec, last: TaskSpec, draft: Draft, *, asked: str, language: str
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


def _before_next(following: Draft, drafted: DraftedRequest) -> str:
    """The request without the clauses of later steps, which the writer must not answer too."""
    place = drafted.text.find(following.asked.split(", ")[0])
    if place < 1:
        return drafted.text
    head = ENDS.sub("", drafted.text[:place])
    if drafted.content in head or drafted.content == drafted.text:
        return head or drafted.text
    return f"{head}\n{drafted.content}"
