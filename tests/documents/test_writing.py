"""Results written back: the same texts give the same file, new ones change nothing else."""

from __future__ import annotations

import io
import re

import docx
import made_files
import pytest
from docx.enum.text import WD_BREAK
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reading import CAPTIONS, NOTES, PAGE, SUBTITLES, read

import documents
from core.errors import InputError
from documents import Document
from documents.inline_tags import runs
from documents.reading import write_here

SAMPLES = {
    "page.html": PAGE,
    "notes.md": NOTES,
    "film.srt": SUBTITLES,
    "film.vtt": CAPTIONS,
    "poem.txt": b"One\ntwo\n\n\nThree \n",
    "letter.docx": made_files.letter(),
}
PIECES = {
    "html": [
        *("<p>", "</p>", "<b>", "</b>", "<li>", "<br>", "a", " ", "\n", "&amp;", "<!-- -->", "<"),
        *(">", "<td>", "</td>", "<tr>", "<pre>", "</div>", "<a href='x'>", "</a>", "é", "<script>"),
    ],
    "md": [
        *("# ", "- ", "1. ", "> ", "a", " ", "\n", "\n\n", "    ", "```\n", "|", "---\n", "*b*"),
        *("\\", "\t", "<p>", "[x](y)", "=\n", "é", "|a|b|\n|-|-|\n|c|d|\n"),
    ],
    "srt": ["1\n", "00:00:01,000 --> 00:00:02,000\n", "a", "\n", "\n\n", "<i>b</i>", "-->", " "],
    "vtt": ["WEBVTT\n", "00:01.000 --> 00:02.000\n", "a", "\n", "<b>b</b>", "&lt;", "NOTE\n"],
    "txt": ["a", " ", "\n", "\n\n", "\t", "é", "\u2028", "\x0c"],
}


def louder(document: Document) -> list[str]:
    """Every text in capitals, tags as they were."""
    return [
        re.sub(r"(<[^<>]*>)|[^<]+", lambda m: m[1] or m[0].upper(), block.given)
        for block in document.blocks
    ]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_same_texts_give_the_same_file(name: str) -> None:
    document = read(name, SAMPLES[name])
    assert write_here(document, [block.given for block in document.blocks]) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_new_texts_are_read_again_and_everything_else_is_as_before(name: str) -> None:
    document = read(name, SAMPLES[name])
    texts = louder(document)
    again = read(name, write_here(document, texts))
    assert [block.given for block in again.blocks] == texts
    kept = [(block.kind, block.level, block.row) for block in document.blocks]
    assert [(block.kind, block.level, block.row) for block in again.blocks] == kept


def test_html_keeps_tags_and_attributes() -> None:
    document = read("page.html", PAGE)
    written = write_here(document, louder(document)).decode()
    before = PAGE.decode().replace("the   menu", "the menu").replace("AT&T", "AT&amp;T")
    assert written.lower() == before.lower()
    assert 'AT&amp;T: <a href="u?a=1&b=2">THE MENU</a>,<br>AND <img src="a.png">.' in written
    assert 'var hidden = "<p>never</p>"' in written


def test_markup_in_a_result_is_text_in_a_page() -> None:
    document = read("a.html", b"<p>a</p>")
    assert write_here(document, ["<script>1</script> & <g1>x"]) == (
        b"<p>&lt;script&gt;1&lt;/script&gt; &amp; &lt;g1&gt;x</p>"
    )


def test_a_tag_that_got_lost_loses_formatting_and_no_picture() -> None:
    document = read("a.html", b'<p>a <b>b</b> <img src="c.png"> d</p>')
    assert write_here(document, ["all new"]) == b'<p>all new<img src="c.png"></p>'
    document = read("letter.docx", made_files.letter())
    texts = [block.text for block in document.blocks]
    texts[9] = "No tag is left"
    written = docx.Document(io.BytesIO(write_here(document, texts)))
    assert len(written.inline_shapes) == 1


def test_docx_keeps_styles_and_runs() -> None:
    document = read("letter.docx", made_files.letter())
    raw = write_here(document, louder(document))
    written = docx.Document(io.BytesIO(raw))
    first, second, third = written.paragraphs[:3]
    assert (first.text, first.style.name) == ("THE PLAN", "Heading 1")
    assert [(run.text, bool(run.bold)) for run in second.runs] == [
        ("WE MEET ON ", False),
        ("MONDAY", True),
        (" AT NINE.", False),
    ]
    assert third.style.name == "List Bullet"
    assert [link.text for link in written.paragraphs[4].hyperlinks] == ["THE NOTES"]
    assert len(written.inline_shapes) == 1
    assert written.sections[0].header.paragraphs[0].text == "DRAFT"
    styles = "word/styles.xml"
    assert made_files.part_of(raw, styles) == made_files.part_of(document.source, styles)


