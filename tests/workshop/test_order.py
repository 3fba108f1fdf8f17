from __future__ import annotations

from pathlib import Path

import pytest
from reviewing import row

from workshop.order import ordered, put_in_order, uncertainty
from workshop.review_row import ReviewRow
from workshop.rows import ReviewStore


def unsure(id: str, text: str, top: float, **fields: bool) -> ReviewRow:
    labels = {"positive": top, "negative": 1 - top}
    return row(id, text, why="random" if fields else "unsure", labels=labels, **fields)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row("a"), 1.0),
        (unsure("a", "t", 0.5), 1.0),
        (unsure("a", "t", 0.9), 0.2),
        (row("a", why="imported"), 0.5),
        (row("a", why="unsure", labels={"only": 1.0}), 0.0),
    ],
)
def test_uncertainty_is_what_the_margin_leaves(given: ReviewRow, expected: float) -> None:
    assert uncertainty(given) == pytest.approx(expected)


def test_the_unsure_come_first_and_what_is_much_the_same_later() -> None:
    pending = [
        unsure("sure", "The museum opens at nine", 0.99),
        unsure("soup", "The soup was cold and salty", 0.55),
        unsure("soup again", "The soup was cold and salty too", 0.54),
        unsure("train", "Our train arrived two hours late", 0.6),
    ]
    assert ordered(pending) == ["soup again", "train", "soup", "sure"]


def test_what_is_like_a_row_that_is_done_is_worth_less() -> None:
    pending = [
        unsure("soup", "The soup was cold and salty", 0.55),
        unsure("train", "Our train arrived two hours late", 0.6),
    ]
    done = [row("done", "The soup was cold and very salty")]
    assert ordered(pending, done) == ["train", "soup"]
    assert ordered([], done) == []


def test_rows_drawn_at_random_keep_their_share_of_every_stretch() -> None:
    pending = [unsure(f"u{i}", f"Text number {i} about thing {i * 7}", 0.6) for i in range(80)]
    held = [unsure(f"h{i}", f"Drawn {i} of them", 0.9, held_out=True) for i in range(20)]
    found = ordered([*pending, *held])
    assert sorted(found) == sorted(one.id for one in [*pending, *held])
    for begin in range(0, 100, 20):
        assert sum(id.startswith("h") for id in found[begin : begin + 20]) == 4
    drawn = [id for id in found if id.startswith("h")]
    assert drawn != sorted(drawn, key=lambda id: int(id[1:]))
    assert found == ordered([*pending, *held]), "the same every time"


def test_texts_without_a_word_do_not_stop_it() -> None:
    assert sorted(ordered([row("a", "?!"), row("b", "…"), row("c", "这家店的汤是冷的")])) == [
        "a",
        "b",
        "c",
    ]


def test_a_store_is_put_in_order_with_duplicates_last(tmp_path: Path) -> None:
    store = ReviewStore(tmp_path / "review.sqlite")
    store.add([
        unsure("sure", "The museum opens at nine", 0.95), unsure("copy", "Anything at all", 0.5),
        unsure("unsure", "The soup was cold", 0.51), row("other", task="translation"),
    ])  # fmt: skip
    store.mark("duplicate", {"copy": "x"}, among=["copy"])
    assert put_in_order(store, "sentiment") == 3
    assert [one.id for one in store.pending("sentiment")] == ["unsure", "sure", "copy"]
