"""DOCX: the paragraphs of its body, tables, notes, headers and footers, and new words for them.

By its XML: everything that is not a changed paragraph keeps its bytes or its tree.
"""

from __future__ import annotations

import copy
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

from lxml import etree

from documents import package
from documents.document import Block, BlockKind
from documents.inline_tags import runs

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
SPACE = "{http://www.w3.org/XML/1998/namespace}space"
# "Strict Open XML" has another name for the same elements.
STRICT, TRANSITIONAL = b"http://purl.oclc.org/ooxml/wordprocessingml/main", W[1:-1].encode()
BODY = "word/document.xml"
ASIDE = re.compile(r"word/(?:footnotes|endnotes|header\d*|footer\d*)\.xml")
HEADING = re.compile(r"heading (\d)", re.I)
# In a paragraph these hold runs, and are themselves no formatting.
_TRANSPARENT = "ins moveTo smartTag sdt sdtContent fldSimple customXml dir bdo"
TRANSPARENT = {f"{W}{name}" for name in _TRANSPARENT.split()}
SILENT = {f"{W}{name}" for name in ("rPr", "lastRenderedPageBreak", "softHyphen")}
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass
class _Piece:
    """A run of a paragraph: words with their formatting, or a mark."""

    runs: list[etree._Element]
    text: str = ""
    properties: bytes = b""  # of the run, as XML; its formatting
    link: etree._Element | None = None

    @property
    def format(self) -> tuple[bytes, int]:
        return self.properties, id(self.link)


@dataclass
class _Paragraph:
    """A paragraph and its runs."""

    element: etree._Element
    pieces: list[_Piece] = field(default_factory=list)
    runs: list[etree._Element] = field(default_factory=list)  # as they stand in it

    @cached_property
    def plain(self) -> tuple[bytes, int]:
        """The formatting of most of its words, which is not tagged."""
        sizes: dict[tuple[bytes, int], int] = {}
        for piece in self.pieces:
            if piece.text:
                sizes[piece.format] = sizes.get(piece.format, 0) + len(piece.text)
        unlinked = {key: size for key, size in sizes.items() if key[1] == id(None)} or sizes
        return max(unlinked, key=lambda key: unlinked[key])

    @property
    def groups(self) -> list[_Piece]:
        return [piece for piece in self.pieces if piece.text and piece.format != self.plain]

    @property
    def marks(self) -> list[_Piece]:
        return [piece for piece in self.pieces if not piece.text]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @property
    def tagged(self) -> str:
        """The text with tags; empty where there are none."""
        told, group, mark = "", 0, 0
        for piece in self.pieces:
            if not piece.text:
                mark += 1
                told += f"<x{mark}/>"
            elif piece.format == self.plain:
                told += piece.text
            else:
                group += 1
                told += f"<g{group}>{piece.text}</g{group}>"
        return told if group or mark else ""


