"""Texts are cut along their structure, and nothing of them is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.parts import Span, cut, headings, paragraphs

REPORT = """# Report

The first year was quiet.

## Money

We spent less. We earned more.
A line of its own.

## People

Nobody left.
"""


def count(text: str) -> int:
    return len(re.findall(r"[一-鿿]|[^\s一-鿿]+", text))


def of(text: str, spans: list[Span]) -> list[str]:
    return [span.of(text) for span in spans]


def parts_of(text: str, language: str, most: int) -> list[str]:
    return [part for piece in cut(text, language, most, count) for part in of(text, piece)]


def test_paragraphs_have_their_headings() -> None:
    assert [part.strip() for part in of(REPORT, list(paragraphs(REPORT)))] == [
        "# Report\n\nThe first year was quiet.",
        "## Money\n\nWe spent less. We earned more.\nA line of its own.",
        "## People\n\nNobody left.",
    ]
    begins = [REPORT.index(line) for line in ("# Report", "## Money", "## People")]
    assert list(headings(REPORT)) == list(zip(begins, ("Report", "Money", "People"), strict=True))
    assert not list(headings("No heading"))


def test_parts_begin_at_headings() -> None:
    parts = [part.strip() for part in parts_of(REPORT, "en", 14)]
    assert [part.split("\n")[0] for part in parts] == ["# Report", "## Money", "## People"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("One sentence here. " * 40, "en"),
        ("这是一个句子，讲的是图书馆。" * 40, "zh"),
        ("word " * 300, "en"),
        ("字" * 300, "zh"),
    ],
)
def test_a_paragraph_that_is_too_long_is_cut_at_sentences_or_words(
    text: str, language: str
) -> None:
    parts = parts_of(text, language, 30)
    assert "".join(parts) == text
    assert all(0 < count(part) <= 30 for part in parts)
    if "." in text or "。" in text:
        assert all(part.rstrip()[-1] in ".。" for part in parts)


TEXTS = st.lists(
    st.sampled_from(["# A\n", "\n\n", "\n", "Words. ", "更多的字。", "- item\n", "```\n", " "]),
    max_size=60,
).map("".join)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(2, 40), st.integers(1, 12), st.integers(1, 40))  # 更多 is one word
def test_the_parts_are_the_text(text: str, most: int, pieces: int, size: int) -> None:
    found = cut(text, "en", most, count, size=size, pieces=pieces)
    parts = [part for piece in found for part in of(text, piece)]
    assert "".join(parts) == (text if text.strip() else "")
    assert all(part.strip() for part in parts)
    assert len(found) <= pieces
    assert all(count(part) <= most for part in parts)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 8, 24, 60])
@pytest.mark.parametrize("most", [20, 1000])
def test_every_third_of_a_text_has_as_many_pieces(pieces: int, most: int) -> None:
    """Chapters of all lengths: what is at the end counts as much as what is at the beginning."""
    chapters = (
        f"# Chapter {n}\n\n" + "Seven words are in this sentence, truly. " * (1 + n * 7 % 11)
        for n in range(30)
    )
    text = "\n\n".join(chapters)
    found = cut(text, "en", most, count, pieces=pieces, exactly=True)
    assert len(found) == pieces
    sizes = [count(text[piece[0].begin : piece[-1].end]) for piece in found]
    fair = count(text) / pieces
    assert max(sizes) <= 2 * fair
    assert min(sizes) >= fair / 3
    assert all(count(part.of(text)) <= most for piece in found for part in piece)
    ends = [sum(sizes[: pieces * third // 3]) * 3 / count(text) for third in (1, 2)]
    assert [round(end) for end in ends] == ([1, 2] if pieces > 2 else [round(e) for e in ends])


def test_parts_are_nearly_as_long_as_they_may_be() -> None:
    """Pages that are a third longer than a part: not two parts each."""
    text = "\n\n".join("Seven words are in this sentence, truly. " * 13 for _ in range(60))
    assert len(parts_of(text, "en", 70)) <= 1.2 * count(text) / 70


def test_what_fits_is_counted_once() -> None:
    counted: list[str] = []

    def counting(text: str) -> int:
        counted.append(text)
        return count(text)

    assert cut(REPORT, "en", 14, counting)
    assert counted == of(REPORT, list(paragraphs(REPORT)))
