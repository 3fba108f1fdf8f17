"""A text ends before a stop string, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.stop_strings import StopStrings

LETTERS = st.text("ab", max_size=12)
STRINGS = st.lists(st.text("ab", min_size=1, max_size=3), max_size=3)


@given(st.lists(LETTERS, max_size=8), STRINGS)
def test_the_cut_does_not_depend_on_the_pieces(pieces: list[str], strings: list[str]) -> None:
    stops, shown = StopStrings(strings), ""
    for piece in pieces:
        shown += stops.feed(piece)
        if stops.matched:
            break
    whole = "".join(pieces)
    contained = [string for string in strings if string in whole]
    assert stops.matched == bool(contained)
    if not contained:
        assert shown + stops.flush() == whole
        return
    # The first piece that completes a stop string decides, so a longer one may begin before it.
    assert whole.startswith(shown)
    assert any(whole.startswith(string, len(shown)) for string in contained)
    assert not any(string in shown for string in strings)


def test_what_cannot_be_a_stop_string_is_not_held_back() -> None:
    stops = StopStrings(["\n\n"])
    assert stops.feed("one\n") == "one"
    assert stops.feed("two") == "\ntwo"
    assert stops.flush() == ""


PLAIN = "Here they are:\n\n1. Oak\n2. Elm\n"
DETAILED = "1. **Oak**\n   - strong\n2. **Elm**\n   - tall\n"


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("kept", "rest"),
    [
        (PLAIN, "3. Ash\n"),
        (PLAIN, "\nBoth are trees. Others are:\n1. Ash\n"),
        ("- Oak\n- Elm\n", "\nBoth are trees."),
        (DETAILED, "3. **Ash**"),
        (DETAILED + "   - old\n3.5 metres thick.\n", ""),
        ("1. Oak\n\nStrong.\n\n2. Elm\n\nTall.\n", "\n3. Ash"),
        ("1、橡树\n2、榆树\n", "3、白蜡树"),
        (DETAILED + "   - old\n\nBoth are trees.", ""),
        ("1. Oak\n- Elm\n", ""),
        ("Two trees: oak and elm.\nBoth are tall.\n", ""),
    ],
)
def test_a_list_ends_behind_the_last_item_that_is_wanted(kept: str, rest: str, size: int) -> None:
    stops, shown, whole = StopStrings((), list_length=2), "", kept + rest
    for at in range(0, len(whole), size):
        shown += stops.feed(whole[at : at + size])
        if stops.matched:
            break
    assert stops.matched == bool(rest)
    assert (shown + stops.flush()).rstrip() == kept.rstrip()


@pytest.mark.parametrize("begun", ["- Oak\n- E", "- Oak\n", "- Oa"])
def test_items_that_stood_before_an_answer_is_gone_on_with_count(begun: str) -> None:
    whole = "- Oak\n- Elm\n- Ash\n"
    stops = StopStrings((), list_length=2, begun=begun)
    assert begun + stops.feed(whole[len(begun) :]) == "- Oak\n- Elm\n"
    assert stops.matched
