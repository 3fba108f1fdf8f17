"""PDF: lines with their size and place, put together to paragraphs and headings.

A PDF knows letters and places only. What is a heading or where a paragraph ends is told by size and
distance, and is a guess. By pdfium, which reads most of what browsers show.
"""

from __future__ import annotations

import ctypes
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pypdfium2
import pypdfium2.raw as pdfium

from core.errors import InputError
from documents.document import Block
from documents.limits import ReadingLimits
from documents.text_source import run_on

END_MARK, END_WITHIN = b"%%EOF", 4096  # bytes at the end of a PDF in which its mark stands
HYPHEN = "\x02"  # pdfium's sign for a hyphen at a line's end
HYPHENATED = re.compile(rf"(?<=[^\W\d_]){HYPHEN}(?=[^\W\d_])")  # a word over two lines
LEADER = re.compile(r"(?:[ \u00a0]?[.·…]){5,}[ \u00a0]?")  # of a table of contents
PAGE_NUMBER = re.compile(r"(?P<first>\d{1,4})(?!\S)|.*(?<!\S)(?P<last>\d{1,4})\Z")
BULLET = re.compile(r"(?:[•‣▪◦●○■□–—*·\uf0b7-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)")
SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’»)）]?\Z")
LARGER = 1.12  # times the size of most letters, from which a line is a heading
MAX_HEADING = 200  # characters
APART = 1.35  # times the usual distance of two lines, from which a paragraph ends
REPEATED = 3  # pages on which the same line must stand first or last, and on half of all
UNMAPPED = 0.2  # share of letters without a meaning from which it is said


@dataclass(frozen=True)
class _Line:
    """Sizes and places in points, from the lower left."""

    text: str
    page: int
    size: float
    left: float
    right: float
    base: float


def blocks(name: str, raw: bytes, limits: ReadingLimits) -> tuple[list[Block], int, list[str]]:
    """The blocks, how many pages there are, and what there is to say.

    Raises:
        InputError: it is locked, damaged, holds no text, or more of it than is read.
    """
    document = _opened(name, raw)
    count = len(document)
    lines: list[_Line] = []
    empty, unmapped, size = [], 0, 0
    for number in range(1, count + 1):
        found, strange = _page(document, number)
        unmapped += strange
        lines += found
        size += sum(len(line.text) for line in found)
        empty += [] if found else [number]
        if size > limits.characters:
            raise InputError(
                f"{name} has more than {limits.characters:,} characters by page {number:,} of "
                f"{count:,}, and no more are read. Split it and attach a part."
            )
    if not lines:
        raise InputError(
            f"{name} holds no text: its {count:,} pages are pictures, as a scanner makes them. "
            "Run OCR on it and attach what comes out."
        )
    kept, notes = _without_repeated(lines, count)
    if empty:
        notes.append(f"{name} holds no text on {_pages(empty)}; pictures are not read.")
    if unmapped > UNMAPPED * size:
        notes.append(f"Many letters of {name} do not say which they are; its text may be wrong.")
    if END_MARK not in raw[-END_WITHIN:]:
        notes.append(f"{name} ends in the middle: what could be found of it was read.")
    return list(_blocks(kept)), count, notes


def _opened(name: str, raw: bytes) -> pypdfium2.PdfDocument:
    try:
        document = pypdfium2.PdfDocument(raw)
        len(document)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium.FPDF_ERR_PASSWORD:
            raise InputError(
                f"{name} is locked with a password. Save it without one and attach it again."
            ) from error
        cut = "ends in the middle or " * (END_MARK not in raw[-END_WITHIN:])
        raise InputError(
            f"{name} {cut}is damaged, and cannot be opened. Copy or download it again."
        ) from error
    return document


def _page(document: pypdfium2.PdfDocument, number: int) -> tuple[list[_Line], int]:
    """The lines of a page, and how many of its letters have no meaning."""
    try:
        page = document[number - 1]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return [], 0
    try:
        count = text_page.count_chars()
        codes = [pdfium.FPDFText_GetUnicode(text_page, i) for i in range(count)]
        strange = sum(pdfium.FPDFText_HasUnicodeMapError(text_page, i) == 1 for i in range(count))
        lines, begin = [], 0
        for i in range(count + 1):
            if i == count or codes[i] in {10, 13}:
                if line := _line(text_page, codes, begin, i, number):
                    lines.append(line)
                begin = i + 1
        return list(_on_one_line(lines)), strange
    finally:
        text_page.close()
        page.close()


def _line(
    text_page: pypdfium2.PdfTextPage, codes: Sequence[int], begin: int, end: int, page: int
) -> _Line | None:
    signs = [i for i in range(begin, end) if not chr(codes[i]).isspace() and codes[i]]
    if not signs:
        return None
    units = b"".join(chr(codes[i]).encode("utf-16-le", "surrogatepass") for i in range(begin, end))
    text = units.decode("utf-16-le", "replace").replace("\0", "").strip()
    text = "".join(HYPHEN if c in "\x02\ufffe" else c for c in text if c == HYPHEN or c >= " ")
    left, base, _, _ = text_page.get_charbox(signs[0])
    _, last_base, right, _ = text_page.get_charbox(signs[-1])
    matrix = pdfium.FS_MATRIX()
    scale = 1.0
    if pdfium.FPDFText_GetMatrix(text_page, signs[0], ctypes.byref(matrix)):
        scale = math.hypot(matrix.c, matrix.d) or 1.0
    size = pdfium.FPDFText_GetFontSize(text_page, signs[0]) * scale
    origin_x, origin_y = ctypes.c_double(), ctypes.c_double()
    if pdfium.FPDFText_GetCharOrigin(
        text_page, signs[0], ctypes.byref(origin_x), ctypes.byref(origin_y)
    ):
        base = origin_y.value
    return _Line(text, page, round(size, 1) or 1.0, left, right, min(base, max(base, last_base)))


