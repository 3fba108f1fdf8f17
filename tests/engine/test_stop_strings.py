"""A text ends before a string that ends it, however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.stop_strings import Until

LETTERS = st.text("ab", max_size=12)
ENDS = st.lists(st.text("ab", min_size=1, max_size=3), max_size=3)


@given(st.lists(LETTERS, max_size=8), ENDS)
def test_the_cut_does_not_depend_on_the_pieces(pieces: list[str], ends: list[str]) -> None:
    until, shown = Until(ends), ""
    for piece in pieces:
        shown += until.add(piece)
        if until.found:
            break
    whole = "".join(pieces)
    found = [end for end in ends if end in whole]
    assert until.found == bool(found)
    if not found:
        assert shown + until.rest() == whole
        return
    # The first piece that completes an end decides, so a longer one may begin before it.
    assert whole.startswith(shown)
    assert any(whole.startswith(end, len(shown)) for end in found)
    assert not any(end in shown for end in ends)


def test_what_cannot_be_an_end_is_not_held_back() -> None:
    until = Until(["\n\n"])
    assert until.add("one\n") == "one"
    assert until.add("two") == "\ntwo"
    assert until.rest() == ""
