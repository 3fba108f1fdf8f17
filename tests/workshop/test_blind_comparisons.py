"""Blind comparisons: what is shown, kept, taken back, withdrawn, found, and what promotes."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from judged import SAME, judged
from typer.testing import CliRunner

from adapter_store.promotions import Promotions
from core.errors import InputError, PatchbayError
from tasks.spec import load_tasks
from workshop.__main__ import app
from workshop.blind_comparisons import COMPARISONS, BlindComparisons, BlindRow, Choice
from workshop.human_preference import LEAST, Winner, preference
from workshop.jobs import JobFolder
from workshop.promoting import promote
from workshop.refusal import Refusal
from workshop.rows import ReviewStore
from workshop.withdrawal import withdraw

LOOKS = range(10, 201, 10)
TEXTS = [f"Row number {n} is here" for n in range(24)]


@pytest.fixture
def found() -> JobFolder:
    return judged([*TEXTS, f"This {SAME} the same"])


def prefers_new(row: BlindRow) -> Choice:
    """The new adapter writes in capitals."""
    return "first" if row.first.isupper() else "second"


def prefers_old(row: BlindRow) -> Choice:
    return "second" if row.first.isupper() else "first"


def compare(found: JobFolder, by: str, rows: int, taste: Callable[[BlindRow], Choice]) -> None:
    for _ in range(rows):
        comparisons = BlindComparisons(found)
        row = comparisons.next(by)
        assert row
        comparisons.choose(row.line, taste(row), by)


def test_rows_come_in_an_order_of_each_person_s_own_and_sides_are_drawn(found: JobFolder) -> None:
    comparisons = BlindComparisons(found)
    assert {row.text for row in comparisons.rows.values()} == set(TEXTS), "those that differ"
    sides = [comparisons.row(line) for line in comparisons.rows]
    assert {row.first.isupper() for row in sides if row} == {True, False}
    again = BlindComparisons(found)
    assert [again.row(line) for line in again.rows] == sides, "drawn once, and kept"
    firsts = [again.next(by) for by in ("ada", "bo", "cy", "di")]
    assert len({row.line for row in firsts if row}) > 1
    other = BlindComparisons(judged(TEXTS))
    assert [row.first for row in map(other.row, other.rows) if row] != [r.first for r in sides if r]


def test_choices_are_kept_counted_once_a_row_and_taken_back_by_who_made_them(
    found: JobFolder,
) -> None:
    compare(found, "ada", 2, prefers_new)
    compare(found, "bo", 1, prefers_old)
    comparisons = BlindComparisons(found)
    assert sorted(comparisons.winners.values()) == ["new", "new", "old"]
    assert (comparisons.left, comparisons.people) == (21, ["ada", "bo"])
    line = next(iter(comparisons.winners))
    comparisons.choose(line, "tie", "cy")  # both had looked at it
    assert BlindComparisons(found).winners == comparisons.winners
    second = BlindComparisons(found).undo("ada")
    assert second not in BlindComparisons(found).winners
    assert BlindComparisons(found).undo("ada") == line
    assert BlindComparisons(found).winners[line] == "tie", "what cy said counts then"
    assert BlindComparisons(found).undo("ada") is None
    said = (found.folder / COMPARISONS).read_text().splitlines()
    assert len(said) == 1 + 4 + 2, "it is only appended to"
    assert "Row number" not in "".join(said)
    first = json.loads(said[1])
    assert first["by"] == "ada"
    assert first["at"].startswith("20")


def test_half_a_line_of_who_was_killed_is_cut_off(found: JobFolder) -> None:
    compare(found, "ada", 2, prefers_new)
    with (found.folder / COMPARISONS).open("a") as file:
        file.write('{"line": 3, "fir')
    assert len(BlindComparisons(found).winners) == 2
    compare(found, "bo", 1, prefers_new)
    assert len(BlindComparisons(found).winners) == 3
    (found.folder / COMPARISONS).write_text("{}\n")
    with pytest.raises(InputError, match=r"is damaged .* Delete it"):
        BlindComparisons(found)


def test_what_cannot_be_compared_is_said(found: JobFolder) -> None:
    comparisons = BlindComparisons(found)
    with pytest.raises(Refusal, match="no row 99"):
        comparisons.choose(99, "tie", "ada")
    tasks = load_tasks()
    labels = judged(["a warm film", "a dull film"], "sentiment")
    with pytest.raises(Refusal, match="sentiment chooses labels"):
        BlindComparisons(labels).require(tasks["sentiment"])
    (found.folder / "verdict.json").unlink()
    with pytest.raises(Refusal, match="Only a finished judging"):
        BlindComparisons(found).require(tasks["translation"])


def test_words_that_are_withdrawn_are_shown_no_more_and_choices_stay(found: JobFolder) -> None:
    compare(found, "ada", 3, prefers_new)
    comparisons = BlindComparisons(found)
    done, open_row = next(iter(comparisons.winners)), comparisons.next("ada")
    assert open_row
    withdraw(ReviewStore(), ids=[f"r{line - 1}" for line in (done, open_row.line)])
    after = BlindComparisons(found)
    assert {done, open_row.line}.isdisjoint(after.rows)
    assert after.row(open_row.line) is None
    assert len(after.winners) == 3
    assert after.left == 24 - 2 - 2
    texts = [file.read_bytes() for file in found.folder.rglob("*") if file.is_file()]
    assert not [text for text in texts if open_row.text.encode() in text]


def test_the_result_waits_for_enough_rows_and_is_one_of_three(found: JobFolder) -> None:
    compare(found, "ada", LEAST - 1, prefers_new)
    assert BlindComparisons(found).preference is None
    compare(found, "ada", 1, lambda row: "tie")
    people = BlindComparisons(found).preference
    assert people
    assert (people.new, people.old, people.ties) == (9, 0, 1)
    assert people.answer == "better"
    assert 0.5 < people.low < people.share == 1.0
    few = judged(TEXTS[:2])
    compare(few, "ada", 2, prefers_old)
    people = BlindComparisons(few).preference
    assert people, "there are no more rows"
    assert people.answer == "not enough evidence"
    assert 5 < people.more_rows < 100


@pytest.mark.parametrize(("share", "answer"), [(0.75, "better"), (0.3, "not better")])
def test_a_taste_is_told_and_about_as_soon_as_promised(share: float, answer: str) -> None:
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(30):
        winners: list[Winner] = ["new" if x < share else "old" for x in rng.random(2000)]
        assert preference(winners, 0.025).answer == answer
        promised = 30 + preference(winners[:30], 0.025).more_rows
        looks = (n for n in range(1, 2000) if preference(winners[:n], 0.025).more_rows == 0)
        ratios.append(promised / max(30, next(looks)))
    assert 0.4 < np.median(ratios) < 3


def test_a_coin_is_seldom_called_a_taste_though_it_is_looked_at_again_and_again() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(100):
        winners: list[Winner] = ["new" if x < 0.5 else "old" for x in rng.random(200)]
        wrong += any(preference(winners[:n], 0.05).answer == "better" for n in LOOKS)
    assert wrong <= 8


def test_ties_decide_nothing_and_stretch_what_is_promised() -> None:
    some: list[Winner] = ["new"] * 14 + ["old"] * 6
    plain, tied = preference(some, 0.025), preference([*some, *["tie"] * 20], 0.025)
    assert (plain.share, plain.low, plain.high) == (tied.share, tied.low, tied.high)
    assert tied.more_rows == 2 * plain.more_rows


def test_what_people_found_goes_with_a_promotion_and_a_dislike_wants_a_reason(
    found: JobFolder,
) -> None:
    compare(found, "ada", 24, prefers_old)
    people = BlindComparisons(found).preference
    assert people
    assert people.prefers_old
    with pytest.raises(Refusal, match="chosen on 0 of 24 rows"):
        promote(found, "me")
    with pytest.raises(Refusal, match="say why"):
        promote(found, "me", share=0.2)
    promote(found, "me", "it shouts, and that is wanted")
    evidence = Promotions().current("translation")[0].evidence
    assert evidence["forced"] == "it shouts, and that is wanted"
    assert evidence["why"].startswith(
        "compared blind by ada: not better: the new answer was chosen"
    )


def test_a_taste_does_not_loosen_the_gate(found: JobFolder) -> None:
    compare(found, "ada", 24, prefers_new)
    with pytest.raises(PatchbayError, match="did not pass the gate"):
        promote(found, "me")


def run(*words: str, keys: str = "") -> str:
    return CliRunner().invoke(app, list(words), input=keys, catch_exceptions=False).output


def test_in_a_terminal(found: JobFolder) -> None:
    job = found.folder.name
    said = run("compare", job, "--by", "ada", keys="1\nnonsense\nz\n2\n0\nq\n")
    assert "24 to compare · target: de, source: en" in said
    assert "[1] " in said
    assert said.count("Better: 1, 2, or 0 for a tie") == 6
    assert "2 rows compared, 22 left" in said
    assert "mine" not in said
    said = run("compare", job, "--by", "bo", keys="1\n" * 22)
    assert "by ada, bo; 0 rows left" in said
    assert "the new answer was chosen on" in said
    assert BlindComparisons(found).left == 0


def test_the_end_of_the_input_ends_it(found: JobFolder) -> None:
    assert "1 rows compared" in run("compare", found.folder.name, keys="1\n")