def _on_one_line(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Pieces side by side, which a PDF writes apart, are one line."""
    last: _Line | None = None
    for line in lines:
        beside = last and abs(last.base - line.base) < 0.2 * line.size and line.left >= last.right
        if last and beside and abs(last.size - line.size) < 0.2 * line.size:
            text = f"{last.text} {line.text}"
            last = _Line(text, last.page, last.size, last.left, line.right, last.base)
            continue
        if last:
            yield last
        last = line
    if last:
        yield last


def _without_repeated(lines: list[_Line], pages: int) -> tuple[list[_Line], list[str]]:
    """Without running heads and feet, and a sentence that says which they were."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, line in enumerate(lines):
        first.setdefault(line.page, place)
        last[line.page] = place
    edges = {*first.values(), *last.values()}
    counts = Counter(_alike(lines[place].text) for place in edges)
    often = {text for text, n in counts.items() if n >= max(REPEATED, pages / 2)}
    gone = {place for place in edges if _alike(lines[place].text) in often}
    gone |= _page_numbers(lines, edges, pages)
    # The first is kept, unless it is a page's number alone: it may be the title.
    titles: dict[str, int] = {}
    for place in sorted(gone):
        text = _alike(lines[place].text)
        if any(c.isalpha() for c in text):
            titles.setdefault(text, place)
    gone -= set(titles.values())
    if not gone or len(gone) == len(lines):
        return lines, []
    shown = ", ".join(
        repr(text) for text in dict.fromkeys(lines[place].text[:60] for place in sorted(gone)[:2])
    )
    note = f"Lines that repeat at the top or bottom of the pages were left out, like {shown}."
    return [line for place, line in enumerate(lines) if place not in gone], [note]


def _page_numbers(lines: Sequence[_Line], edges: Iterable[int], pages: int) -> set[int]:
    """The lines that begin or end with their page's number, whatever else they say."""
    ahead: dict[int, list[int]] = {}
    for place in edges:
        if match := PAGE_NUMBER.match(lines[place].text):
            number = int(match["first"] or match["last"])
            ahead.setdefault(number - lines[place].page, []).append(place)
    often = (places for places in ahead.values() if len(places) >= max(REPEATED, pages / 2))
    return {place for places in often for place in places}


def _alike(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _blocks(lines: Sequence[_Line]) -> Iterator[Block]:
    weights: Counter[float] = Counter()
    for line in lines:
        weights[line.size] += len(line.text)
    body = weights.most_common(1)[0][0]
    larger = sorted({line.size for line in lines if _is_heading(line, body)}, reverse=True)
    levels = {size: min(6, place + 1) for place, size in enumerate(larger)}
    pitch = _usual_pitch(lines)
    widest: dict[int, float] = {}
    for line in lines:
        widest[line.page] = max(widest.get(line.page, 0.0), line.right)
    group: list[_Line] = []
    for line in lines:
        if group and _parts(group, line, pitch, widest[line.page]):
            yield _block(group, levels)
            group = []
        group.append(line)
    if group:
        yield _block(group, levels)


def _is_heading(line: _Line, body: float) -> bool:
    return (
        line.size > LARGER * body
        and len(line.text) <= MAX_HEADING
        and any(c.isalpha() for c in line.text)
    )


def _usual_pitch(lines: Sequence[_Line]) -> float:
    """The usual distance of two lines, in sizes of their letters."""
    steps = [
        (before.base - line.base) / line.size
        for before, line in pairwise(lines)
        if before.page == line.page and before.size == line.size
    ]
    return statistics.median([step for step in steps if 0.5 < step < 4] or [1.2])


def _parts(group: Sequence[_Line], line: _Line, pitch: float, widest: float) -> bool:
    """Whether a line begins a block of its own."""
    before = group[-1]
    step = (before.base - line.base) / line.size
    ended = bool(SENTENCE_END.search(before.text))
    return (
        before.page != line.page
        or abs(before.size - line.size) > 0.1 * line.size
        or step > APART * pitch
        or (step < -0.5 and ended)
        or bool(BULLET.match(line.text))
        or (ended and line.left > group[-1].left + 0.8 * line.size and len(group) > 1)
        or (ended and before.right < 0.8 * widest)
    )


def _block(group: Sequence[_Line], levels: dict[float, int]) -> Block:
    text = ""
    for line in group:
        text = text[:-1] + line.text if text.endswith(HYPHEN) else run_on(text, line.text)
    text = LEADER.sub(" … ", HYPHENATED.sub("", text).replace(HYPHEN, "-"))
    page, level = group[0].page, levels.get(group[0].size, 0)
    if level and len(text) <= MAX_HEADING:
        return Block("heading", text, level=level, page=page)
    if bullet := BULLET.match(text):
        sign = bullet.group().strip()
        numbered = any(c.isalnum() for c in sign)
        return Block("list", text if numbered else text[bullet.end() :], level=1, page=page)
    return Block("paragraph", text, page=page)


def _pages(numbers: Sequence[int]) -> str:
    """Like `pages 1, 3-5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    shown = ", ".join("-".join(map(str, run)) for run in runs[:8]) + ", …" * (len(runs) > 8)
    return f"page{'s' * (len(numbers) > 1)} {shown}"
