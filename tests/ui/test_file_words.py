"""Whatever is said of a file is said in Chinese too."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import made_files
import pytest

from core.errors import InputError
from documents import process, recognition
from ui.file_words import in_both

CHINESE = re.compile(r"[\u4e00-\u9fff]")
NOT_OF_READING = {"process.py"}  # what it raises itself is of paths, or of writing back


def sentences() -> list[str]:
    """Every error of reading as the source has it, with something in each brace."""
    found = []
    for file in sorted(Path(process.__file__).parent.glob("*.py")):
        if file.name in NOT_OF_READING:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError"):
                continue
            if isinstance(node.args[0], ast.JoinedStr):
                found.append("".join(map(_filled, node.args[0].values)))
    return found


def _filled(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    filled = {"what": "RTF. Save it as DOCX", "cut": "", "READ": recognition.READ}
    return filled.get(ast.unparse(part.value), "12")


def test_every_error_of_reading_has_its_chinese() -> None:
    found = sentences()
    assert len(found) > 15
    assert [one for one in found if not CHINESE.search(in_both(one).zh)] == []


def test_every_other_format_has_its_chinese() -> None:
    for what in (*recognition.OTHERS.values(), *recognition.OTHER_PACKAGES.values()):
        both = in_both(f"this is it.xyz is {what}. Read are {recognition.READ}.")
        assert both.zh.startswith("this is it.xyz 是")
        assert what not in both.zh


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.pdf", made_files.locked_pdf()),
        ("a.pdf", b"%PDF-1.7\nnothing"),
        ("a.docx", b"PK\x03\x04 half"),
        ("a.txt", b""),
        ("a.png", b"\x89PNG\r\n"),
    ],
)
def test_what_is_really_said_is_found(name: str, raw: bytes) -> None:
    with pytest.raises(InputError) as refused:
        process.read(name, raw)
    both = in_both(str(refused.value))
    assert both.en == str(refused.value)
    assert both.zh.startswith("a.")
    assert CHINESE.search(both.zh)


def test_what_no_phrase_made_stays_as_it_is() -> None:
    assert in_both("Something new about a.pdf.").zh == "Something new about a.pdf."
