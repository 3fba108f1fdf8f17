"""A request read by the trained network: which words are the content, what the others ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import regex
from numpy.typing import NDArray

from agent.planning import features
from agent.planning.features import QUOTED, Features
from agent.planning.patterns import CONTENT

if TYPE_CHECKING:
    from agent.planning.artefact import Artefact

EDGES = regex.compile(r"^[\s\-–—|>→:：,，]+|[\s\-–—|→]+$")
OPENING, CLOSING = "“„「『«‹‘\"'`(（[", "”“」』»›’\"'`)）]"
GLUED = regex.compile(r"[.!?。！？…）)]+")
UNIT_ENDS = "\n.。!！?？:：;；…"
QUOTE_MARKS = OPENING + CLOSING
MID_UNIT = 3.0  # log-odds that it costs content to begin or end within a sentence
SURE = 6.0  # log-odds of one token; none may outweigh its neighbours
BEAM = 4


@dataclass(frozen=True)
class Reading:
    """A request understood as far as it goes by itself.

    Attributes:
        plans: the likeliest plans with calibrated probabilities, likeliest first; a plan is task
            names in the order of doing, or `again`.
        content: the text to work on, when the request has one.
        asked: what is not content, by the task it asks for; `""` is all of it.
        rests: for each plan of several tasks, the request without what asks for its later ones.
    """

    plans: tuple[tuple[tuple[str, ...], float], ...]
    content: str | None = None
    asked: dict[str, str] = field(default_factory=dict)
    rests: dict[tuple[str, ...], str] = field(default_factory=dict)

    def renamed(self, plan: tuple[str, ...], other: tuple[str, ...]) -> Reading:
        """With one plan as another, which then has the probability of both."""
        chances: dict[tuple[str, ...], float] = {}
        for names, chance in self.plans:
            name = other if names == plan else names
            chances[name] = chances.get(name, 0.0) + chance
        return replace(self, plans=tuple(sorted(chances.items(), key=lambda item: -item[1])))


class Reader:
    """Reads requests. Keeps nothing between calls; safe to share between threads.

    Attributes:
        threshold: probability of a plan below which it is uncertain.
    """

    def __init__(self, artefact: Artefact) -> None:
        self._artefact = artefact
        self.threshold = artefact.threshold

    def read(self, text: str, before: Sequence[str] = ()) -> Reading:
        """Read a request.

        Args:
            text: clean and not empty.
            before: the tasks of the turn before.
        """
        found = features.of(text)
        if not found.tokens:
            return Reading((((self._artefact.names[0],), 1.0),), asked={"": text})
        tags, plans = self._artefact.run(found, before, BEAM)
        content = self._content(text, found, tags)
        asked = self._asked(text, found, tags, content)
        start, end = content or (0, 0)
        tops = [self._artefact.tags[int(i)] for i in tags.argmax(axis=1)]
        return Reading(
            tuple(plans),
            content=(_unquoted(text[start:end]) or None) if content else None,
            asked=asked,
            rests={
                plan: _without(text, found, tops=tops, later=plan[1:], content=content)
                for plan, _ in plans
                if len(plan) > 1
            },
        )

    def _content(
        self, text: str, found: Features, tags: NDArray[np.float32]
    ) -> tuple[int, int] | None:
        """The place of the likeliest run of content."""
        odds = _log_odds(tags, self._artefact.tags.index(CONTENT))
        begins, ends = _edges(found)
        first, last = _best_run(_of_units(odds, begins), begins, ends)
        if first > last:
            return _behind_the_first_unit(text, found, ends) if found.gap else None
        start, end = found.tokens[first].start, found.tokens[last].end
        return _at_its_edges(text, start, end)

    def _asked(
        self,
        text: str,
        found: Features,
        tags: NDArray[np.float32],
        content: tuple[int, int] | None,
    ) -> dict[str, str]:
        """What stands around the content, and of it the words of each task."""
        start, end = content or (len(text), len(text))
        names = self._artefact.tags
        outside = [i for i, t in enumerate(found.tokens) if t.end <= start or t.start >= end]
        words: dict[str, list[tuple[int, int]]] = {"": []}
        own = tags.copy()
        own[:, names.index(CONTENT)] = -np.inf
        for index in outside:
            token = found.tokens[index]
            for name in ("", names[int(own[index].argmax())]):
                spans = words.setdefault(name, [])
                if spans and not text[spans[-1][1] : token.start].strip():
                    spans[-1] = (spans[-1][0], token.end)
                else:
                    spans.append((token.start, token.end))
        if found.gap is not None and content is None:
            words[""] = [(0, found.tokens[found.gap - 1].end)]
        return {
            name: " … ".join(text[s:e] for s, e in spans).strip() for name, spans in words.items()
        }


def _log_odds(tags: NDArray[np.float32], column: int) -> NDArray[np.float64]:
    """Of each token being content, by logits (tokens, tags)."""
    others = np.delete(tags, column, axis=1).astype(np.float64)
    top = others.max(axis=1, keepdims=True)
    rest = top[:, 0] + np.log(np.exp(others - top).sum(axis=1))
    return np.asarray(np.clip(tags[:, column] - rest, -SURE, SURE))


def _edges(found: Features) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Before and behind which tokens a line, a sentence or a quoted passage begins or ends."""
    marks = [token.text[0] for token in found.tokens]
    begins = [
        not i or marks[i - 1] in UNIT_ENDS or marks[i] in QUOTE_MARKS for i in range(len(marks))
    ]
    ends = [
        mark in UNIT_ENDS or following in "\n" or following in QUOTE_MARKS
        for mark, following in zip(marks, [*marks[1:], "\n"], strict=True)
    ]
    return np.array(begins), np.array(ends)


