"""A request read by itself: what it asks for, in order, and the text it brings along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import regex

from agent import clauses, parts, slots, wording
from agent.clauses import Clause
from agent.router import AGAIN, ASIDE, Router, Scored
from tasks import languages
from tasks.spec import TaskSpec

COUNTS = 0.5  # probability from which a clause asks for its task
SPOKEN = ("en", "zh")  # languages of the samples
CLEAR = 0.9  # and from which it does so without any cue beside another clause
POINTS = regex.compile(
    r"\b(?:it|this|that|these|those|them|one|the (?:result|answer|verdict|output|outcome))\b"
    r"|它|这|那|结果|答案|其|上面|之后|完",
    regex.I,
)
# How much likelier a task becomes beside conversation when the request brings a text, or none.
WITH_CONTENT, POINTING_BACK, WITHOUT_CONTENT = 3.0, 1.7, 0.4


@dataclass(frozen=True)
class Draft:
    """A step in the making: its task, and what in the request asks for it."""

    task: str
    confidence: float
    nearest: str
    asked: str
    start: int = 0


@dataclass(frozen=True)
class Reading:
    """A request understood as far as it goes by itself.

    Attributes:
        drafts: what is asked, in the order of doing; empty when nothing clear is.
        content: the text to work on, when the request has one.
        asked: the instruction, its content masked.
        again: the request asks for what was asked before.
        idle: no clause asks for anything.
        certain: the content is marked by quotes, lines or a colon.
        whole: the scores of the instruction taken as one.
    """

    drafts: list[Draft]
    content: str | None
    asked: str
    again: bool = False
    idle: bool = False
    certain: bool = False
    whole: Scored | None = None


class Reader:
    """Reads requests with the router. Keeps nothing between calls."""

    def __init__(self, tasks: Mapping[str, TaskSpec], router: Router) -> None:
        self._tasks = tasks
        self._router = router
        self._chat = next(name for name, task in tasks.items() if task.conversation)
        self._into = next((n for n, task in tasks.items() if slots.target_slot(task)), None)

    def asks(self, sentences: list[str]) -> list[float]:
        """The probability that each sentence asks for something."""
        rows = self._router.quick(sentences)
        return [
            0.0 if _is_foreign(text) else 1 - scores[ASIDE]
            for text, scores in zip(sentences, rows, strict=True)
        ]

    def read(self, text: str, follows: bool = False) -> Reading:
        """Read a request.

        Args:
            text: clean and not empty.
            follows: there are earlier turns it may point to.
        """
        taken = parts.split(text, self.asks)
        whole = " ".join(taken.asking).strip()
        if not regex.search(r"[\p{L}\p{N}]", whole.replace("“…”", "")):
            return Reading([], taken.content, whole, again=True, idle=True, certain=True)
        ordered = _clauses(taken.asking)
        ordered = [_without_source(clause, taken.content) for clause in ordered]
        rests = {clause.text: rest for clause in ordered if (rest := without_target(clause.text))}
        texts = [clause.text for clause in ordered]
        several = len(ordered) > 1
        batch = texts + list(rests.values()) + ([whole] if several else [])
        weight = self._weight(taken, follows and POINTS.search(whole) is not None, follows)
        scored = [self._weighed(row, weight, follows) for row in self._router.score(batch)]
        by_text = {row.text: row for row in scored}
        rows = [(clause, by_text[clause.text]) for clause in ordered]
        overall = scored[-1] if several else scored[0]
        inner = {text: by_text[rest] for text, rest in rests.items()}
        drafts = self._drafts(
            rows, inner, taken.content is not None, taken.content is None and not follows
        )
        if taken.content is None and not follows:
            drafts = self._with_making(drafts, rows)
        drafts = self._settled(drafts, overall, taken, follows, rows)
        return Reading(
            drafts,
            taken.content,
            whole,
            again=any(row.top == AGAIN for _, row in rows),
            idle=all(row.top == ASIDE for _, row in rows),
            certain=taken.certain,
            whole=overall,
        )

    def _weight(self, taken: parts.Parts, points_back: bool, follows: bool) -> float:
        if taken.content and taken.certain:
            return WITH_CONTENT
        if points_back:
            return POINTING_BACK
        return 1.0 if taken.content or follows else WITHOUT_CONTENT

    def _weighed(self, row: Scored, weight: float, follows: bool) -> Scored:
        weights = {self._chat: 1.0, ASIDE: 1.0, AGAIN: weight * follows}
        scores = {name: p * weights.get(name, weight) for name, p in row.scores.items()}
        total = sum(scores.values())
        return replace(row, scores={name: p / total for name, p in scores.items()})

    def _drafts(
        self, rows: list[tuple[Clause, Scored]], rests: dict[str, Scored], brings: bool, lone: bool
    ) -> list[Draft]:
        drafts: list[Draft] = []
        for clause, row in rows:
            for draft in self._of_clause(clause, row, rests.get(clause.text), brings):
                self._add(drafts, draft, clause, lone)
        clear = [
            draft
            for draft in drafts
            if self._stands(draft, brings)
            or (lone and draft.task == self._chat and draft.confidence >= 0.7)
        ]
        return clear or drafts

    def _clear(self, draft: Draft, text: str) -> bool:
        """Whether a draft stands on a cue of its task, or on a probability that needs none."""
        return draft.confidence >= CLEAR or self._router.has_cue(draft.task, text)

    def _stands(self, draft: Draft, brings: bool) -> bool:
        """As `_clear`; conversation beside a text needs its cue, or it is mere background."""
        if draft.task == self._chat and brings:
            return self._router.has_cue(draft.task, draft.asked)
        return self._clear(draft, draft.asked)

    def _of_clause(
        self, clause: Clause, row: Scored, rest: Scored | None, brings: bool
    ) -> list[Draft]:
        """One draft, two when the clause also names a language, or none."""
        own = self._draft(clause, row)
        if rest is None or self._into is None:
            return own
        inner = self._draft(clause, rest)
        if (
            not inner
            or inner[0].task == self._into
            or not self._router.has_cue(inner[0].task, rest.text)
        ):
            return own
        if inner[0].task == self._chat:
            return own if brings and own and own[0].task == self._into else inner
        sure = max(inner[0].confidence, row.scores[self._into])
        return [*inner, Draft(self._into, sure, row.nearest[self._into], clause.text)]

    def _draft(self, clause: Clause, row: Scored) -> list[Draft]:
        name, sure = row.top, row.scores[row.top]
        if name in {ASIDE, AGAIN} or sure < COUNTS:
            return []
        return [Draft(name, sure, row.nearest[name], clause.text)]

    def _add(self, drafts: list[Draft], draft: Draft, clause: Clause, lone: bool) -> None:
        for index, other in enumerate(drafts):
            if other.task == draft.task:
                asked = (
                    other.asked if draft.asked in other.asked else f"{other.asked}, {draft.asked}"
                )
                if draft.confidence > other.confidence + 0.25:  # the first was only a hint
                    del drafts[index]
                    drafts.append(replace(draft, asked=asked))
                else:
                    sure = max(other.confidence, draft.confidence)
                    drafts[index] = replace(other, asked=asked, confidence=sure)
                return
        if (
            drafts
            and not clause.then
            and self._into in {other.task for other in drafts}
            and self._tasks[draft.task].kind == "write"
            and draft.task != self._chat
            and languages.parse(drafts[-1].asked.strip(" .?!。？！")) is not None
        ):  # "Italian, in one sentence": the bare language says in what the result is wanted
            drafts.insert(len(drafts) - 1, draft)
            return
        if draft.task == self._chat and drafts and not (clause.joined and draft.confidence > 0.8):
            if lone and draft.confidence > max(other.confidence for other in drafts):
                drafts[:] = [draft]
            return
        drafts.append(draft)

    def _settled(
        self,
        drafts: list[Draft],
        whole: Scored,
        taken: parts.Parts,
        follows: bool,
        rows: list[tuple[Clause, Scored]],
    ) -> list[Draft]:
        """The drafts, checked against the request as a whole."""
        if not drafts:
            return self._from_whole(whole, taken, follows, rows)
        if (
            drafts[0].task == self._chat
            and len(drafts) > 1
            and not (taken.content and taken.certain)
        ):
            joined = {clause.text for clause, _ in rows if clause.then}
            drafts = drafts[:1] + [
                draft
                for draft in drafts[1:]
                if (any(text in draft.asked for text in joined) or POINTS.search(draft.asked))
                and not self._only_names_a_language(draft)
            ]
        return drafts

    def _with_making(self, drafts: list[Draft], rows: list[tuple[Clause, Scored]]) -> list[Draft]:
        """With the conversation step that a later one needs: "a fun fact, then in French"."""
        if not drafts or drafts[0].task == self._chat or len(rows) < 2:
            return drafts
        clause, first = rows[0]
        joined = any(c.joined and c.text in drafts[0].asked for c, _ in rows)
        if clause.text in drafts[0].asked or not joined or first.scores[self._chat] < 0.2:
            return drafts
        sure = first.scores[self._chat]
        return [Draft(self._chat, sure, first.nearest[self._chat], clause.text), *drafts]

    def _only_names_a_language(self, draft: Draft) -> bool:
        """Whether a clause is a bare language, as the end of "in English and German" is."""
        return languages.parse(draft.asked.strip(" .?!。？！")) is not None

    def _from_whole(
        self,
        whole: Scored,
        taken: parts.Parts,
        follows: bool,
        rows: list[tuple[Clause, Scored]],
    ) -> list[Draft]:
        if not (taken.content and taken.certain):
            name = max(self._tasks, key=whole.scores.__getitem__)
            sure = whole.scores[name]
            fits = sure >= COUNTS and whole.top not in {ASIDE, AGAIN}
            return [Draft(name, sure, whole.nearest[name], whole.text)] if fits else []
        if follows and (whole.top == AGAIN or whole.scores[ASIDE] > 0.8):
            return []
        sums = {
            name: whole.scores[name] + max(row.scores[name] for _, row in rows)
            for name in self._tasks
        }
        name = max(sums, key=sums.__getitem__)
        sure = sums[name] / sum(sums.values())
        return [Draft(name, sure, whole.nearest[name], whole.text)]


def _clauses(asking: tuple[str, ...]) -> list[Clause]:
    """The clauses of the instruction in the order of doing, lists of choices kept whole."""
    ordered: list[Clause] = []
    for passage in asking:
        choices = wording.find_choices(passage)
        keep = ((choices.start, choices.end),) if choices else ()
        split = [
            clause
            for clause in clauses.split(passage, keep)
            if clause.text.replace("“…”", "").strip(" .?!。？！")
        ]
        ordered += [split[position] for position in clauses.in_order(split)]
    return list(dict.fromkeys(ordered))[: clauses.LIMIT]


def _without_source(clause: Clause, content: str | None) -> Clause:
    """The clause without the content's own language, which says nothing of what is wanted."""
    if content is None:
        return clause
    language = languages.detect(content)
    text = clause.text
    for mention in reversed(languages.find(text)):
        if mention.code == language and not slots.is_target(text, mention):
            text = text[: mention.start] + text[mention.end :]
    return replace(clause, text=text) if text.strip() else clause


def _is_foreign(text: str) -> bool:
    """Whether a sentence is in a language that requests do not come in, so it is content."""
    letters = len(regex.findall(r"\p{L}", text))
    return letters > 25 and languages.detect(text) not in SPOKEN


def without_target(text: str) -> str | None:
    """A clause without the phrase that names a wanted language; None when it names none.

    "Summarize this in French" leaves "Summarize this"; what is left says whether the language
    is all the clause is about.
    """
    target = slots.target_phrase(text)
    if target is None:
        return None
    rest = regex.sub(r"\s+", " ", text[: target[0]] + " " + text[target[1] :]).strip(" ,，:")
    letters = len(regex.findall(r"\p{Han}", rest)) * 2 + len(regex.findall(r"\p{Latin}", rest))
    return rest if letters >= 4 else None
