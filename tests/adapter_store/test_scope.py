"""An adapter answers what it was trained for and nothing else."""

from __future__ import annotations

import pytest

from adapter_store.scope import Scope, languages_of

FRENCH = Scope(slots={"source": ["en", "fr"], "target": ["en", "fr"]})
MOOD = Scope(labels=["positive", "negative", "neutral"], languages=["en"])
LABELS = ["neutral", "positive", "negative"]


@pytest.mark.parametrize(
    ("slots", "covered"),
    [
        ({"source": "en", "target": "fr"}, True),
        ({"source": "fr", "target": "en", "length": "short"}, True),
        ({"source": "en", "target": "de"}, False),
        ({"source": "zh", "target": "fr"}, False),
        ({"target": "fr"}, False),
    ],
)
def test_slots(slots: dict[str, str], covered: bool) -> None:
    assert FRENCH.covers(slots, (), "The train is late.") is covered


@pytest.mark.parametrize(
    ("labels", "text", "covered"),
    [
        (LABELS, "I loved every minute of it, and so did the children.", True),
        (["angry", "calm"], "I loved every minute of it.", False),
        (LABELS, "Lovely.", True),
        (LABELS, "Oh nee", True),
        (LABELS, "这部电影我看了三遍,太好看了。", False),
        (LABELS, "Der Film war schrecklich langweilig, und wir sind früher gegangen.", False),
        (LABELS, "12345", True),
    ],
)
def test_labels_and_languages(labels: list[str], text: str, covered: bool) -> None:
    assert MOOD.covers({}, labels, text) is covered


def test_few_labels_are_known_and_not_read() -> None:
    few = Scope(among=["billing", "bugs", "sales"])
    assert few.covers({}, ["bugs", "billing"], "It closes at once.")
    assert not few.covers({}, ["bugs", "weather"], "It closes at once.")


def test_an_adapter_without_a_record_covers_everything() -> None:
    assert Scope().covers({"target": "xx"}, ["a"], "什么都行")


def test_languages_of_texts_leave_out_the_rare() -> None:
    english = ["The library opens at nine on weekdays and at ten on Saturdays."] * 40
    german = ["Die Bücherei öffnet an Wochentagen um neun und am Samstag um zehn."] * 20
    chinese = ["图书馆工作日九点开门，星期六十点开门。"]
    assert languages_of(english + german + chinese) == ["en", "de"]
    assert languages_of(english * 200 + german * 10 + chinese * 10) == ["en", "de"]


def test_languages_of_short_texts_are_told_from_many_of_them() -> None:
    assert languages_of(["a good film", "poor plot", "what a great cast", "awful"] * 20) == ["en"]
    assert languages_of(["好看", "太差了", "一般般"] * 20) == ["zh"]