def _behind_the_first_unit(
    text: str, found: Features, ends: NDArray[np.bool_]
) -> tuple[int, int] | None:
    """The rest of a long text, which cannot all be instruction."""
    head = np.flatnonzero(ends[: found.gap])
    start = found.tokens[int(head[0])].end if len(head) else 0
    return _at_its_edges(text, start, len(text))


def _of_units(odds: NDArray[np.float64], begins: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each token's log-odds drawn halfway to the mean of its line, sentence or passage."""
    unit = np.cumsum(begins) - 1
    means = np.bincount(unit, odds) / np.bincount(unit)
    return np.asarray((odds + means[unit]) / 2)


def _best_run(
    odds: NDArray[np.float64], begins: NDArray[np.bool_], ends: NDArray[np.bool_]
) -> tuple[int, int]:
    """First and last place of the run with the largest sum; (0, -1) if none is above 0.

    As Kadane's algorithm, but a run that begins or ends within a sentence pays for it.
    """
    best, place = 0.0, (0, -1)
    total, start = -np.inf, 0
    for index, value in enumerate(odds.tolist()):
        fresh = 0.0 if begins[index] else -MID_UNIT
        if total <= fresh:
            total, start = fresh, index
        total += value
        worth = total if ends[index] else total - MID_UNIT
        if worth > best:
            best, place = worth, (start, index)
    return place


def _at_its_edges(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The run with the marks that belong to it and without those that do not."""
    opener = text[start - 1 : start]
    if opener and opener in OPENING:
        closer = CLOSING[OPENING.index(opener)]
        if closer in text[start:end] and not text[end:].startswith(closer):
            start -= 1
    first = text[start]
    if first in OPENING and text[end : end + 1] == CLOSING[OPENING.index(first)]:
        start += 1
    elif text[end - 1] in CLOSING and opener and opener == OPENING[CLOSING.index(text[end - 1])]:
        end -= 1
    glued = GLUED.match(text, end)
    opened = glued and (not set(glued.group()) <= set(")）") or set("(（") & set(text[start:end]))
    if glued and opened and text[glued.end() : glued.end() + 1] in {"", " ", "\n"}:
        end = glued.end()
    inner = text[start:end]
    inner_start = len(inner) - len(regex.sub(r"^[\s|>→:：,，]+", "", inner))
    inner_end = len(inner.rstrip().rstrip("|→").rstrip())
    if inner_start >= inner_end:
        return None
    return start + inner_start, start + inner_end


def _unquoted(content: str) -> str:
    """Without the quotes or the fence around all of it."""
    match = QUOTED.fullmatch(content) if len(content) < 100_000 else None
    if match is None:
        return content
    if content.startswith("```"):
        inner = content[3:-3]
        return regex.sub(r"^[\w+-]*\n", "", inner).strip() or content
    return content[1:-1].strip() or content


def _without(
    text: str,
    found: Features,
    *,
    tops: Sequence[str],
    later: Sequence[str],
    content: tuple[int, int] | None,
) -> str:
    """The request without the words of the later steps."""
    if found.gap is not None:
        return text
    start, end = content or (0, 0)
    pieces: list[tuple[int, int]] = []
    for token, name in zip(found.tokens, tops, strict=True):
        if name in later and not start <= token.start < end:
            continue
        if pieces and not text[pieces[-1][1] : token.start].strip():
            pieces[-1] = (pieces[-1][0], token.end)
        else:
            pieces.append((token.start, token.end))
    rest = " ".join(text[begin:stop] for begin, stop in pieces)
    return str(EDGES.sub("", rest)).rstrip(",;，； ") or text