class DocxFile:
    """A DOCX that was opened."""

    def __init__(self, name: str, raw: bytes) -> None:
        """Raises:
        InputError: a part is damaged.
        """
        self._name, self._raw = name, raw
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as packed:
                self._strict = STRICT in packed.read(BODY)
                names = [BODY, *sorted(filter(ASIDE.fullmatch, packed.namelist()))]
                self._trees = {part: self._parsed(packed.read(part)) for part in names}
                styles = "word/styles.xml"
                has_styles = styles in packed.namelist()
                self._styles = self._parsed(packed.read(styles)) if has_styles else None
        except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
            raise package.damaged(name) from error
        self._rows: dict[etree._Element, int] = {}

    @property
    def pages(self) -> int | None:
        """How many, where a program that knew has written it down."""
        breaks = len(self._trees[BODY].findall(f".//{W}lastRenderedPageBreak"))
        return breaks + 1 if breaks else None

    def blocks(self) -> Iterator[Block]:
        """Those with words, in order: body, then notes, headers and footers."""
        paged, page = self.pages is not None, 1
        for part, paragraph in self._paragraphs():
            if part == BODY and paged:
                page += len(paragraph.element.findall(f".//{W}lastRenderedPageBreak"))
            if paragraph.text.strip():
                kind, level, row = self._kind(part, paragraph.element)
                yield Block(
                    kind,
                    paragraph.text.strip(),
                    paragraph.tagged.strip(),
                    level=level,
                    row=row,
                    page=page if part == BODY and paged else None,
                )

    def with_texts(self, texts: Sequence[str]) -> bytes:
        """The file with a new text for each block; those that are as before are not touched."""
        changed = set()
        with_words = [(part, p) for part, p in self._paragraphs() if p.text.strip()]
        for (part, paragraph), new in zip(with_words, texts, strict=True):
            if new != (paragraph.tagged or paragraph.text).strip():
                _rewrite(paragraph, CONTROL.sub("", new))
                changed.add(part)
        if not changed:
            return self._raw
        return package.replaced(
            self._raw,
            {part: self._written(self._trees[part]) for part in changed},
        )

    def _parsed(self, raw: bytes) -> etree._Element:
        return package.parse(self._name, raw.replace(STRICT, TRANSITIONAL))

    def _written(self, tree: etree._Element) -> bytes:
        raw = etree.tostring(tree, xml_declaration=True, encoding="UTF-8", standalone=True)
        return bytes(raw.replace(TRANSITIONAL, STRICT) if self._strict else raw)

    def _paragraphs(self) -> Iterator[tuple[str, _Paragraph]]:
        for part, tree in self._trees.items():
            for element in tree.iter(f"{W}p"):
                # What stands in a fallback stands in what it falls back from, too.
                if next(element.iterancestors(f"{MC}Fallback"), None) is None:
                    yield part, _read(element)

    @cached_property
    def _style_levels(self) -> dict[str, tuple[BlockKind, int]]:
        """Style id -> what it makes of a paragraph. Word keeps the names in English everywhere."""
        found: dict[str, tuple[BlockKind, int]] = {}
        styles = [] if self._styles is None else self._styles.findall(f"{W}style")
        based = {}
        for style in styles:
            key = style.get(f"{W}styleId", "")
            parent = style.find(f"{W}basedOn")
            based[key] = "" if parent is None else parent.get(f"{W}val", "")
            name = style.find(f"{W}name")
            said = "" if name is None else name.get(f"{W}val", "").casefold()
            outline = style.find(f"{W}pPr/{W}outlineLvl")
            if (match := HEADING.match(said)) or said == "title":
                found[key] = "heading", min(6, int(match[1])) if match else 1
            elif outline is not None and int(outline.get(f"{W}val", 9)) < 6:
                found[key] = "heading", int(outline.get(f"{W}val", 0)) + 1
            elif said.startswith("list ") or style.find(f"{W}pPr/{W}numPr") is not None:
                found[key] = "list", 1
            elif said == "caption":
                found[key] = "caption", 0
        for key in based:
            above, seen = key, set()
            while above and above not in found and above not in seen:
                seen.add(above)
                above = based.get(above, "")
            if above in found:
                found[key] = found[above]
        return found

    def _kind(self, part: str, element: etree._Element) -> tuple[BlockKind, int, int | None]:
        row = next(element.iterancestors(f"{W}tr"), None)
        if row is not None:
            if row not in self._rows:
                self._rows[row] = len(self._rows) + 1
            return "table", 0, self._rows[row]
        style = element.find(f"{W}pPr/{W}pStyle")
        found = self._style_levels.get("" if style is None else style.get(f"{W}val", ""))
        numbered = element.find(f"{W}pPr/{W}numPr")
        if numbered is not None and (found is None or found[0] != "heading"):
            level = numbered.find(f"{W}ilvl")
            return "list", 1 + int(0 if level is None else level.get(f"{W}val", 0)), None
        if found is None and ASIDE.fullmatch(part):
            return "caption", 0, None
        return *(found or ("paragraph", 0)), None


def _read(element: etree._Element) -> _Paragraph:
    paragraph = _Paragraph(element)
    for run, link in _runs(element, None):
        paragraph.runs.append(run)
        for part in _parts(run):
            _add(paragraph, part, link)
    return paragraph


