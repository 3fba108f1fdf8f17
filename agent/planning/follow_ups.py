"""What a request asks of the turn before: its steps again, one of them changed, or its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import regex

from agent.cleaning import clean_or_none
from agent.plan import Plan, Step
from agent.planning import asking, slots
from agent.planning.earlier_turns import EarlierTurns
from agent.planning.reading import Reader
from tasks import languages
from tasks.spec import TaskSpec, conversation_task

YOUR_ANSWER = regex.compile(
    r"\byour (?:last )?(?:answer|reply|response)|\bwhat you (?:just )?(?:said|wrote)"
    r"|你的?(?:刚才的?)?(?:回答|答案|回复)|你(?:刚才|刚刚)?(?:说|写)的",
    regex.I,
)
ORIGINAL = regex.compile(
    r"\b(?:original|originale?n?|whole|entire|full) (?:text|article|one|version|message)\b"
    r"|\bthe original\b|l'original|das Original|原文|全文",
    regex.I,
)
PASTED_SHARE = 0.8  # of an earlier message being content from which it was there to be worked on
NO_CONTENT = "…"  # the content of a step for which none can be found


@dataclass(frozen=True)
class Completed:
    """A request with what was missing: its instruction, content, and the task that was chosen."""

    asked: str
    content: str | None
    task: str | None


class FollowUps:
    """Finds what is done again and what is pointed at. Reads only; safe to share."""

    def __init__(self, tasks: Mapping[str, TaskSpec], reader: Reader) -> None:
        self._tasks, self._reader = tasks, reader
        self._chat = conversation_task(tasks).name

    def completed(self, before: Plan, reply: str) -> Completed | None:
        """A request that was asked back about, with the reply; None where the text is none.

        Args:
            before: its plan, which has a question.
        """
        question, first = before.question, before.steps[0]
        if question is None or question.about == "help":
            return None
        if question.about == "language":
            content = None if first.task == self._chat else first.text  # it is in the instruction
            asked = asking.with_language(question, reply)
            return Completed(asked, content, question.task) if asked else None
        pasted = self._is_pasted(reply)
        return Completed(question.asked, reply, question.task) if pasted else None

    def on_another(self, before: Sequence[Step], content: str) -> list[Step]:
        """The steps of the turn before, on another content."""
        first, values = before[0], dict(before[0].slots)
        task = self._tasks[first.task]
        if task.source_slot:
            values[task.source_slot] = languages.detect(
                content,
                str(values.get(task.source_slot, "en")),
                unlike=task.target_language(values),
            )
        return [replace(first, slots=values, text=content), *before[1:]]

    def changes_a_chain(
        self, names: Sequence[str], before: Sequence[Step], asked: str, earlier: EarlierTurns
    ) -> bool:
        """Whether one step of several is asked for anew, and what it worked on is not at hand."""
        chain = [step.task for step in before]
        if len(names) > 1 or names[0] not in chain or len(set(chain)) < 2:
            return False
        if YOUR_ANSWER.search(asked) or ORIGINAL.search(asked):
            return False
        return chain[-1] != names[0] or _result_before_last(earlier, before) is None

    def changed(self, before: Sequence[Step], name: str, asked: str) -> list[Step]:
        """The steps of the turn before, one of them with what is asked for now."""
        task = self._tasks[name]
        steps: list[Step] = []
        for step in before:
            if step.task != name:
                steps.append(step)
            elif not any(other.task == name for other in steps):  # in several languages before
                language = str(step.slots.get(task.source_slot or "", "en"))
                request = languages.detect(asked)
                values = slots.fill(task, asked, language, request, earlier=step.slots)
                if not task.target_slot or values[task.target_slot] != language:
                    steps.append(replace(step, slots={**step.slots, **values}))
        return steps

    def pointed_at(self, name: str, asked: str, earlier: EarlierTurns) -> str | None:
        """The text that a request without content is about."""
        before = earlier.before()
        if YOUR_ANSWER.search(asked) or before is None:
            return earlier.answer
        if before[0].task == self._chat:
            request = clean_or_none(earlier.request or "")
            return request if request and self._is_pasted(request) else earlier.answer or request
        result = _result_before_last(earlier, before)
        if result and before[-1].task == name and not ORIGINAL.search(asked):
            return result
        # A task done again, or after or for a judgement, is about the original, not the answer.
        judged = "choose" in {self._tasks[name].kind, self._tasks[before[-1].task].kind}
        same = judged or any(step.task == name for step in before)
        original = before[0].text if before[0].text != NO_CONTENT else None
        return original if same else earlier.answer or original

    def _is_pasted(self, request: str) -> bool:
        """Whether a message was there to be worked on: it asks for nothing."""
        content = self._reader.read(request).content
        return content is not None and len(content) > PASTED_SHARE * len(request)


def _result_before_last(earlier: EarlierTurns, steps: Sequence[Step]) -> str | None:
    """What the last of several steps worked on, where the answer tells the results apart."""
    results = earlier.results
    return results[-2] if len(results) == len(steps) > 1 else None
