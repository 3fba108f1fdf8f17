"""A text ends before a stop string, however it is cut."""

from __future__ import annotations

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
