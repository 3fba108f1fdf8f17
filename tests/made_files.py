"""Files of every format, made as programs make them, and made wrong on purpose."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping, Sequence

import docx
import openpyxl
from docx.oxml import OxmlElement
from docx.oxml.ns import qn

Line = tuple[float, float, float, str]  # left, base (points from the lower left), size, text


def pdf(pages: Sequence[Sequence[Line]], extra: bytes = b"", trailer: bytes = b"") -> bytes:
    """A PDF in Helvetica.

    Args:
        extra: another object.
        trailer: what the trailer holds beside the usual.
    """
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(len(pages)))
    objects.append(b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)))
    objects.append(
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    )
    for i, lines in enumerate(pages):
        shown = b"".join(
            b"BT /F1 %g Tf %g %g Td (%s) Tj ET\n" % (size, left, base, _escaped(text))
            for left, base, size, text in lines
        )
        resources = b"<< /Font << /F1 3 0 R >> >>"
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources %s >>" % (5 + 2 * i, resources)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(shown), shown))
    objects += [extra] if extra else []
    whole, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(whole))
        whole += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    begin = len(whole)
    whole += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, rows)
    head = b"<< /Size %d /Root 1 0 R %s >>" % (len(objects) + 1, trailer)
    return whole + b"trailer\n%s\nstartxref\n%d\n%%%%EOF\n" % (head, begin)


def _escaped(text: str) -> bytes:
    raw = text.encode("cp1252")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def report(pages: int = 2) -> bytes:
    """A PDF with a running head, a title, a paragraph over three lines and one of its own."""
    made = []
    for number in range(1, pages + 1):
        lines: list[Line] = [(72, 800, 9, "Annual report of the library")]
        if number == 1:
            lines.append((72, 760, 20, "Books and people"))
        lines += [
            (
                72,
                720,
                11,
                f"Page {number} begins with a sentence that is long enough to go on over",
            ),
            (72, 706, 11, "the end of its line, and then on over another end of line, as all"),
            (72, 692, 11, "paragraphs of a book do."),
            (72, 664, 11, f"The second paragraph of page {number} is short."),
            (72, 40, 9, f"{number}"),
        ]
        made.append(lines)
    return pdf(made)


SENTENCES = (
    "The ferry left the island before the fog had lifted, and nobody on the pier waved.",
    "In the kitchen of the old school they kept the letters of forty years in flour tins.",
    "Her brother counted the lamps along the river twice, and found one fewer each time.",
    "A good map, said the surveyor, is mostly a list of the places where one was wrong.",
    "They agreed on the price of the bridge, and then on what to call it.",
    "By noon the square was full of people who had come to see whether it was true.",
    "The clock of the town hall struck thirteen, as it had every Tuesday since the flood.",
)


def book(pages: int) -> bytes:
    """A PDF with 34 lines on each page, some 3,300 characters as in a novel, no two lines alike."""
    made: list[list[Line]] = []
    for number in range(1, pages + 1):
        page: list[Line] = [(72, 810, 9, "The ferry")]
        if number % 20 == 1:
            page.append((72, 780, 18, f"Chapter {number // 20 + 1}"))
        for line in range(34):
            sentence = SENTENCES[(number * line + line) % len(SENTENCES)]
            page.append((72, 750 - 20 * line, 9, f"{sentence} It was day {number * 34 + line}."))
        page.append((290, 40, 9, str(number)))
        made.append(page)
    return pdf(made)


def locked_pdf() -> bytes:
    """A PDF that wants a password."""
    locked = b"<< /Filter /Standard /V 1 /R 2 /P -44 /O <%s> /U <%s> >>" % (b"ab" * 32, b"cd" * 32)
    return pdf([[(72, 700, 11, "secret")]], locked, b"/Encrypt 6 0 R /ID [<00><00>]")


def word(document: docx.document.Document) -> bytes:
    """The file of a document."""
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def letter() -> bytes:
    """A DOCX with a heading, bold words, a list, a table, a link, a picture, a header."""
    made = docx.Document()
    made.add_heading("The plan", level=1)
    paragraph = made.add_paragraph("We meet on ")
    paragraph.add_run("Monday").bold = True
    paragraph.add_run(" at nine.")
    made.add_paragraph("bring coffee", style="List Bullet")
    made.add_paragraph("bring tea", style="List Bullet 2")
    table = made.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["name", "age", "Ann", "41"], strict=True):
        cell.text = text
    linked = made.add_paragraph("See ")
    link = OxmlElement("w:hyperlink")
    link.set(qn("w:anchor"), "there")
    link.append(linked.add_run("the notes")._r)
    linked._p.append(link)
    linked.add_run(" first.")
    pictured = made.add_paragraph("A picture ")
    pictured.add_run().add_picture(io.BytesIO(PIXEL))
    pictured.add_run(" follows.")
    made.sections[0].header.paragraphs[0].text = "Draft"
    return word(made)


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """An XLSX."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def with_part(raw: bytes, part: str, content: bytes) -> bytes:
    """A DOCX or XLSX with a part added or replaced."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if name != part:
                new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED)
        new.writestr(part, content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def part_of(raw: bytes, part: str) -> bytes:
    """A part of a DOCX or XLSX."""
    with zipfile.ZipFile(io.BytesIO(raw)) as package:
        return package.read(part)