def test_a_translation_that_moves_the_bold_words_moves_their_formatting() -> None:
    document = read("letter.docx", made_files.letter())
    texts = [block.given for block in document.blocks]
    texts[1] = "<g1>周一</g1>九点\t见\n面。"
    written = docx.Document(io.BytesIO(write_here(document, texts))).paragraphs[1]
    assert written.text == "周一九点\t见\n面。"
    assert [run.text for run in written.runs if run.bold] == ["周一"]


def test_strict_open_xml_is_read_and_stays_strict() -> None:
    loose = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    strict = b"http://purl.oclc.org/ooxml/wordprocessingml/main"
    raw = made_files.letter()
    for part in ("word/document.xml", "word/styles.xml"):
        content = made_files.part_of(raw, part).replace(loose, strict)
        raw = made_files.with_part(raw, part, content)
    document = read("letter.docx", raw)
    assert document.blocks[0].kind == "heading"
    written = made_files.part_of(write_here(document, louder(document)), "word/document.xml")
    assert strict in written
    assert loose not in written
    assert b"THE PLAN" in written


def test_a_blank_line_in_a_result_ends_no_cue() -> None:
    document = read("film.vtt", CAPTIONS)
    again = read("film.vtt", write_here(document, ["a\n\nb --> c", "d"]))
    assert [block.text for block in again.blocks] == ["a\nb --> c", "d"]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8-sig", "utf-8"])
def test_a_text_stays_in_its_encoding(encoding: str) -> None:
    raw = ("图书馆周六重新开放，第一周免费。\r\n\r\n" * 5).encode(encoding)
    document = read("a.txt", raw)
    texts = [block.given for block in document.blocks]
    texts[0] = "新的\n一行"
    whole = write_here(document, texts).decode(encoding)
    assert whole.startswith("新的\r\n一行\r\n\r\n图书馆")


def test_a_character_that_the_encoding_lacks_makes_it_utf_8() -> None:
    text = "Le château rouvre samedi après deux années de travaux à l'été.\n\n" * 5
    document = read("a.txt", text.encode("cp1252"))
    texts = [block.given for block in document.blocks]
    texts[0] = "城堡"
    assert write_here(document, texts).decode("utf-8").startswith("城堡")


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(InputError, match=r"Nothing can be written back into a\.csv"):
        documents.write(read("a.csv", b"a,b\n1,2"), ["x"] * 4)
    with pytest.raises(InputError, match="has 1 blocks, and 0 texts came"):
        documents.write(read("a.txt", b"a"), [])


def test_writing_in_a_process_gives_the_same() -> None:
    document = read("letter.docx", made_files.letter())
    texts = louder(document)
    assert documents.write(document, texts) == write_here(document, texts)


@pytest.mark.parametrize("ending", PIECES)
def test_round_trip_of_anything(ending: str) -> None:
    """Structure in is structure out, whatever the file looks like."""

    @settings(max_examples=150, deadline=None, database=None)
    @given(st.lists(st.sampled_from(PIECES[ending]), min_size=1, max_size=30).map("".join))
    def check(text: str) -> None:
        raw = text.encode()
        try:
            document = read(f"a.{ending}", raw)
        except InputError:
            return
        same = [block.given for block in document.blocks]
        assert write_here(document, same) == raw
        if same[-1].startswith("<"):  # a block of HTML in Markdown; words would join what is before
            return
        # A change in one block leaves the others' source alone.
        changed = [*same[:-1], "zzz"]
        written = write_here(document, changed)
        assert b"zzz" in written
        again = read(f"a.{ending}", written).blocks
        assert [block.given for block in again[: len(same) - 1]] == same[:-1]

    check()


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.lists(
        st.sampled_from(["<g1>", "</g1>", "<g2>", "</g2>", "<x1/>", "<x9/>", "a", "<", " "])
    ).map("".join)
)
def test_tags_in_any_order_lose_no_word_and_no_mark(text: str) -> None:
    found = list(runs(text, groups=2, marks=1))
    assert sum(run.mark == 1 for run in found) == 1
    assert "".join(run.text for run in found).count("a") == text.count("a")


def test_words_beside_a_page_break_in_one_run_are_read_and_written() -> None:
    made = docx.Document()
    run = made.add_paragraph().add_run("before it")
    run.bold = True
    run.add_break(WD_BREAK.PAGE)
    run.add_text("after it")
    made.add_paragraph("the next")
    document = read("a.docx", made_files.word(made))
    assert [block.given for block in document.blocks] == ["before it<x1/>after it", "the next"]
    raw = write_here(document, ["BEFORE<x1/>AFTER", "the next"])
    first, second = docx.Document(io.BytesIO(raw)).paragraphs
    assert (first.text, second.text) == ("BEFOREAFTER", "the next")  # a page break is no text there
    assert [bool(run.bold) for run in first.runs] == [True] * 3
    assert made_files.part_of(raw, "word/document.xml").count(b'w:type="page"') == 1
