"""Cutting a text loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import segments


@given(st.text(max_size=300), st.sampled_from(["en", "zh", "fr", "ja", "xx"]))
def test_sentences_join_to_the_text(text: str, language: str) -> None:
    parts = list(segments.sentences(text, language))
    assert "".join(part.before + part.core + part.after for part in parts) == text
    assert all(part.core == part.core.strip() for part in parts)


@settings(deadline=None)  # a dictionary is read once
@given(st.text(max_size=200), st.integers(1, 20))
def test_groups_join_to_the_text(text: str, most: int) -> None:
    parts = segments.groups(text, most)
    assert "".join(parts) == text
    assert len(parts) <= most


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "备注写明要热饮，还送来加冰的！",
            ["备注", "写明", "要", "热饮，", "还", "送来", "加冰", "的！"],
        ),
        ("iPhone手机很好用 :)", ["iPhone", "手机", "很", "好", "用 ", ":)"]),
        ("“Hello”, she said.", ["“Hello”, ", "she ", "said."]),
    ],
)
def test_groups_are_of_whole_words(text: str, words: list[str]) -> None:
    assert segments.groups(text, 12) == words


@pytest.mark.parametrize(
    ("text", "language", "cores"),
    [
        ("Dr. Smith left. He ran.", "en", ["Dr. Smith left.", "He ran."]),
        ("天气很好。我们走吧！", "zh", ["天气很好。", "我们走吧！"]),
        ("1. First\n2) Second", "en", ["First", "Second"]),
        ("> quoted\n---\n42", "en", ["quoted"]),
        ("- `git push {{branch}}`\nhttps://a.example\n{name}: `x`", "en", []),
        (
            "| Name | Colour |\n|---|:--|\n| `a|b` | Red \\| blue |",
            "en",
            ["Name", "Colour", "Red \\| blue"],
        ),
        ("<g1>All of it.</g1>", "en", ["All of it."]),
        ("<g1>One is here. Two is there.</g1>", "en", ["One is here.", "Two is there."]),
        ("<x1/>It is <g2>new</g2>.<x3/>", "en", ["It is <g2>new</g2>."]),
        ("<b>a</b> and <b>b</b>", "en", ["<b>a</b> and <b>b</b>"]),
        ("<p><i> So it is </i></p>", "en", ["So it is"]),
        ("a <b", "en", ["a <b"]),
    ],
)
def test_sentences_are_found(text: str, language: str, cores: list[str]) -> None:
    assert [part.core for part in segments.sentences(text, language) if part.core] == cores
