"""Promotions: the latest first, reversible, kept, and read anew by whoever looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_store.promotions import Promotions
from core.errors import InputError


@pytest.fixture
def promotions(tmp_path: Path) -> Promotions:
    return Promotions(tmp_path / "new" / "promotions.json")


def names(promotions: Promotions, task: str = "sentiment") -> list[str]:
    return [entry.adapter for entry in promotions.current(task)]


def test_the_latest_comes_first_and_rolls_back(promotions: Promotions) -> None:
    assert names(promotions) == []
    promotions.promote("sentiment", "one", "f1", {"accuracy": 0.8})
    promotions.promote("translation", "french", "f9", {})
    promotions.promote("sentiment", "two", "f2", {"accuracy": 0.9})
    assert names(promotions) == ["two", "one"]
    assert promotions.rollback("sentiment").adapter == "two"
    assert names(promotions) == ["one"]
    promotions.promote("sentiment", "three", "f3", {})
    assert names(promotions) == ["three", "one"]
    for _ in range(2):
        promotions.rollback("sentiment")
    with pytest.raises(InputError, match="nothing to roll back"):
        promotions.rollback("sentiment")
    assert names(promotions, "translation") == ["french"]
    assert [entry.action for entry in promotions.history()].count("rollback") == 3
    assert promotions.history()[0].evidence == {"accuracy": 0.8}


def test_another_reader_sees_it_at_once(promotions: Promotions) -> None:
    other = Promotions(promotions.file)
    promotions.promote("sentiment", "one", "f1", {})
    assert names(other) == ["one"]
    promotions.promote("sentiment", "two", "f2", {})
    assert names(other) == ["two", "one"]


def test_a_damaged_file_is_named(promotions: Promotions) -> None:
    promotions.promote("sentiment", "one", "f1", {})
    promotions.file.write_text('[{"action": "promote"}]')
    with pytest.raises(InputError, match=r"promotions\.json is damaged"):
        promotions.current("sentiment")


def test_who_and_why_are_kept_and_only_what_was_meant_is_undone(promotions: Promotions) -> None:
    promotions.promote("sentiment", "one", "f1", {})
    promotions.promote("sentiment", "two", "f2", {})
    with pytest.raises(InputError, match=r"two \(f2\) is promoted for 'sentiment' by now, not f1"):
        promotions.rollback("sentiment", only="f1")
    promotions.rollback("sentiment", "Ada", "it is rude", only="f2")
    assert promotions.history()[-1].evidence == {"by": "Ada", "why": "it is rude"}
    assert names(promotions) == ["one"]


def test_no_change_is_missed_however_quick(promotions: Promotions) -> None:
    other = Promotions(promotions.file)
    for i in range(50):
        promotions.promote("sentiment", f"adapter-{i}", f"f{i}", {})
        assert names(other)[0] == f"adapter-{i}"
        promotions.rollback("sentiment")
        assert names(other) == []


def trial(promotions: Promotions) -> str:
    standing = promotions.trial("sentiment")
    return standing.adapter if standing else ""


def test_a_trial_stands_until_it_is_undone_or_something_is_promoted(promotions: Promotions) -> None:
    promotions.promote("sentiment", "one", "f1", {})
    promotions.promote("sentiment", "two", "f2", {}, share=0.2)
    promotions.promote("translation", "french", "f9", {})
    assert (names(promotions), trial(promotions)) == (["one"], "two")
    assert [event.adapter for event in promotions.trials()] == ["two"]
    assert promotions.adapters() == ["french", "one"]
    assert promotions.rollback("sentiment").adapter == "two"
    assert (names(promotions), trial(promotions)) == (["one"], "")
    promotions.promote("sentiment", "two", "f2", {}, share=0.2)
    assert promotions.rollback("sentiment", only="f1").adapter == "one"
    assert (names(promotions), trial(promotions)) == ([], "")
    promotions.promote("sentiment", "two", "f2", {}, share=0.2)
    promotions.promote("sentiment", "two", "f2", {})
    assert (names(promotions), trial(promotions)) == (["two"], "")
    with pytest.raises(ValueError, match="share"):
        promotions.promote("sentiment", "three", "f3", {}, share=1)


def test_a_conversation_keeps_its_adapter_and_the_share_is_kept(promotions: Promotions) -> None:
    event = promotions.promote("sentiment", "two", "f2", {}, share=0.2)
    tried = [event.tries(f"conversation {n}") for n in range(2000)]
    assert 0.17 < sum(tried) / len(tried) < 0.23
    assert tried == [event.tries(f"conversation {n}") for n in range(2000)]
