"""What is read of a file of each format."""

from __future__ import annotations

import io

import made_files
import pytest

import documents
from documents import Block, Document
from documents.limits import DEFAULT_LIMITS
from documents.reading import read_here

PAGE = b"""<!DOCTYPE html><html><head><title>Fish &amp; chips</title><style>p {}</style></head>
<body><h2>Why <em>fish</em></h2>
<p>AT&T: <a href="u?a=1&b=2">the   menu</a>,<br>and <img src="a.png">.</p>
<ul><li>cod<li>plaice <ul><li>small</ul></ul><table><tr><th>what<th>price<tr><td>cod<td>9</table>
<pre>  oil
    hot</pre><script>var hidden = "<p>never</p>"</script>The end</body></html>"""
NOTES = b"""---
title: notes
---
# Plan *A* #

One line
goes on.

> quoted
> twice

- first **point**
  goes on
- second
  - deeper

| a | b\\|c |
|---|---|
| 1 | `x`  |

```py
print(1)
```
"""
SUBTITLES = b"""1
00:00:01,000 --> 00:00:02,500
Good <i>morning</i>.
How are you?

2
00:00:03,000 --> 00:00:04,000
Fine.
"""
CAPTIONS = b"""WEBVTT

NOTE not shown

00:01.000 --> 00:02.000 align:start
Fish &amp; chips

00:03.000 --> 00:04.000
- Yes?
"""


def read(name: str, raw: bytes) -> Document:
    return read_here(name, raw, DEFAULT_LIMITS)


def seen(document: Document) -> list[tuple[object, ...]]:
    return [(block.kind, block.level or block.row or 0, block.text) for block in document.blocks]


def test_pdf_has_headings_paragraphs_and_pages() -> None:
    document = read("report.pdf", made_files.report(4))
    assert document.pages == 4
    first, title, body, second, *_ = document.blocks
    assert first.text == "Annual report of the library"  # once, as it may be the title
    assert (title.kind, title.level, title.text) == ("heading", 1, "Books and people")
    assert body.text == (
        "Page 1 begins with a sentence that is long enough to go on over the end of its line, and "
        "then on over another end of line, as all paragraphs of a book do."
    )
    assert second.text == "The second paragraph of page 1 is short."
    assert [block.page for block in document.blocks][-1] == 4
    assert sum(block.text == "Annual report of the library" for block in document.blocks) == 1
    assert "Annual report" in document.notes[0]


def test_pdf_words_over_two_lines_leaders_and_page_numbers() -> None:
    words = ["Oak", "Oak", "Elm", "Elm", "Elm", "Ash"]
    pages: list[list[made_files.Line]] = [
        [
            (72, 800, 9, f"{word} trees {number + 4}"),
            (72, 700, 11, "This is the number of characters of a whole and well-known iden-"),
            (72, 686, 11, "tifier, which stands here. It goes on."),
            (72, 600, 11, f"2.{number} Searching" + " ." * 40 + f" {number * 7}"),
            (72, 500, 11, f"All {'abcdefg'[number]} ends."),
        ]
        for number, word in enumerate(words, 1)
    ]
    document = read("a.pdf", made_files.pdf(pages))
    said = "This is the number of characters of a whole and well-known identifier, which stands "
    assert [block.text for block in document.blocks if block.page == 5] == [
        f"{said}here. It goes on.",
        "2.5 Searching … 35",
        "All f ends.",
    ]
    heads = [block.text for block in document.blocks if " trees " in block.text]
    assert heads == ["Oak trees 5", "Elm trees 7", "Ash trees 10"]  # each may be a title


def test_docx_has_its_structure() -> None:
    document = read("letter.docx", made_files.letter())
    assert seen(document) == [
        ("heading", 1, "The plan"),
        ("paragraph", 0, "We meet on Monday at nine."),
        ("list", 1, "bring coffee"),
        ("list", 1, "bring tea"),
        ("table", 1, "name"),
        ("table", 1, "age"),
        ("table", 2, "Ann"),
        ("table", 2, "41"),
        ("paragraph", 0, "See the notes first."),
        ("paragraph", 0, "A picture  follows."),
        ("caption", 0, "Draft"),
    ]
    tagged = [block.tagged for block in document.blocks if block.tagged]
    assert tagged == [
        "We meet on <g1>Monday</g1> at nine.",
        "See <g1>the notes</g1> first.",
        "A picture <x1/> follows.",
    ]


def test_markdown_has_its_structure_and_lines() -> None:
    document = read("notes.md", NOTES)
    assert seen(document) == [
        ("code", 0, "---\ntitle: notes\n---"),
        ("heading", 1, "Plan *A*"),
        ("paragraph", 0, "One line goes on."),
        ("paragraph", 0, "quoted twice"),
        ("list", 1, "first **point** goes on"),
        ("list", 1, "second"),
        ("list", 2, "deeper"),
        ("table", 1, "a"),
        ("table", 1, "b|c"),
        ("table", 2, "1"),
        ("table", 2, "`x`"),
        ("code", 0, "print(1)"),
    ]
    assert [block.line for block in document.blocks] == [1, 4, 6, 9, 12, 14, 15, 17, 17, 19, 19, 22]


