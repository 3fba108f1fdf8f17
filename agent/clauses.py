"""An instruction -> its clauses, in the order in which they are to be done."""

from __future__ import annotations

from dataclasses import dataclass

import regex

LIMIT = 12  # clauses looked at; more is pasted text, not an instruction
SPLIT = regex.compile(
    r"(?<=[.!?;])\s+|[。！？；;\n]+|\s*[,，]\s*(?:and\s+)?|\s+(?:and|then|but|plus|\+|&)\s+"
    r"|、(?=[\p{Han}]{2})|(?=(?:然后|接着|随后|并且|顺便|最后|同时|再(?!次|见|短|讲)))|(?<=之前|以前|之后|以后)"
    r"|(?<=[\p{Han}”])(?=并(?![不非没列排购存行发]))|\s(?=before\s|after\s(?!that|this|all|years|ten))|\s[-–—+|]+\s|[:：]|[()（）]",
    regex.I,
)
LATER = regex.compile(r"^\s*(?:before|prior to)\b|(?:之前|以前)$", regex.I)
EARLIER = regex.compile(r"^\s*(?:after(?!\s+(?:that|this|which)\b)|once|when)\b", regex.I)
FIRST = regex.compile(r"\bfirst\b|^先|但先|不过先", regex.I)
JOINED = regex.compile(
    r"^\W*(?:and|then|next|after|afterwards|finally|followed|also|plus|并|再|然后|接着|最后|顺便|随后)"
    r"|\b(?:afterwards|after that|too|as well)\W*$",
    regex.I,
)


@dataclass(frozen=True)
class Clause:
    """One clause, and whether a word like "then" joins it to what went before."""

    text: str
    joined: bool = False


def split(instruction: str, keep: tuple[tuple[int, int], ...] = ()) -> list[Clause]:
    """The clauses in the order written.

    Args:
        instruction: its quoted content masked.
        keep: spans never to split, such as a list of choices.
    """
    cuts = [0]
    joins = {0: False}
    for match in SPLIT.finditer(instruction):
        if any(start < match.end() and match.start() < end for start, end in keep):
            continue
        cuts.append(match.end())
        joins[match.end()] = bool(regex.search(r"and|then|plus|\+|&", match.group(), regex.I))
    cuts.append(len(instruction))
    found = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        text = SPLIT.sub(" ", instruction[start:end]) if not keep else instruction[start:end]
        text = text.strip(" ,，、;；:：-–—|+()（）\n")
        if regex.search(r"[\p{L}\p{N}…?？]", text):
            found.append(Clause(text, joins[start] or bool(JOINED.search(text))))
    return found[:LIMIT]


def in_order(clauses: list[Clause]) -> list[int]:
    """Positions of the clauses in the order of doing: "before x, y" is y, x."""
    order = list(range(len(clauses)))
    for position, clause in enumerate(clauses[:-1]):
        if LATER.search(clause.text):
            order.remove(position)
            order.insert(order.index(position + 1) + 1, position)
    for position, clause in enumerate(clauses[1:], start=1):
        if EARLIER.search(clause.text) and not clauses[position - 1].text.endswith((".", "!", "?")):
            order.remove(position)
            order.insert(order.index(position - 1), position)
        elif FIRST.search(clause.text) and not any(
            FIRST.search(c.text) for c in clauses[:position]
        ):
            order.remove(position)
            order.insert(0, position)
    return order
