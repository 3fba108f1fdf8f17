"""A request read by itself: what it asks for, in order, and the text it brings along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import regex

from agent.planning import clauses, parts, slots, wording
from agent.planning.clauses import Clause
from agent.planning.drafting import POINTS, Draft, Drafter, RequestContext, ScoredClause
from agent.planning.router import AGAIN, ASIDE, ClauseScores, Router
from tasks import languages
from tasks.spec import TaskSpec, conversation_task

REQUEST_LANGUAGES = ("en", "zh")  # languages of the samples
# How much likelier a task becomes beside conversation when the request brings a text, points
# back at one, or has none.
WITH_CONTENT, POINTING_BACK, WITHOUT_CONTENT = 3.0, 1.7, 0.4


@dataclass(frozen=True)
class Reading:
    """A request understood as far as it goes by itself.

    Attributes:
        drafts: what is asked, in the order of doing; empty when nothing clear is.
        content: the text to work on, when the request has one.
        certain: quotes, lines or a colon mark the content.
        asked: the instruction, its content masked.
        again: the request asks for what was asked before.
        idle: no clause asks for anything.
    """

    drafts: list[Draft]
    content: str | None
    certain: bool
    asked: str
    again: bool = False
    idle: bool = False


class Reader:
    """Reads requests with the router. Keeps nothing between calls."""

    def __init__(self, tasks: Mapping[str, TaskSpec], router: Router) -> None:
        self._router = router
        self._drafter = Drafter(tasks, router)
        self._chat = conversation_task(tasks).name

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
        asked = " ".join(taken.asking).strip()
        ordered = _clauses(taken)
        if not ordered:
            return Reading([], taken.content, certain=True, asked=asked, again=True, idle=True)
        context = RequestContext(taken.content is not None, taken.certain, follows)
        weight = _weight(context, asked)
        rows = self._rows(ordered, weight, follows)
        drafts = self._drafter.drafts(rows, context)
        if not drafts:
            whole = rows[0].scored
            if len(rows) > 1:
                whole = self._weighed(self._router.score([asked])[0], weight, follows)
            drafts = self._drafter.of_whole(whole, rows, context)
        tops = {row.scored.top for row in rows}
        return Reading(
            drafts,
            taken.content,
            certain=taken.certain,
            asked=asked,
            again=AGAIN in tops,
            idle=tops == {ASIDE},
        )

    def _rows(self, ordered: list[Clause], weight: float, follows: bool) -> list[ScoredClause]:
        """Clauses scored in one batch."""
        rests = [without_target(clause.text) for clause in ordered]
        texts = list(dict.fromkeys([*(clause.text for clause in ordered), *filter(None, rests)]))
        scored = {
            row.text: self._weighed(row, weight, follows) for row in self._router.score(texts)
        }
        return [
            ScoredClause(clause, scored[clause.text], scored[rest] if rest else None)
            for clause, rest in zip(ordered, rests, strict=True)
        ]

    def _weighed(self, row: ClauseScores, weight: float, follows: bool) -> ClauseScores:
        weights = {self._chat: 1.0, ASIDE: 1.0, AGAIN: weight * follows}
        scores = {name: p * weights.get(name, weight) for name, p in row.scores.items()}
        total = sum(scores.values())
        return replace(row, scores={name: p / total for name, p in scores.items()})


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


def _weight(context: RequestContext, asked: str) -> float:
    if context.brings and context.certain:
        return WITH_CONTENT
    if context.follows and POINTS.search(asked):
        return POINTING_BACK
    return WITHOUT_CONTENT if context.lone else 1.0


def _clauses(taken: parts.Parts) -> list[Clause]:
    """The clauses of the instruction in the order of doing, lists of choices kept whole."""
    ordered: list[Clause] = []
    for passage in taken.asking:
        choices = wording.find_choices(passage)
        keep = ((choices.start, choices.end),) if choices else ()
        split = [
            c for c in clauses.split(passage, keep) if c.text.replace("“…”", "").strip(" .?!。？！")
        ]
        ordered += [split[position] for position in clauses.in_order(split)]
    named = [_without_source(clause, taken.content) for clause in ordered]
    return list(dict.fromkeys(named))[: clauses.MAX_CLAUSES]


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
    return letters > 25 and languages.detect(text) not in REQUEST_LANGUAGES