def test_html_has_its_structure_and_no_script() -> None:
    document = read("page.html", PAGE)
    assert seen(document) == [
        ("heading", 1, "Fish & chips"),
        ("heading", 2, "Why fish"),
        ("paragraph", 0, "AT&T: the menu,\nand ."),
        ("list", 1, "cod"),
        ("list", 1, "plaice"),
        ("list", 2, "small"),
        ("table", 1, "what"),
        ("table", 1, "price"),
        ("table", 2, "cod"),
        ("table", 2, "9"),
        ("code", 0, "oil\n    hot"),
        ("paragraph", 0, "The end"),
    ]
    assert document.blocks[2].tagged == "AT&T: <g1>the menu</g1>,<x1/>and <x2/>."


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_subtitles_are_their_words(ending: bytes) -> None:
    document = read("film.srt", SUBTITLES.replace(b"\n", ending))
    assert seen(document) == [
        ("caption", 0, "Good morning.\nHow are you?"),
        ("caption", 0, "Fine."),
    ]
    assert document.blocks[0].tagged == "Good <i>morning</i>.\nHow are you?"
    document = read("film.vtt", CAPTIONS.replace(b"\n", ending))
    assert seen(document) == [("caption", 0, "Fish & chips"), ("caption", 0, "- Yes?")]


def test_text_is_paragraphs() -> None:
    document = read("poem.txt", b"\n  Roses are red,\n  violets are blue.\n\n\n\nAnd so on.\n")
    assert seen(document) == [
        ("paragraph", 0, "Roses are red,\n  violets are blue."),
        ("paragraph", 0, "And so on."),
    ]
    assert [block.line for block in document.blocks] == [2, 7]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.csv", b'name,note\nAnn,"likes, well, tea"\n\nBob,\n'),
        ("a.csv", b"name;note\nAnn;likes, well, tea\n\nBob;\n"),
        ("a.tsv", b"name\tnote\nAnn\tlikes, well, tea\n\nBob\t\n"),
        ("a.csv", b"sep=|\nname|note\nAnn|likes, well, tea\n\nBob|\n"),
    ],
)
def test_tables_are_rows_of_cells(name: str, raw: bytes) -> None:
    document = read(name, raw)
    assert document.text == "| name | note |\n| Ann | likes, well, tea |\n| Bob |"


def test_workbooks_have_all_sheets_and_what_formulas_came_to() -> None:
    raw = made_files.workbook({"one": [["a", 1.5], [None, True]], "two": [["b"]], "none": []})
    document = read("book.xlsx", raw)
    assert document.text == "## one\n\n| a | 1.5 |\n| True |\n\n## two\n\n| b |"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "图书馆周六重新开放，第一周免费。\n"),
        ("big5", "圖書館週六重新開放，第一週免費。\n"),
        ("utf-16", "图书馆周六重新开放。\n"),
        ("utf-8-sig", "图书馆周六重新开放。\n"),
        ("cp1252", "Le château rouvre samedi après deux années de travaux à l'été.\n"),
    ],
)
def test_texts_in_the_encodings_people_have(encoding: str, text: str) -> None:
    document = read("a.txt", (text * 5).encode(encoding))
    assert document.text == (text * 5).strip()


def test_html_is_read_in_the_encoding_it_names() -> None:
    page = '<meta charset="shift_jis"><p>図書館は土曜日に開く</p>'
    document = read("a.html", page.encode("shift_jis"))
    assert document.text == "図書館は土曜日に開く"
    document = read("a.html", page.encode("utf-8"))  # it names a wrong one
    assert document.text == "図書館は土曜日に開く"


def test_a_document_goes_over_a_wire_as_json() -> None:
    document = read("notes.md", NOTES)
    again = Document.from_json(document.to_json(), NOTES)
    assert again == document
    for block in ({"kind": "x", "text": ""}, {"kind": "list", "text": 5}, 5):
        with pytest.raises(ValueError, match="blocks"):
            Document.from_json({"name": "", "format": "text", "blocks": [block]})


def test_several_documents_are_one_content_under_their_names() -> None:
    a, b = (Document(name, "text", (Block("paragraph", name * 2),)) for name in "ab")
    assert documents.joined([a]) == "aa"
    assert documents.joined([a, b]) == "a\n\naa\n\nb\n\nbb"


def test_what_is_packed_or_binary_is_told_by_its_content() -> None:
    document = read("letter.pdf", made_files.letter())
    assert document.format == "docx"
    assert "is a DOCX by its content" in document.notes[0]
    assert read("report", made_files.report()).format == "pdf"
    assert read("README", b"# not markdown, as far as its name says").format == "text"


def test_reading_in_a_process_gives_the_same(tmp_path: object) -> None:
    raw = made_files.letter()
    document = documents.read("../../x/letter.docx", raw)
    assert document == read("letter.docx", raw)
    assert io.BytesIO(document.source).getvalue() == raw


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("keys.txt", "PKI is a system of keys."),
        ("songs.md", "ID3 tags hold a title."),
        ("old.txt", "MZ begins a program."),
        ("format.md", "How it begins: `%PDF-1.7`, then a line."),
    ],
)
def test_a_text_may_begin_as_a_binary_does(name: str, text: str) -> None:
    assert [block.text for block in read(name, text.encode()).blocks] == [text]


def test_chinese_lines_are_put_together_without_a_space() -> None:
    lines = "他说：“你好”\n然后走了——\n后来……\n又来了 with\ntwo words".encode()
    (block,) = read("a.md", lines).blocks
    assert block.text == "他说：“你好”然后走了——后来……又来了 with two words"
