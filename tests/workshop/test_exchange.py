"""Rows to other programs and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reviewing import row

from core.errors import InputError
from tasks.rows import Layout
from tasks.spec import load_tasks
from workshop.annotated import AnnotatedText, agreed
from workshop.exchange import Format, read_annotated, write_rows
from workshop.intake import own_labels, slots_of, take_in
from workshop.label_studio import labeling_config
from workshop.review_row import ReviewRow
from workshop.rows import ReviewStore

TASKS = load_tasks()
ROWS = [
    row("a", "Cold soup,\n\"twice\"", labels={"negative": 0.7, "positive": 0.3}, adapter="mine"),
    row("b", "=SUM(A1) 好的", suggested="positive"),
    row("c", "'quoted' and late", suggested=""),
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> ReviewStore:
    return ReviewStore(tmp_path / "review.sqlite")


def written(folder: Path, name: str, records: Any) -> Path:
    file = folder / name
    file.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return file


def texts_of(file: Path, task: str = "sentiment", **layout: Any) -> list[AnnotatedText]:
    return read_annotated(file, TASKS[task], Layout(**layout))[0]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("rows.csv", "table"), ("rows.tsv", "table"), ("rows.xlsx", "table"),
        ("rows.jsonl", "table"), ("rows.json", "label-studio"), ("rows.json", "argilla"),
    ],
)  # fmt: skip
def test_what_was_decided_comes_back_to_its_rows(
    store: ReviewStore, tmp_path: Path, name: str, form: Format
) -> None:
    """Out of one store, decided in another, and back into the first."""
    store.add(ROWS)
    elsewhere = ReviewStore(tmp_path / "elsewhere.sqlite")
    elsewhere.add(ROWS)
    elsewhere.decide("a", "neutral", by="ann")
    elsewhere.decide("b", "positive", by="bob")
    elsewhere.decline("c", by="ann")
    file = tmp_path / name
    decided = [elsewhere.get(id) for id in "abc"]
    write_rows(file, decided, TASKS["sentiment"], form)
    texts = texts_of(file)
    assert [text.text for text in texts] == [one.text for one in ROWS]
    taken = take_in(store, texts, TASKS["sentiment"])
    declines = form != "argilla"  # its records have no such answer
    assert (taken.added, taken.decided) == (0, 2 + declines)
    assert [(store.get(id).right, store.get(id).by) for id in "ab"] == [
        ("neutral", "ann"), ("positive", "bob")
    ]  # fmt: skip
    assert store.get("c").status == ("declined" if declines else "pending")
    assert take_in(store, texts, TASKS["sentiment"]).decided == 0, "nothing is decided twice"


def test_lists_and_languages_come_along(store: ReviewStore, tmp_path: Path) -> None:
    own = {"labels": ["bug, crash", "praise"]}
    rows = [row("a", task="classification", slots=own, suggested="bug, crash")]
    for name in ("rows.csv", "rows.jsonl"):
        write_rows(tmp_path / name, rows, TASKS["classification"], "table")
        [text] = texts_of(tmp_path / name, "classification")
        assert (text.slots, text.suggested, text.id) == (own, "bug, crash", "a")
    [task] = json.loads(_label_studio(tmp_path, rows[0], "classification"))
    assert [one["value"] for one in task["data"]["labels"]] == own["labels"]


def _label_studio(folder: Path, one: ReviewRow, task: str) -> str:
    write_rows(folder / "tasks.json", [one], TASKS[task], "label-studio")
    return (folder / "tasks.json").read_text(encoding="utf-8")


def test_label_studio_s_own_export(tmp_path: Path) -> None:
    def annotation(value: dict[str, Any], kind: str = "choices", **more: Any) -> dict[str, Any]:
        result = {"from_name": "x", "to_name": "t", "type": kind, "value": value}
        return {"id": 1, "completed_by": 7, "was_cancelled": False, "result": [result], **more}

    file = written(tmp_path, "export.json", [
        {"id": 1, "data": {"text": "One"}, "annotations": [annotation({"choices": ["positive"]})]},
        {"id": 2, "data": {"text": "Two"}, "annotations": [
            annotation({"choices": ["positive"]}, completed_by={"email": "a@b.c"}),
            annotation({"choices": ["negative"]}), annotation({"choices": ["negative"]}),
        ]},
        {"id": 3, "data": {"text": "Three"}, "annotations": [annotation({}, was_cancelled=True)]},
        {"id": 4, "data": {"text": "Four"}, "annotations": [], "predictions": [
            {"score": 0.9, "result": [{"type": "choices", "value": {"choices": ["neutral"]}}]}
        ]},
        {"id": 5, "data": {"text": "Five"}, "annotations": [
            annotation({"text": ["a text"]}, "textarea"),
            annotation({"text": ["a text"]}, "textarea"),
        ]},
        {"id": 6, "data": {"text": "Six"}, "annotations": [annotation({"choices": ["a", "b"]})]},
    ])  # fmt: skip
    one, two, three, four, five, six = texts_of(file)
    assert (one.right, one.by) == ("positive", "label-studio 7")
    assert (two.right, two.suggested, two.disagreed) == ("", "negative", True)
    assert three.declined
    assert (four.suggested, four.right) == ("neutral", "")
    assert five.right == "a text"
    assert (six.right, six.suggested) == ("", ""), "two choices are no single label"


@pytest.mark.parametrize("name", ["min.json", "min.csv"])
def test_label_studio_s_flat_exports_of_our_tasks(tmp_path: Path, name: str) -> None:
    said = [("a", "positive", 1), ("a", "positive", 2), ("b", "neutral", 1), ("c", "", "")]
    if name.endswith("json"):
        rows = [
            {"text": "T", "patchbay_id": id, "id": 9, "annotator": by or None, "answer": answer}
            for id, answer, by in said
        ]
        file = written(tmp_path, name, rows)
    else:
        lines = [f"T,{id},9,{by},{answer}\n" for id, answer, by in said]
        file = plain(tmp_path, "text,patchbay_id,id,annotator,answer\n" + "".join(lines), name)
    one, two, three = texts_of(file)
    assert (one.id, one.right, one.by) == ("a", "positive", "label-studio 1, label-studio 2")
    assert (two.right, three.right) == ("neutral", "")


def test_argilla_s_own_export(tmp_path: Path) -> None:
    def record(text: str, responses: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": text, "status": "completed", "fields": {"review": text}, "metadata": {},
            "suggestions": {}, "responses": {"label": responses}, "vectors": {}, **more,
        }  # fmt: skip

    def said(value: Any, user: str) -> dict[str, Any]:
        return {"value": value, "user_id": user}

    suggestion = {"label": {"value": "neutral", "score": 0.5, "agent": "m"}}
    file = written(tmp_path, "records.json", [
        record("One", [said("positive", "u1"), said("positive", "u2")]),
        record("Two", [said("positive", "u1"), said("negative", "u2")]),
        record("Three", [], suggestions=suggestion, status="pending"),
        record("Four", [said(3, "u1")]),
    ])  # fmt: skip
    one, two, three, four = texts_of(file, columns={"review": "text"})
    assert (one.text, one.right, one.by) == ("One", "positive", "argilla u1, argilla u2")
    assert two.disagreed
    assert (three.suggested, three.right) == ("neutral", "")
    assert four.right == "", "a rating is no label"


def test_the_labelling_interface_names_what_the_tasks_have() -> None:
    assert 'value="$labels"' in labeling_config(TASKS["classification"])
    assert "<TextArea" in labeling_config(TASKS["summarization"])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], ("", "", False)),
        ([("a", "x"), ("a", "y"), ("a", "x")], ("a", "x, y", False)),
        ([("a", "x"), ("b", "y"), ("b", "z")], ("b", "", True)),
    ],
)
def test_annotators_agree_or_nothing_is_decided(
    said: list[tuple[str, str]], expected: tuple[str, str, bool]
) -> None:
    assert agreed(said) == expected


def plain(folder: Path, text: str, name: str = "rows.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_texts_without_answers_and_in_one_column_of_any_name(
    store: ReviewStore, tmp_path: Path
) -> None:
    texts = texts_of(plain(tmp_path, "Review of the day\nGood.\nBad.\n"))
    taken = take_in(store, texts, TASKS["sentiment"], consent=True, share=0)
    assert (taken.added, taken.decided) == (2, 0)
    assert [(one.text, one.suggested, one.why) for one in store.pending()] == [
        ("Good.", "", "imported"), ("Bad.", "", "imported")
    ]  # fmt: skip
    again = take_in(
        store,
        texts_of(plain(tmp_path, "text\nGood.\nGood.\nBad.\nNew.\n", "b.csv")),
        TASKS["sentiment"],
    )
    assert again.added == 1
    assert again.passed_over == {"it stands in the file before": 1, "it is in the queue already": 2}


def test_labelled_rows_are_suggestions_until_somebody_has_reviewed_them(
    store: ReviewStore, tmp_path: Path
) -> None:
    texts = texts_of(plain(tmp_path, "text,label\nGood.,Positive\nBad.,负面\n"))
    take_in(store, texts, TASKS["sentiment"], consent=True)
    assert [one.suggested for one in store.pending()] == ["positive", "negative"]
    taken = take_in(store, texts, TASKS["sentiment"], consent=True, reviewer="ann")
    assert taken.decided == 2
    assert {(one.right, one.by) for one in store.done()} == {
        ("positive", "ann"),
        ("negative", "ann"),
    }


def test_without_consent_nothing_is_accepted(store: ReviewStore, tmp_path: Path) -> None:
    texts = texts_of(plain(tmp_path, "text,label\nGood.,positive\n"))
    taken = take_in(store, texts, TASKS["sentiment"], reviewer="ann")
    assert (taken.added, taken.decided) == (1, 0)
    assert taken.passed_over == {"nobody has agreed to its use": 1}


def test_a_random_share_is_held_out_the_same_whenever_it_is_added(
    store: ReviewStore, tmp_path: Path
) -> None:
    texts = [AnnotatedText(f"Text number {i}") for i in range(300)]
    taken = take_in(store, texts, TASKS["sentiment"], share=0.2)
    drawn = {one.text for one in store.pending() if one.held_out}
    assert 35 <= len(drawn) == taken.held_out <= 85
    other = ReviewStore(tmp_path / "other.sqlite")
    take_in(other, texts[::-1], TASKS["sentiment"], share=0.2)
    assert drawn == {one.text for one in other.pending() if one.why == "random"}


def test_labels_and_languages_that_nobody_named_are_refused_with_what_to_say(
    store: ReviewStore, tmp_path: Path
) -> None:
    coded = texts_of(plain(tmp_path, "text,label\nGood.,pos\nBad.,neg\n"))
    with pytest.raises(InputError, match=r"'pos' \(line 2\).*--answer 'neg=negative'"):
        take_in(store, coded, TASKS["sentiment"])
    with pytest.raises(InputError, match="--slot target=French"):
        take_in(store, [AnnotatedText("Hello", line=2)], TASKS["translation"])
    french = slots_of(TASKS["translation"], {"target": "French"})
    take_in(store, [AnnotatedText("Hello", line=2)], TASKS["translation"], slots=french)
    assert store.pending()[0].slots == {"target": "fr"}
    own = slots_of(TASKS["classification"], {"labels": "bug, praise"})
    take_in(store, [AnnotatedText("It fails", suggested="Bug")], TASKS["classification"], slots=own)
    assert store.pending("classification")[0].suggested == "bug"
    texts = [AnnotatedText("a", suggested="x"), AnnotatedText("b", right="y")]
    labels = own_labels(texts, TASKS["classification"])
    assert labels == {"labels": ["x", "y"]}
    with pytest.raises(InputError, match="takes no label list"):
        own_labels([], TASKS["sentiment"])
    for slot, value in (("target", "Klingon"), ("tone", "x")):
        with pytest.raises(InputError):
            slots_of(TASKS["translation"], {slot: value})
    assert store.counts()["translation"]["pending"] == 1


def test_a_file_that_ends_otherwise_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.json"):
        write_rows(tmp_path / "rows.csv", ROWS, TASKS["sentiment"], "argilla")
    assert list(tmp_path.iterdir()) == []
