"""HTML: the words between the tags of its blocks; everything else of the page stays as it is.

A tree would have to be written out anew; by the parser's positions only what changed is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import escape, unescape
from html.parser import HTMLParser
from itertools import accumulate

from documents.document import Block, BlockKind
from documents.inline_tags import runs
from documents.text_source import Piece, unwrapped

CHARSET = re.compile(
    rb"""<meta\b[^>]{0,200}?\bcharset\s*=\s*["']?\s*(?P<html>[\w-]+)"""
    rb"""|\A\s*<\?xml[^>]{0,100}?\bencoding\s*=\s*["'](?P<xml>[\w-]+)""",
    re.I,
)
CHARSET_WITHIN = 4096  # bytes
_INLINE = (
    "a abbr acronym b bdi bdo big br cite code data del dfn em font i img ins kbd label mark "
    "nobr q rp rt ruby s samp small span strike strong sub sup time tt u var wbr"
)
_EMPTY = "area base br col embed hr img input link meta source track wbr"
INLINE, EMPTY = frozenset(_INLINE.split()), frozenset(_EMPTY.split())
UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "math", "object", "iframe"})
# A tag of one of these ends an open one of the same set, up to what holds them.
LIST_END: dict[str, frozenset[str]] = {
    "li": frozenset({"ul", "ol", "menu"}),
    "td": frozenset({"tr", "table"}),
    "th": frozenset({"tr", "table"}),
    "tr": frozenset({"table", "tbody", "thead", "tfoot"}),
}
KINDS: dict[str, BlockKind] = {
    **{f"h{level}": "heading" for level in range(1, 7)},
    "title": "heading",
    "li": "list",
    "td": "table",
    "th": "table",
    "pre": "code",
    "caption": "caption",
    "figcaption": "caption",
}


def charset(raw: bytes) -> str | None:
    """The encoding that a page names."""
    found = CHARSET.search(raw[:CHARSET_WITHIN])
    return (found["html"] or found["xml"]).decode("ascii") if found else None


@dataclass
class _Event:
    """A token of the page: words, a tag, or something unseen."""

    kind: str  # "words", "open", "close", "mark"
    start: int
    value: str = ""  # a tag's name, or words
    end: int = 0


def pieces(text: str) -> Iterator[Piece]:
    """Its blocks, in the order of the page."""
    return _Walk(text).pieces()


