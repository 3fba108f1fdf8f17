"""Files that are broken, hostile or not what they say: one sentence each, and nothing is lost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import made_files
import pytest
from test_reading import read

import documents
from core.errors import InputError
from documents.limits import DEFAULT_LIMITS
from documents.names import shown_name

BODY = "word/document.xml"
BOMB = b"<w:document>" + b" " * 250_000_000
BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    b"<w:body><w:p><w:r><w:t>&b;</w:t></w:r></w:p></w:body></w:document>"
)
REPORT, LETTER = made_files.report(), made_files.letter()


@pytest.mark.parametrize(
    ("name", "raw", "sentence"),
    [
        ("a.pdf", b"", "is empty"),
        ("a.txt", b"\0\0\0", "is empty"),
        ("a.txt", b" \n\n ", "is empty"),
        ("a.pdf", made_files.locked_pdf(), "is locked with a password"),
        ("a.pdf", made_files.pdf([[], []]), "holds no text: its 2 pages are pictures"),
        ("a.pdf", b"just words", "ends in .pdf, and what is in it is something else"),
        ("a.pdf", b"%PDF-1.4\nnothing", "ends in the middle or is damaged"),
        ("a.docx", LETTER[: len(LETTER) // 2], "ends in the middle or is damaged"),
        ("a.xlsx", LETTER[:3000], "ends in the middle or is damaged"),
        ("a.docx", b"just words", "ends in .docx"),
        ("a.docx", made_files.with_part(LETTER, BODY, BILLION_LAUGHS), "XML entities"),
        ("a.docx", made_files.with_part(LETTER, BODY, b"<w:doc"), "is damaged"),
        ("a.doc", b"\xd0\xcf\x11\xe0" + b"x" * 99, "a file of an old Office"),
        ("a.png", made_files.PIXEL, "a picture, and pictures are not read"),
        ("a.txt", b"MZ\x90\0" + b"\0x" * 99, "a program"),
        ("a.txt", b"abc\0\0\0\x01\x02def", "no text: it holds NUL bytes"),
        ("a.srt", b"no time anywhere", "holds no subtitles"),
        ("a.md", b"[x]: http://x.y\n", "holds no text"),
        ("a.csv", b"a,b\n" * 60_000, "has more than 100,000 cells"),
    ],
)  # fmt: skip
def test_each_is_refused_with_one_sentence(name: str, raw: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace("(", r"\(")) as told:
        read(name, raw)
    assert str(told.value).startswith(name)
    assert len(str(told.value)) < 250


def test_a_bomb_is_not_unpacked() -> None:
    bomb = made_files.with_part(LETTER, BODY, BOMB)
    assert len(bomb) < 400_000
    with pytest.raises(InputError, match="would unpack to 250,"):
        read("bomb.docx", bomb)


def test_a_packed_folder_is_said_to_be_one() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as package:
        package.writestr("../../etc/passwd", "x")
    with pytest.raises(InputError, match="is a packed folder"):
        read("a.docx", target.getvalue())


def test_a_workbook_with_a_million_cells_is_refused() -> None:
    raw = made_files.workbook({"a": [list(range(1000)) for _ in range(101)]})
    with pytest.raises(InputError, match="has more than 100,000 cells"):
        read("a.xlsx", raw)


def test_macros_are_said_and_not_run() -> None:
    document = read("a.docm", made_files.with_part(LETTER, "word/vbaProject.bin", b"x"))
    assert document.notes == ("a.docm has macros; they are not read, and not run.",)
    assert document.blocks == read("a.docx", LETTER).blocks


def test_a_pdf_that_ends_in_the_middle_says_so() -> None:
    raw = made_files.report(5)
    cut = raw[: raw.index(b"startxref")]
    document = read("a.pdf", cut)
    assert "ends in the middle" in document.notes[-1]
    assert "Page 5" in document.text


def test_pages_without_text_are_said() -> None:
    raw = made_files.pdf([[(72, 700, 11, "words")], [], [], [(72, 700, 11, "more words")]])
    assert "no text on pages 2-3" in read("a.pdf", raw).notes[-1]


def test_a_quote_that_is_not_closed_is_said() -> None:
    document = read("a.csv", b'a,b\n1,"2\n3,4\n')
    assert "is not closed" in document.notes[0]
    assert "3,4" in document.text


def test_a_text_that_ends_in_the_middle_of_a_character_says_so() -> None:
    document = read("a.txt", "图书馆重新开放。\n第一周免费".encode()[:-1])
    assert "no UTF-8" in document.notes[0]
    assert document.text.endswith("免�")


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    large = tmp_path / "large.pdf"
    with large.open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(InputError, match=r"large.pdf has 200,000,000 bytes; at most 20,000,000"):
        documents.read_file(large)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        documents.read_file(tmp_path / "not there")
    with pytest.raises(InputError, match="is no path"):
        documents.read_file(tmp_path / "a\0b")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("a\0b\n.txt", "ab.txt"),
        ("photo\u202etxt.exe", "phototxt.exe"),
        ("..", "file"),
        ("", "file"),
        ("\u200b", "file"),
        ("报告.pdf", "报告.pdf"),
        ("x" * 300 + ".pdf", "x" * 100 + "…" + "x" * 15 + ".pdf"),
    ],
)
def test_a_name_is_for_show(name: str, shown: str) -> None:
    assert shown_name(name) == shown


@pytest.mark.slow
def test_time_and_memory_are_held() -> None:
    deep = b"<p>" + b"<b>" * 400_000 + b"x" + b"</b>" * 400_000
    with pytest.raises(InputError, match="takes more than 1 seconds to read"):
        documents.read("a.html", deep, replace(DEFAULT_LIMITS, seconds=1))
    raw = made_files.workbook({"a": [[f"cell {i} {j}" for i in range(100)] for j in range(900)]})
    with pytest.raises(InputError, match="memory"):
        documents.read("a.xlsx", raw, replace(DEFAULT_LIMITS, memory_bytes=120_000_000))


@pytest.mark.slow
def test_a_book_of_500_pages_fits_in_little_memory() -> None:
    book = made_files.book(500)
    limits = replace(DEFAULT_LIMITS, memory_bytes=250_000_000)  # all that its process may map
    document = documents.read("book.pdf", book, limits)
    assert document.pages == 500
    assert len(document.text) > 1_500_000
    assert document.blocks[-1].page == 500
    assert document.blocks[-1].text.endswith("It was day 17033.")


def test_the_process_that_reads_speaks_json() -> None:
    asked = {"act": "read", "name": "a.txt", "limits": {}}
    told = subprocess.run(
        [sys.executable, "-m", "documents.worker"],
        input=json.dumps(asked).encode() + b"\nhello",
        capture_output=True,
        check=True,
        cwd=Path(documents.__file__).parent.parent,
    )
    assert json.loads(told.stdout)["document"]["blocks"] == [
        {"kind": "paragraph", "text": "hello", "line": 1}
    ]
