"""Formatting that was lost, found again by its words."""

from __future__ import annotations

import pytest

from agent.formatting import found_again

KNOWN = {"Monday": "Lundi.", "the notes": "les notes", "small": "petit", "Notes": "注释"}


@pytest.mark.parametrize(
    ("source", "answer", "wanted"),
    [
        ("On <g1>Monday</g1>.", "Nous sommes le lundi.", "Nous sommes le <g1>lundi</g1>."),
        ("On <g1>Monday</g1>.", "Le <g1>lundi.", "Le <g1>lundi</g1>."),
        ("On <g1>Monday</g1>.", "Le <g1>mardi</g1>.", "Le <g1>mardi</g1>."),
        ("On <g1>Monday</g1>.", "Le mardi.", "Le mardi."),
        ("See <g1>Ann</g1>, <g2>the notes</g2>", "Les notes d'Ann", None),
        ("<g1>Notes</g1> below", "注释在下面", "<g1>注释</g1>在下面"),
        ("<i>small</i> cats", "des petites, un petit", "des petites, un <i>petit</i>"),
        ("<i>a</i> or <i>b</i>", "a ou b", "a ou b"),
        ("<g1>g2</g1> is <g2>here</g2>", "<g2>ici</g2>, g2", "<g2>ici</g2>, <g1>g2</g1>"),
        ("<g1>...</g1> so", "ainsi", "ainsi"),
    ],
)
def test_words_are_found(source: str, answer: str, wanted: str | None) -> None:
    wanted = wanted or "<g2>Les notes</g2> d'<g1>Ann</g1>"
    assert found_again(source, answer, lambda words: KNOWN.get(words, "?")) == wanted


def test_only_what_was_lost_is_translated_by_itself() -> None:
    asked: list[str] = []
    found_again("<g1>a b</g1> <g2>c</g2>", "<g1>x</g1> y", lambda words: asked.append(words) or "")
    assert asked == ["c"]
