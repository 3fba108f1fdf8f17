"""Scored clauses -> drafts of steps: which clauses ask for something, and in what order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import regex

from agent.planning.clauses import Clause
from agent.planning.router import AGAIN, ASIDE, ClauseScores, Router
from tasks import languages
from tasks.spec import TaskSpec, conversation_task

CLAUSE_PROBABILITY = 0.5  # from which a clause asks for its task
UNCUED_PROBABILITY = 0.9  # and from which it does so without any cue beside another clause
LONE_CHAT_PROBABILITY = 0.7  # and conversation, when no text came with the request
JOINED_CHAT_PROBABILITY = 0.8  # and conversation after another step
CUED_CHAT_PROBABILITY = 0.6  # the same with a word for making something
TAKEOVER_MARGIN = 0.25  # by how much a later clause must be surer to take an earlier one's place
POINTS = regex.compile(
    r"\b(?:it|this|that|these|those|them|one|the (?:result|answer|verdict|output|outcome))\b"
    r"|它|这|那|结果|答案|其|上面|之后|完",
    regex.I,
)


@dataclass(frozen=True)
class Draft:
    """A step in the making: its task, and what in the request asks for it."""

    task: str
    confidence: float
    nearest: str
    asked: str


@dataclass(frozen=True)
class RequestContext:
    """What stands around the instruction.

    Attributes:
        brings: the request has a text of its own.
        certain: and quotes, lines or a colon mark it.
        follows: there are earlier turns.
    """

    brings: bool
    certain: bool
    follows: bool

    @property
    def lone(self) -> bool:
        """There is nothing to work on, so only something new can be made."""
        return not self.brings and not self.follows


@dataclass(frozen=True)
class ScoredClause:
    """A clause with its scores, and those of it without the language it names, if it names one."""

    clause: Clause
    scored: ClauseScores
    rest: ClauseScores | None = None


class Drafter:
    """Makes drafts out of scored clauses."""

    def __init__(self, tasks: Mapping[str, TaskSpec], router: Router) -> None:
        self._tasks = tasks
        self._router = router
        self._chat = conversation_task(tasks).name
        self._into = next((name for name, task in tasks.items() if task.target_slot), None)

    def drafts(self, rows: list[ScoredClause], context: RequestContext) -> list[Draft]:
        """What the clauses ask for, in the order of doing; empty when none is clear."""
        drafts: list[Draft] = []
        for row in rows:
            for draft in self._of_clause(row, context):
                self._add(drafts, draft, row.clause, context)
        clear = [draft for draft in drafts if self._stands(draft, context)]
        drafts = clear or drafts
        if context.lone:
            drafts = self._with_making(drafts, rows)
        if drafts and drafts[0].task == self._chat and not context.certain:
            drafts = drafts[:1] + [d for d in drafts[1:] if self._continues(d, rows)]
        return self._shortened_first(drafts, rows)

    def _shortened_first(self, drafts: list[Draft], rows: list[ScoredClause]) -> list[Draft]:
        """A text is shortened before it is translated, unless the words say otherwise."""
        joined = [row.clause.text for row in rows if row.clause.joined]
        for place, draft in enumerate(drafts[1:], start=1):
            task = self._tasks[draft.task]
            shortens = task.kind == "write" and not task.conversation
            free = not any(text in draft.asked for text in joined)
            if drafts[place - 1].task == self._into and shortens and free:
                drafts[place - 1], drafts[place] = draft, drafts[place - 1]
        return drafts

    def of_whole(
        self, whole: ClauseScores, rows: list[ScoredClause], context: RequestContext
    ) -> list[Draft]:
        """One draft from the instruction taken as one, when no clause is clear by itself."""
        if not context.certain:
            name = max(self._tasks, key=whole.scores.__getitem__)
            sure = whole.scores[name]
            fits = sure >= CLAUSE_PROBABILITY and whole.top not in {ASIDE, AGAIN}
            return [Draft(name, sure, whole.nearest[name], whole.text)] if fits else []
        if context.follows and (
            whole.top == AGAIN or whole.scores[ASIDE] > JOINED_CHAT_PROBABILITY
        ):
            return []
        sums = {
            name: whole.scores[name] + max(row.scored.scores[name] for row in rows)
            for name in self._tasks
        }
        name = max(sums, key=sums.__getitem__)
        sure = sums[name] / sum(sums.values())
        return [Draft(name, sure, whole.nearest[name], whole.text)]

    def _of_clause(self, row: ScoredClause, context: RequestContext) -> list[Draft]:
        """One draft, two when the clause also names a language, or none."""
        own = self._draft(row.clause, row.scored)
        if row.rest is None or self._into is None:
            return own
        inner = self._draft(row.clause, row.rest)
        if not inner or inner[0].task == self._into:
            return own
        if not self._router.has_cue(inner[0].task, row.rest.text):
            return own
        if inner[0].task == self._chat:
            put = bool(own) and own[0].task == self._into
            return own if context.brings and put else inner
        sure = max(inner[0].confidence, row.scored.scores[self._into])
        nearest = row.scored.nearest[self._into]
        return [*inner, Draft(self._into, sure, nearest, row.clause.text)]

    def _draft(self, clause: Clause, scored: ClauseScores) -> list[Draft]:
        name, sure = scored.top, scored.scores[scored.top]
        if name in {ASIDE, AGAIN} or sure < CLAUSE_PROBABILITY:
            return []
        return [Draft(name, sure, scored.nearest[name], clause.text)]

    def _add(
        self, drafts: list[Draft], draft: Draft, clause: Clause, context: RequestContext
    ) -> None:
        same = next((i for i, other in enumerate(drafts) if other.task == draft.task), None)
        if same is not None:
            _merge(drafts, same, draft)
        elif drafts and draft.task == self._chat:
            self._add_chat(drafts, draft, clause, context)
        elif drafts and self._says_in_what(drafts[-1], draft, clause):
            drafts.insert(len(drafts) - 1, draft)
        else:
            drafts.append(draft)

    def _add_chat(
        self, drafts: list[Draft], draft: Draft, clause: Clause, context: RequestContext
    ) -> None:
        """Conversation after another step: rarely meant, unless something joins the two."""
        making = self._router.has_cue(self._chat, clause.text)
        if clause.joined and draft.confidence > (
            CUED_CHAT_PROBABILITY if making else JOINED_CHAT_PROBABILITY
        ):
            drafts.append(draft)
        elif context.lone and draft.confidence > max(other.confidence for other in drafts):
            drafts[:] = [draft]

    def _says_in_what(self, last: Draft, draft: Draft, clause: Clause) -> bool:
        """Whether a bare language before a task names that of its result: "Italian, one line"."""
        written = self._tasks[draft.task].kind == "write"
        return written and not clause.then and last.task == self._into and _is_language(last.asked)

    def _stands(self, draft: Draft, context: RequestContext) -> bool:
        """Whether a draft rests on a cue of its task, or on a probability that needs none."""
        cue = self._router.has_cue(draft.task, draft.asked)
        if draft.task != self._chat:
            return cue or draft.confidence >= UNCUED_PROBABILITY
        if context.brings:  # beside a text, conversation without a cue is mere background
            return cue
        return cue or draft.confidence >= (
            LONE_CHAT_PROBABILITY if context.lone else UNCUED_PROBABILITY
        )

    def _continues(self, draft: Draft, rows: list[ScoredClause]) -> bool:
        """Whether a clause after something to be made works on what was made."""
        then = any(row.clause.then and row.clause.text in draft.asked for row in rows)
        points = POINTS.search(draft.asked) is not None
        return (then or points) and (then or not _is_language(draft.asked))

    def _with_making(self, drafts: list[Draft], rows: list[ScoredClause]) -> list[Draft]:
        """With the conversation step that a later one needs: "a fun fact, then in French"."""
        if not drafts or drafts[0].task == self._chat or len(rows) < 2:
            return drafts
        first = rows[0]
        sure = first.scored.scores[self._chat]
        joined = any(row.clause.joined and row.clause.text in drafts[0].asked for row in rows)
        if not joined or sure < 0.2 or first.clause.text in drafts[0].asked:
            return drafts
        making = Draft(self._chat, sure, first.scored.nearest[self._chat], first.clause.text)
        return [making, *drafts]


def _merge(drafts: list[Draft], index: int, draft: Draft) -> None:
    other = drafts[index]
    asked = other.asked if draft.asked in other.asked else f"{other.asked}, {draft.asked}"
    if draft.confidence > other.confidence + TAKEOVER_MARGIN:  # the first was only a hint of it
        del drafts[index]
        drafts.append(replace(draft, asked=asked))
    else:
        sure = max(other.confidence, draft.confidence)
        drafts[index] = replace(other, asked=asked, confidence=sure)


def _is_language(asked: str) -> bool:
    return languages.parse(asked.strip(" .?!。？！")) is not None
