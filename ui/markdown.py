"""Make a model's Markdown safe to draw: its HTML shows as text, its pictures are not fetched."""

from __future__ import annotations

import re

# A fenced block (perhaps still being written), an inline code span, or the mathematics between.
_CODE = re.compile(
    r"(^[ ]{0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ ]{0,3}(?P=fence)[`~]*[ ]*$|\Z)"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))",
    re.DOTALL | re.MULTILINE,
)
# A row of cells, and the line below the first row that makes a table of them.
_ROW = re.compile(r"\|.*\|[ ]*")
_DELIMITER = re.compile(r"\|[ :|-]+\|[ ]*")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def safe(text: str) -> str:
    """Markdown that draws the same, except that HTML shows as text and `![](…)` fetches nothing.

    Code keeps its characters: the renderer escapes them itself.
    """
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(text):
        parts += [_plain(text[end : code.start()]), code.group()]
        end = code.end()
    parts.append(_plain(text[end:]))
    return "".join(parts)


def _plain(text: str) -> str:
    lines = [_escape_line(line) for line in text.split("\n")]
    return "\n".join(lines).replace("![", "!\\[")


def _escape_line(line: str) -> str:
    quote = re.match(r"[ ]{0,3}(?:>[ ]?)*", line)  # a quotation's marks stay marks
    start = quote.end() if quote else 0
    return line[:start] + re.sub(r"[&<>]", lambda mark: _ENTITIES[mark.group()], line[start:])


def with_table_heads(text: str) -> str:
    """Rows of cells, as `documents.rendered` writes them, with the line below the first that makes
    Markdown draw a table.
    """
    lines = text.split("\n")
    drawn: list[str] = []
    for above, line, below in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        drawn.append(line)
        if _ROW.fullmatch(line) and not above.strip() and not _DELIMITER.fullmatch(below):
            drawn.append("|" + " --- |" * (len(re.findall(r"(?<!\\)\|", line)) - 1))
    return "\n".join(drawn)
