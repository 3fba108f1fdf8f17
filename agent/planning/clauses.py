"""An instruction -> its clauses, in the order in which they are to be done."""

from __future__ import annotations

from dataclasses import dataclass

import regex

MAX_CLAUSES = 12  # clauses looked at; more is pasted text, not an instruction
CLAUSE_BREAK = regex.compile(
    r"(?<=[.!?;])\s+|[。！？；\n]+|;\s|\s*[,，]\s*(?:and\s+)?|\s+(?:and|then|but|plus|\+|&)\s+"
    r"|、(?=[\p{Han}]{2})|(?=(?:然后|接着|随后|并且|顺便|最后|同时|再(?!次|见|短|讲)))|(?<=之前|以前|之后|以后)"
    r"|(?<=[\p{Han}”])(?=并(?![不非没列排购存行发]))|\s(?=before\s|after\s(?!that|this|all|years|ten))|\s[-–—+|]+\s|[:：]|[()（）]",
    regex.I,
)
BEFORE_CLAUSE = regex.compile(r"^\s*(?:before|prior to)\b|(?:之前|以前)$", regex.I)
AFTER_CLAUSE = regex.compile(
    r"^\s*(?:(?:but )?only )?(?:after(?!\s+(?:that|this|which)\b)|once|when)\b", regex.I
)
FIRST_CLAUSE = regex.compile(r"\bfirst\b|^先|但先|不过先", regex.I)
CLAUSE_EDGES = " ,，、;；:：-–—|+()（）\n"
JOINING_BREAK = regex.compile(r"\b(?:and|then|plus)\b|[+&]", regex.I)
THEN_CLAUSE = regex.compile(
    r"^\W*(?:(?:and|but|,)\s)?(?:then|next|after|afterwards|finally|followed|再|然后|接着|随后|最后)"
    r"|\bthen\b|\bafter(?:wards| that)\W*$",
    regex.I,
)
JOINED_CLAUSE = regex.compile(
    r"^\W*(?:and|then|next|after|afterwards|finally|followed|also|plus|并|再|然后|接着|最后|顺便|随后)"
    r"|\b(?:afterwards|after that|too|as well)\W*$",
    regex.I,
)


@dataclass(frozen=True)
class Clause:
    """One clause; `joined` to what went before by any such word, or by a plain `then`."""

    text: str
    joined: bool = False
    then: bool = False


def split(instruction: str, keep: tuple[tuple[int, int], ...] = ()) -> list[Clause]:
    """The clauses in the order written.

    Args:
        instruction: its quoted content masked.
        keep: spans never to split, such as a list of choices.
    """
    split_off: list[Clause] = []
    start, before = 0, ""
    for match in [*CLAUSE_BREAK.finditer(instruction), None]:
        stop = match.start() if match else len(instruction)
        end = match.end() if match else stop
        if match and any(first < end and stop < last for first, last in keep):
            continue
        text = instruction[start:stop].strip(CLAUSE_EDGES)
        if regex.search(r"[\p{L}\p{N}…?？]", text):
            joined = bool(JOINED_CLAUSE.search(text) or JOINING_BREAK.search(before))
            then = bool(THEN_CLAUSE.search(text) or THEN_CLAUSE.search(before))
            split_off.append(Clause(text, joined, then))
        start, before = end, match.group() if match else ""
    return split_off[:MAX_CLAUSES]


def in_order(clauses: list[Clause]) -> list[int]:
    """Positions of the clauses in the order of doing: "before x, y" is y, x."""
    order = list(range(len(clauses)))
    for position, clause in enumerate(clauses[:-1]):
        if BEFORE_CLAUSE.search(clause.text):
            order.remove(position)
            order.insert(order.index(position + 1) + 1, position)
    for position, clause in enumerate(clauses[1:], start=1):
        if AFTER_CLAUSE.search(clause.text) and not clauses[position - 1].text.endswith(
            (".", "!", "?")
        ):
            order.remove(position)
            order.insert(order.index(position - 1), position)
        elif FIRST_CLAUSE.search(clause.text) and not any(
            FIRST_CLAUSE.search(c.text) for c in clauses[:position]
        ):
            order.remove(position)
            order.insert(0, position)
    return order