class _Events(HTMLParser):
    """The tokens with their places in the text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.events: list[_Event] = []
        self.feed(text)
        self.close()
        ends = [event.start for event in self.events[1:]] + [len(text)]
        for event, end in zip(self.events, ends, strict=True):
            event.end = end
            if event.kind == "words":  # as it stands: the parser adds a `;` to `AT&T`
                event.value = text[event.start : end]

    def _add(self, kind: str, value: str = "") -> None:
        line, column = self.getpos()
        self.events.append(_Event(kind, self._line_starts[line - 1] + column, value))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """A tag opens."""
        self._add("mark" if tag in EMPTY and tag in INLINE else "open", tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """A tag that holds nothing."""
        self._add("mark" if tag in INLINE else "open", tag)
        if tag not in INLINE and tag not in EMPTY:
            self._add("close", tag)

    def handle_endtag(self, tag: str) -> None:
        """A tag closes."""
        self._add("close", tag)

    def handle_data(self, data: str) -> None:
        """Words."""
        self._add("words")

    def handle_entityref(self, name: str) -> None:
        """A character by its name."""
        self._add("words")

    def handle_charref(self, name: str) -> None:
        """A character by its number."""
        self._add("words")

    def handle_comment(self, data: str) -> None:
        """A comment."""
        self._add("mark", "!")

    def handle_decl(self, decl: str) -> None:
        """The document type."""
        self._add("mark", "!")

    def unknown_decl(self, data: str) -> None:
        """A CDATA section."""
        self._add("mark", "!")

    def handle_pi(self, data: str) -> None:
        """A processing instruction."""
        self._add("mark", "!")


@dataclass
class _Walk:
    text: str
    open_tags: list[str] = field(default_factory=list)
    row: int = 0

    def pieces(self) -> Iterator[Piece]:
        run: list[_Event] = []
        unseen = ""
        line, counted = 1, 0
        for event in [*_Events(self.text).events, _Event("close", len(self.text), "html")]:
            if unseen:
                unseen = "" if event.kind == "close" and event.value == unseen else unseen
                continue
            if event.kind in {"words", "mark"} or event.value in INLINE:
                run.append(event)
                continue
            if run and (piece := self._block(run)):
                line += self.text.count("\n", counted, piece.start)
                counted = piece.start
                yield replace(piece, block=replace(piece.block, line=line))
            run = []
            if event.kind == "open" and event.value in UNSEEN:
                unseen = event.value
            elif event.kind == "open" and event.value not in EMPTY:
                self._enter(event.value)
            elif event.value in self.open_tags:
                del self.open_tags[_last(self.open_tags, event.value) :]

    def _enter(self, tag: str) -> None:
        if holders := LIST_END.get(tag):
            within = max((_last(self.open_tags, holder) for holder in holders), default=-1)
            del self.open_tags[within + 1 :]
        self.row += tag == "tr"
        self.open_tags.append(tag)

    def _kind(self) -> tuple[BlockKind, int]:
        for tag in reversed(self.open_tags):
            if kind := KINDS.get(tag):
                depth = sum(tag in LIST_END["li"] for tag in self.open_tags)
                level = int(tag[1]) if tag[1:].isdecimal() else 1
                return kind, {"heading": level, "list": depth}.get(kind, 0)
        return "paragraph", 0

    def _block(self, run: list[_Event]) -> Piece | None:
        run = _inner(run)
        if not run:
            return None
        kind, level = self._kind()
        pre = kind == "code"
        groups: list[tuple[str, str]] = []  # the source of each pair of tags
        marks: list[str] = []
        pairs = _pairs(run)
        shown, tagged = "", ""
        closing: dict[int, int] = {}
        for place, event in enumerate(run):
            source = self.text[event.start : event.end]
            if event.kind == "words":
                words = unescape(event.value)
                shown, tagged = shown + words, tagged + words
            elif place in closing:
                tagged += f"</g{closing[place]}>"
            elif place in pairs:
                closer = run[pairs[place]]
                groups.append((source, self.text[closer.start : closer.end]))
                closing[pairs[place]] = len(groups)
                tagged += f"<g{len(groups)}>"
            else:
                marks.append(source)
                shown += "\0" * (event.value == "br")
                tagged += f"<x{len(marks)}/>"
        shown, tagged = (text.strip() if pre else _collapsed(text) for text in (shown, tagged))
        shown = shown.replace("\0", "\n")

        def written(new: str) -> str:
            return _with_tags(new, groups, marks)

        row = self.row if kind == "table" else None
        block = Block(kind, shown, tagged if groups or marks else "", level=level, row=row)
        start, end = run[0].start, run[-1].end
        if run[0].kind == "words":
            start += len(run[0].value) - len(run[0].value.lstrip())
        if run[-1].kind == "words":
            end -= len(run[-1].value) - len(run[-1].value.rstrip())
        return Piece(block, start, end, written)


def _with_tags(new: str, groups: list[tuple[str, str]], marks: list[str]) -> str:
    out = ""
    around: tuple[int, ...] = ()
    for run in runs(new, len(groups), len(marks)):
        kept = next(
            (i for i, (a, b) in enumerate(zip(around, run.groups, strict=False)) if a != b),
            min(len(around), len(run.groups)),
        )
        out += "".join(groups[number - 1][1] for number in reversed(around[kept:]))
        out += "".join(groups[number - 1][0] for number in run.groups[kept:])
        out += marks[run.mark - 1] if run.mark else escape(run.text, quote=False)
        around = run.groups
    return out + "".join(groups[number - 1][1] for number in reversed(around))


def _collapsed(text: str) -> str:
    """As a browser shows it; a NUL stands for a break."""
    return "\0".join(" ".join(unwrapped(part).split()) for part in text.split("\0")).strip("\0 ")


def _inner(run: list[_Event]) -> list[_Event]:
    """A run without what has no words at its ends: blanks, marks, and tags around all of it."""
    partner = _pairs(run)
    partner |= {end: begin for begin, end in partner.items()}
    spoken = [event.kind == "words" and bool(unescape(event.value).strip()) for event in run]
    before = [0, *accumulate(spoken)]  # how many with words stand before each place
    first, last = 0, len(run) - 1

    def idle(place: int) -> bool:
        other = partner.get(place, place)
        low, high = min(place, other), max(place, other)
        return low < first or high > last or before[high + 1] == before[low]

    while first <= last:
        if partner.get(first) == last:
            first, last = first + 1, last - 1
        elif idle(first):
            first += 1
        elif idle(last):
            last -= 1
        else:
            break
    return run[first : last + 1]


def _pairs(run: list[_Event]) -> dict[int, int]:
    """Place of a tag that opens -> of the one that closes it, where that is here."""
    open_places: list[int] = []
    found = {}
    for place, event in enumerate(run):
        if event.kind == "open":
            open_places.append(place)
        elif event.kind == "close":
            for i in range(len(open_places) - 1, -1, -1):
                if run[open_places[i]].value == event.value:
                    found[open_places[i]] = place
                    del open_places[i:]
                    break
    return found


def _last(items: list[str], item: str) -> int:
    """The last place of the item; -1 where it is not there."""
    return len(items) - 1 - items[::-1].index(item) if item in items else -1
