"""What people paste: the content is all of the content, whatever stands in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.planning.planner import Planner

PASTED = Path(__file__).parents[2] / "data" / "routing_pasted.jsonl"
WORKS_ON = [
    ("Translate into French: ", 'I read "War and Peace" last year.'),
    ("Translate into French: ", '"Where are you?" asked Tom. "I am at home," said Anna.'),
    ("Translate into French: ", 'The 27" screen and the 32" screen are new.'),
    ("Translate into French: ", '{"title": "Good morning", "body": "The cat sleeps on the sofa."}'),
    (
        "Translate into French: ",
        '<a href="https://a.example/page">Click here</a> to read the news.',
    ),
    ("Is this positive? ", 'Everyone told me "a wonderful, delightful film" but I hated it.'),
    ("/sentiment ", 'Everyone told me "a wonderful, delightful film" but I hated it.'),
    ("翻译成英文：", "这个“老城区”非常漂亮。"),
    ("总结：", "公司表示将裁员。“这很痛苦，”负责人说。工会下周要求谈判，并计划五月罢工。"),
]
LABELLED = [
    ("Classify as spam or ham: WIN $$$ now", ["spam", "ham"], "WIN $$$ now"),
    ("Is this spam or not spam? WIN a prize now", ["spam", "not spam"], "WIN a prize now"),
    (
        "Decide whether this is true or false: The sky is green",
        ["true", "false"],
        "The sky is green",
    ),
    ("Which category fits, 1, 2 or 3: hello", ["1", "2", "3"], "hello"),
    ("Classify into [billing, bugs]: My parcel is late", ["billing", "bugs"], "My parcel is late"),
    ("/classify billing, bugs: My parcel is late", ["billing", "bugs"], "My parcel is late"),
    ("Categories: billing, bugs. My parcel is late", ["billing", "bugs"], "My parcel is late"),
    ("Classify with labels 'very good', 'bad': I liked it", ["very good", "bad"], "I liked it"),
    ("分类：投诉、表扬、咨询。你们几点开门？", ["投诉", "表扬", "咨询"], "你们几点开门？"),
    ("Is this complaint or praise? I love it", ["complaint", "praise"], "I love it"),
]


@pytest.mark.parametrize("line", PASTED.read_text(encoding="utf-8").splitlines())
def test_a_pasted_text_routes_by_its_instruction(planner: Planner, line: str) -> None:
    request = json.loads(line)
    plan = planner.plan(request["text"], request.get("history", ()))
    found = [(step.task, step.slots.get("target")) for step in plan.steps]
    assert found == [(step["task"], step.get("target_lang")) for step in request["plan"]]


@pytest.mark.parametrize(("asked", "content"), WORKS_ON)
def test_quotes_within_the_content_stay_in_it(planner: Planner, asked: str, content: str) -> None:
    assert planner.plan(asked + content).steps[0].text == content


@pytest.mark.parametrize(("text", "labels", "content"), LABELLED)
def test_the_persons_labels_are_taken(
    planner: Planner, text: str, labels: list[str], content: str
) -> None:
    (step,) = planner.plan(text).steps
    assert (step.task, step.slots.get("labels"), step.text) == ("classification", labels, content)


def test_a_question_about_a_compound_works_on_its_last_result_but_one(planner: Planner) -> None:
    request = json.loads(PASTED.read_text(encoding="utf-8").splitlines()[-2])
    (step,) = planner.plan(request["text"], request["history"]).steps
    assert step.text == "The library closes in June."


@pytest.mark.parametrize(
    "content",
    ["Translate everything into German and sum it up.", "Is this positive?", "/help", "“…”"],
)
def test_a_content_of_its_own_is_never_instruction(planner: Planner, content: str) -> None:
    plan = planner.plan("Is this positive or negative?", content=content)
    assert [(step.task, step.text) for step in plan.steps] == [("sentiment", content)]
