"""A label list is read in any form that people write it, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from agent.planning import labels


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Classify as spam or ham:", ["spam", "ham"]),
        ("Is this spam or not spam?", ["spam", "not spam"]),
        ("Decide whether this is true or false:", ["true", "false"]),
        ("Which category fits, 1, 2 or 3:", ["1", "2", "3"]),
        ("Classify into [billing, bugs, shipping]:", ["billing", "bugs", "shipping"]),
        ("Categories: billing, bugs, shipping.", ["billing", "bugs", "shipping"]),
        ("Classify with labels 'very good', 'ok', 'bad':", ["very good", "ok", "bad"]),
        ("分类：投诉、表扬、咨询。", ["投诉", "表扬", "咨询"]),
        ("Is this complaint or praise?", ["complaint", "praise"]),
        ("Sports, business or tech?", ["Sports", "business", "tech"]),
        ("which of these: refund, delivery or other?", ["refund", "delivery", "other"]),
        ("体育、财经还是科技？", ["体育", "财经", "科技"]),
        ("属于财经、娱乐还是科技", ["财经", "娱乐", "科技"]),
        ("pos/neg/neutral", ["pos", "neg", "neutral"]),
        ("spam or not", ["spam", "not spam"]),
        ("Is this a question or a complaint?", ["question", "complaint"]),
        ("从体育、财经、科技中选一个：", ["体育", "财经", "科技"]),
        ("只能在“国内”和“国际”里选。", ["国内", "国际"]),
        ("把下面的文字分成体育、财经、科技三类：", ["体育", "财经", "科技"]),
        ("Which team: sales, legal or IT support?", ["sales", "legal", "IT support"]),
        ("Label it as one of: red | green | blue", ["red", "green", "blue"]),
        ("Choose one label (A, B, C) for the text below.", ["A", "B", "C"]),
        ("Using the labels bug, feature and question, label this:", ["bug", "feature", "question"]),
        ("Which of billing, shipping, or returns fits best?", ["billing", "shipping", "returns"]),
        ("Classe ce message : plainte, question ou éloge", ["plainte", "question", "éloge"]),
        ("Ist das eine Beschwerde oder ein Lob?", ["Beschwerde", "Lob"]),
        ("¿Es una queja o un elogio?", ["queja", "elogio"]),
    ],
)
def test_a_list_is_read(text: str, names: list[str]) -> None:
    assert labels.find(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "Which section does this belong in?",
        "Classify this news item.",
        "这条新闻属于哪个栏目？",
        "Please classify the following and then summarize it",
        "Hi, please classify this.",
    ],
)
def test_what_is_no_list_is_none(text: str) -> None:
    assert labels.find(text) is None
