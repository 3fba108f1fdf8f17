"""Code, links, addresses and placeholders of a text stand in its translation as they were."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import verbatim
from engine.interface import Delta, Token

SOURCES = [
    "Use the `print()` function, then `a.b` twice.",
    "Read the [guide](https://example.com/a_(b)) or https://example.com/help?x=1&y=2 first.",
    "Write to anna.smith@example.org, {name}: %d of ${total} {{left}} <b>now</b>.",
    "``a ` b`` and $5, 50% of all, 3 < 4 > 2, [see] (this).",
    "见 `配置.toml`，网址 https://example.com/帮助。",
]


def restored(source: str, answer: str, sizes: list[int] | None = None) -> str:
    restorer, text, at = verbatim.Restorer(source), "", 0
    for size in [*(sizes or []), len(answer)]:
        text += restorer.feed(Delta(answer[at : at + size])).text
        at += size
    return text + restorer.rest().text


@given(st.sampled_from(SOURCES), st.lists(st.integers(1, 9), max_size=40))
def test_what_is_kept_is_left_alone_however_it_arrives(source: str, sizes: list[int]) -> None:
    assert restored(source, source, sizes) == source


@given(st.text("`{}[]()<>@:/%$ab 1", max_size=40), st.lists(st.integers(1, 5), max_size=30))
def test_the_pieces_do_not_matter(answer: str, sizes: list[int]) -> None:
    source = "Use `ab`, {a}, <b>, %d, [b](ab), a@b.ab"
    assert restored(source, answer, sizes) == restored(source, answer)


def test_a_part_that_ends_in_the_last_word_stays_whole() -> None:
    source = "Use `ab`, a@b.ab"
    assert restored(source, "1` ` ", [2, 1, 1]) == restored(source, "1` ` ")


@pytest.mark.parametrize(
    ("source", "answer", "expected"),
    [
        ("Run `build {{path/to/file}}`.", "Lancez `build {{chemin/vers}}`.", None),
        ("Open [it](https://a.example/x_y).", "Ouvrez [le](https://a.example/x_ y).", "same"),
        ("Open [it](/docs/start).", "Ouvrez [le](/docs/debut).", "Ouvrez [le](/docs/start)."),
        ("Hello {name}!", "Bonjour {nom} !", "Bonjour {name} !"),
        ("See https://a.example/help_page", "Voir https://a.example/aide_page !", None),
        ("Press `a`, then `b`.", "`b`, puis `a`.", "same"),
        ("Use `socket.socket`.", "La clef `x`.", "same"),
        ("Use `text`.", "La clef `texte_long`.", "La clef `text`."),
        ("No code.", "Pas de `code`.", "same"),
    ],
)
def test_an_altered_part_is_taken_back(source: str, answer: str, expected: str | None) -> None:
    if expected is None:
        parts = [part.text for part in verbatim.parts(source)]
        assert [part.text for part in verbatim.parts(restored(source, answer))] == parts
    else:
        assert restored(source, answer) == (answer if expected == "same" else expected)


def test_tokens_are_all_passed_on() -> None:
    restorer = verbatim.Restorer("Use `ab`.")
    tokens = [Token("`a", -1.0), Token("b", -2.0), Token("`.", -3.0)]
    passed = [restorer.feed(Delta(token.text, (token,))) for token in tokens]
    passed.append(restorer.rest())
    assert [token for delta in passed for token in delta.tokens] == tokens
    assert "".join(delta.text for delta in passed) == "`ab`."


@pytest.mark.parametrize(
    ("source", "answer", "lost"),
    [
        ("It costs $1,299.99 and weighs 12.5 kg.", "Il coûte 1 299,99 $ et pèse 12,5 kg.", []),
        ("It weighs 12.5 kg.", "Il pèse 12 kg.", ["12.5"]),
        ("3 cats", "trois chats", []),
        ("I love it 😍🍕!", "Je l'adore 😍 !", ["🍕"]),
        ("Use `a` and `a`.", "Utilisez `a`.", ["`a`"]),
        ("Write to a@b.example.", "Écrivez.", ["a@b.example"]),
    ],
)
def test_what_an_answer_lost_is_named(source: str, answer: str, lost: list[str]) -> None:
    assert verbatim.lost(source, answer) == lost


@pytest.mark.parametrize("run", ["a", "{", "a@", "<a", "`", "%(", "${", "](", "a.", "www."])
def test_a_long_run_without_a_part_takes_no_time(run: str) -> None:
    began = time.process_time()
    verbatim.lost(run * 50_000, "")
    assert time.process_time() - began < 1
