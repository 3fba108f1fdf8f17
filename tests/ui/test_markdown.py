import pytest
from markdown_it import MarkdownIt

from documents.document import Block, rendered
from ui.markdown import safe, with_table_heads


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "**bold** and `code <b>`",
        "> quoted\n> more",
        "1. one\n2. two",
        "a $x<y$ b",
        "~~~\n<b>",
    ],
)
def test_markdown_stays_markdown(text: str) -> None:
    """What a strict renderer draws is the same with and without, HTML aside."""
    renderer = MarkdownIt("commonmark", {"html": False})
    assert renderer.render(safe(text)) == renderer.render(text)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "> <b>in a quotation</b>",
        "`code` <b>after code</b> `more`",
        "```\nclosed\n```\n<b>after a fence</b>",
        "a ` lone tick <b>",
        "&lt;b&gt; & <http://x.y>",
    ],
)
def test_html_shows_as_text(text: str) -> None:
    drawn = MarkdownIt("commonmark", {"html": True}).render(safe(text))
    for tag in ("<script", "<img", "<b>", "<a "):
        assert tag not in drawn


@pytest.mark.parametrize("text", ["![a](http://x/y.png)", "![a][1]\n\n[1]: http://x/y.png", "![a]"])
def test_pictures_are_not_fetched(text: str) -> None:
    assert "<img" not in MarkdownIt("commonmark").render(safe(text))


def test_code_keeps_its_characters_while_it_streams() -> None:
    text = "```python\nif a < b & c > d:\n    print('<b>')\n```"
    for end in range(text.index("\n") + 1, len(text) + 1):
        assert safe(text[:end]) == text[:end]


def test_the_rows_of_a_file_are_drawn_as_a_table() -> None:
    cells = [Block("table", text, row=row) for row in (1, 2) for text in (f"a{row}", f"b|{row}")]
    text = rendered([Block("paragraph", "Prices"), *cells, Block("paragraph", "All | in euros")])
    drawn = MarkdownIt("commonmark").enable("table").render(with_table_heads(text))
    assert drawn.count("<table>") == 1
    assert "<th>b|1</th>" in drawn
    assert "<td>b|2</td>" in drawn
    assert "<p>All | in euros</p>" in drawn
    assert with_table_heads(with_table_heads(text)) == with_table_heads(text)