def _add(paragraph: _Paragraph, run: etree._Element, link: etree._Element | None) -> None:
    text = _text(run)
    piece = _Piece([run], text, _formatting(run), link)
    last = paragraph.pieces[-1] if paragraph.pieces else None
    blank = bool(text) and not text.strip()
    alike = last and bool(last.text) == bool(text)
    if last and alike and (not text or blank or last.format == piece.format):
        last.runs.append(run)
        last.text += text
    else:
        paragraph.pieces.append(piece)


def _formatting(run: etree._Element) -> bytes:
    """What of a run's properties one sees, as XML."""
    properties = run.find(f"{W}rPr")
    if properties is None:
        return b""
    seen = copy.deepcopy(properties)
    for unseen in seen.xpath("*[local-name()='lang' or local-name()='noProof']"):
        seen.remove(unseen)
    return bytes(etree.tostring(seen, method="c14n")) if len(seen) else b""


def _runs(
    element: etree._Element, link: etree._Element | None
) -> Iterator[tuple[etree._Element, etree._Element | None]]:
    for child in element:
        if child.tag == f"{W}r":
            yield child, link
        elif child.tag == f"{W}hyperlink":
            yield from _runs(child, child)
        elif child.tag in TRANSPARENT:
            yield from _runs(child, link)


def _parts(run: etree._Element) -> list[etree._Element]:
    """The run; where it holds words and something that has none, like a page break, a run of each,
    in which nothing else stands.
    """
    children = [child for child in run if child.tag not in SILENT]
    if len({_words(child) is None for child in children}) < 2:
        return [run]
    parts = []
    for _, group in groupby(children, key=lambda child: _words(child) is None):
        part = etree.Element(run.tag, run.attrib, nsmap=run.nsmap)
        part.extend(map(copy.deepcopy, [*run.findall(f"{W}rPr"), *group]))
        parts.append(part)
    return parts


def _text(run: etree._Element) -> str:
    """The words of a run; none where it holds something that has none."""
    return "".join(_words(child) or "" for child in run)


def _words(child: etree._Element) -> str | None:
    """What a part of a run says; None where it has no words."""
    if child.tag == f"{W}t":
        return child.text or ""
    if child.tag in {f"{W}br", f"{W}cr"}:
        return "\n" if child.get(f"{W}type") in {None, "textWrapping"} else None
    return {f"{W}tab": "\t", f"{W}noBreakHyphen": "\u2011"}.get(child.tag)


def _rewrite(paragraph: _Paragraph, new: str) -> None:
    groups, marks = paragraph.groups, paragraph.marks
    plain = next(piece for piece in paragraph.pieces if piece.format == paragraph.plain)
    first = paragraph.runs[0]
    while first.getparent() is not paragraph.element:
        first = first.getparent()
    place = paragraph.element.index(first)
    links = {id(piece.link): piece.link for piece in paragraph.pieces if piece.link is not None}
    made = []
    for run in runs(new, len(groups), len(marks)):
        if run.mark:
            made += [(old, marks[run.mark - 1].link) for old in marks[run.mark - 1].runs]
        else:
            like = groups[run.groups[-1] - 1] if run.groups else plain
            made.append((_run(like.runs[0], run.text), like.link))
    for old in paragraph.runs:
        old.getparent().remove(old)
    for link in links.values():
        link.getparent().remove(link)
    around: etree._Element | None = None
    for element, link in made:
        if link is None:
            paragraph.element.insert(place, element)
            place, around = place + 1, None
            continue
        if around is None or around[0] is not link:
            shell = etree.Element(link.tag, link.attrib, nsmap=link.nsmap)
            paragraph.element.insert(place, shell)
            place, around = place + 1, (link, shell)
        around[1].append(element)


def _run(like: etree._Element, text: str) -> etree._Element:
    """A run with the formatting of another one."""
    made = etree.Element(f"{W}r", nsmap=like.nsmap)
    properties = like.find(f"{W}rPr")
    if properties is not None:
        made.append(copy.deepcopy(properties))
    for part in re.split(r"([\t\n])", text):
        if part in {"\t", "\n"}:
            etree.SubElement(made, f"{W}{'tab' if part == chr(9) else 'br'}")
        elif part:
            words = etree.SubElement(made, f"{W}t")
            words.text = part
            words.set(SPACE, "preserve")
    return made
