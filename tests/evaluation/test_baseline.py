"""TF-IDF with logistic regression on an adapter's own rows: trained, compared, judged by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from judging import TASKS, run_plan, write_rows

from core.fingerprint import sha256_file
from core.paths import REPOSITORY
from engine.fake import FakeEngine
from evaluation import baseline, gate, record, report, runner
from evaluation.record import Run
from evaluation.training_rows import training_rows
from tasks.rows import Layout, drawn, read, split
from tasks.text_classifier import terms

NEWS = REPOSITORY / "finetune" / "rows" / "news.jsonl"
GOOD = ["warm", "funny", "charming", "bright"]
BAD = ["dull", "slow", "clumsy", "bleak"]


def learnt(count: int = 40) -> list[dict[str, str]]:
    """Reviews whose words say what they are; the words `positive` and `negative` never occur."""
    return [
        {"text": f"a {(GOOD, BAD)[i % 2][i // 2 % 4]} film {i}", "label": ("pos", "neg")[i % 2]}
        for i in range(count)
    ]


def put_adapter(home: Path, folder: Path, rows: list[dict[str, str]], **source: Any) -> Path:
    """An adapter whose record and recipe name `train.jsonl` in a folder as its rows."""
    file = write_rows(folder / "train.jsonl", rows)
    adapter = home / "adapters" / "mine"
    adapter.mkdir(parents=True)
    one = {"name": "films", "train_rows": len(rows), "sha256": {file.name: sha256_file(file)}}
    settled = {
        "path": "train.jsonl",
        "validation": "held.jsonl",
        "answers": {"pos": "positive", "neg": "negative"},
        **source,
    }
    recipe = {"seed": 3, "validation_share": 0.25, "data": [settled]}
    (adapter / "run.json").write_text(json.dumps({"name": "mine", "data": [one]}))
    (adapter / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return adapter


def edit(file: Path, **changed: Any) -> None:
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "data": [{**values["data"][0], **changed}]}))


def judged(tmp_path: Path, rows: list[dict[str, str]], name: str = "run", **options: Any) -> Path:
    """The folder of a finished run of the adapter over some rows."""
    file = write_rows(tmp_path / f"{name}.jsonl", rows)
    task = options.pop("task", "sentiment")
    runner.run(run_plan(task, file, "mine", **options), FakeEngine({"mine": "a"}), tmp_path / name)
    return tmp_path / name


# The fake reads the label in the text and knows no other word; the baseline the reverse.
NAMED = [{"text": f"{n} {i}", "label": n} for i in range(20) for n in ("positive", "negative")]
UNNAMED = [
    {"text": f"so {(GOOD, BAD)[i % 2][i // 2 % 4]}", "label": ("positive", "negative")[i % 2]}
    for i in range(40)
]


def measured(tmp_path: Path, home: Path, rows: list[dict[str, str]]) -> Run:
    put_adapter(home, tmp_path / "data", learnt())
    return baseline.add(judged(tmp_path, rows), tmp_path / "data")


def test_it_answers_the_same_rows_and_the_difference_is_paired(tmp_path: Path, home: Path) -> None:
    run = measured(tmp_path, home, UNNAMED[:30] + NAMED[:10])
    assert record.read(tmp_path / "run") == run
    assert run.baseline is not None
    assert (run.baseline.status, run.baseline.training_rows) == ("measured", 40)
    assert run.baseline.unseen == ["neutral"]
    assert (run.baseline.left_out, run.baseline.notes) == ([], [])
    answers = record.outcomes(tmp_path / "run", record.BASELINE_FILE)
    rows = record.outcomes(tmp_path / "run")
    assert [(a.line, a.text, a.reference) for a in answers] == [
        (r.line, r.text, r.reference) for r in rows
    ]
    assert all(answer.answer == answer.reference for answer in answers[:30])
    assert {*answers[0].logprobs} == {"positive", "negative"}, "only what it has learnt"
    one = run.baseline.compared
    assert one is not None
    right = [sum(a.answer == a.reference for a in both) / 40 for both in (answers, rows)]
    assert [one.baseline.value, one.adapter.value] == right
    assert one.adapter == run.figures["accuracy"]
    assert one.difference.value == pytest.approx(right[1] - right[0])
    assert one.difference.low < one.difference.value < one.difference.high < 0
    assert one.verdict == "worse"
    text = report.as_text(run)
    assert "on 40 of the adapter's training rows: accuracy 0." in text
    assert "No training row has neutral." in text
    page = report.write(tmp_path / "run").read_text(encoding="utf-8")
    assert "Baseline: accuracy" in page
    assert "worse. No training row has neutral. Its answers are in baseline.jsonl." in page


def test_the_same_rows_give_the_same_baseline(tmp_path: Path, home: Path) -> None:
    first = measured(tmp_path, home, UNNAMED + NAMED)
    answers = (tmp_path / "run" / record.BASELINE_FILE).read_bytes()
    assert baseline.add(tmp_path / "run", tmp_path / "data") == first
    assert (tmp_path / "run" / record.BASELINE_FILE).read_bytes() == answers


def test_it_chooses_among_the_labels_of_each_row(tmp_path: Path, home: Path) -> None:
    topics = [f"topic{i}" for i in range(15)]
    rows = [{"text": f"about {topic}", "label": topic} for topic in topics]
    put_adapter(home, tmp_path / "data", rows[:3] * 5, labels="sampled", answers={})
    run = baseline.add(
        judged(tmp_path, rows, task="classification", labels="drawn"), tmp_path / "data"
    )
    assert run.baseline is not None
    known = {*topics[:3]}
    asked = record.outcomes(tmp_path / "run")
    answers = record.outcomes(tmp_path / "run", record.BASELINE_FILE)
    for row, answer in zip(asked, answers, strict=True):
        offered = known & {*row.logprobs}
        assert {*answer.logprobs} == offered
        assert answer.answer in offered or answer.error is not None
    left_out = [row.line for row in asked if not known & {*row.logprobs}]
    assert left_out, "the seed draws a list without any of the three"
    assert run.baseline.left_out == left_out
    assert run.baseline.compared is not None
    assert run.baseline.compared.adapter.rows == 15 - len(left_out)
    assert f"{len(left_out)} rows are left out" in report.as_text(run)


def test_labels_are_called_what_the_evaluation_calls_them(tmp_path: Path, home: Path) -> None:
    """The task's labels by its names, whatever a file says; an own list by its own."""
    rows = [{"text": "aaa bbb", "label": "科技"}, {"text": "ccc ddd", "label": "Games"}] * 4
    put_adapter(home, tmp_path / "data", rows, labels="sampled", answers={"Games": "sports"})
    asked = [{"text": "aaa", "label": "technology"}, {"text": "ccc", "label": "sports"}]
    run = baseline.add(judged(tmp_path, asked, task="classification"), tmp_path / "data")
    answers = record.outcomes(tmp_path / "run", record.BASELINE_FILE)
    assert run.baseline is not None
    assert run.baseline.training_rows == 8
    assert [answer.answer for answer in answers] == ["technology", "sports"]
    asked = [{"text": "aaa", "label": "科技"}, {"text": "ccc", "label": "sports"}]
    own = judged(tmp_path, asked, "own", task="classification", labels="科技, sports")
    run = baseline.add(own, tmp_path / "data")
    answers = record.outcomes(own, record.BASELINE_FILE)
    assert [answer.answer for answer in answers] == ["科技", "sports"]


def test_the_very_rows_are_drawn_and_those_to_validate_on_are_not_learnt(
    tmp_path: Path, home: Path
) -> None:
    folder = tmp_path / "data"
    adapter = put_adapter(home, folder, learnt(), take=20, validation=None)
    edit(adapter / "run.json", train_rows=15)
    found = training_rows(adapter, TASKS["sentiment"], folder, ["positive", "negative"])
    table = read(folder / "train.jsonl", Layout(), TASKS["sentiment"])
    learnt_rows, held = split(drawn(table.rows, 20, 3), 0.25, 3)
    assert found.texts == [row.text for row in learnt_rows]
    assert len(held) == 5
    assert found.notes == []
    edit(adapter / "run.json", train_rows=14, refused=1)
    found = training_rows(adapter, TASKS["sentiment"], folder, ["positive", "negative"])
    assert [note.english for note in found.notes] == [
        "Of films it read 15 rows, the adapter's training 14: that refused 1, the baseline refuses "
        "none for its length."
    ]


def test_rows_of_our_own_ship(tmp_path: Path, home: Path) -> None:
    adapter = put_adapter(
        home, tmp_path, learnt(), path="rows/news.jsonl", labels="sampled", answers={}
    )
    edit(adapter / "run.json", sha256={"news.jsonl": sha256_file(NEWS)})
    found = training_rows(adapter, TASKS["classification"], tmp_path, ["sports"])
    assert {*found.labels} == {"sports"}


def test_words_and_chinese_characters() -> None:
    assert terms("Not good at all") == [
        "not", "good", "at", "all", "not good", "good at", "at all",
    ]  # fmt: skip
    assert {"好", "好看", "不好看"} <= {*terms("不好看")}
    assert terms("an 好 one") == ["an", "one", "an one"]


def test_where_there_is_none(tmp_path: Path, home: Path) -> None:
    adapter = put_adapter(home, tmp_path / "data", learnt())
    folder, data = judged(tmp_path, UNNAMED), tmp_path / "data"
    run = baseline.add(folder, tmp_path)
    assert run.baseline is not None
    assert run.baseline.status == "not readable"
    assert "train.jsonl is not here. Say with --data-folder" in report.as_text(run)
    assert str(tmp_path) not in run.baseline.reason
    assert "No baseline. The training file" in report.write(folder).read_text(encoding="utf-8")
    edit(adapter / "run.json", sha256={"train.jsonl": "0" * 64})
    assert "is not the one that the adapter was trained on" in reason(folder, data)
    (data / "train.jsonl").write_text('{"words": 1}\n')
    edit(adapter / "run.json", sha256={"train.jsonl": sha256_file(data / "train.jsonl")})
    assert reason(folder, data).startswith("films: train.jsonl has no column 'text'")
    (adapter / "recipe.yaml").unlink()
    assert "do not name the files" in reason(folder, data)
    run = baseline.add(folder, data)
    assert run.baseline is not None
    assert run.baseline.status == "not applicable"
    assert not (folder / record.BASELINE_FILE).exists()


def test_it_learns_without_rows_of_a_warm_start_that_are_not_here(
    tmp_path: Path, home: Path
) -> None:
    adapter = put_adapter(home, tmp_path / "data", learnt())
    values = json.loads((adapter / "run.json").read_text())
    before = {"name": "old films", "train_rows": 900, "sha256": {"old.jsonl": "0" * 64}}
    values["start"] = {
        "name": "older", "data": [before], "recipe": {"data": [{"path": "old.jsonl"}]}
    }  # fmt: skip
    (adapter / "run.json").write_text(json.dumps(values))
    run = baseline.add(judged(tmp_path, UNNAMED), tmp_path / "data")
    assert run.baseline is not None
    assert (run.baseline.status, run.baseline.training_rows) == ("measured", 40)
    [note] = run.baseline.notes
    assert note.startswith("900 rows of what it was started from (old films) are not here")


def reason(folder: Path, data: Path) -> str:
    found = baseline.add(folder, data).baseline
    assert found is not None
    return found.reason


def test_labels_that_were_never_learnt_have_no_baseline(tmp_path: Path, home: Path) -> None:
    put_adapter(home, tmp_path / "data", learnt())
    rows = [{"text": f"{n} {i}", "label": n} for i in range(3) for n in ("tea", "milk")]
    run = baseline.add(
        judged(tmp_path, rows, task="classification", labels="tea, milk"), tmp_path / "data"
    )
    assert run.baseline is not None
    assert run.baseline.status == "not applicable"
    assert "Of the labels offered (milk, tea) the training rows have none" in run.baseline.reason


def test_the_base_and_tasks_that_write_have_none(tmp_path: Path) -> None:
    for task, row in {
        "sentiment": {"text": "positive", "label": "positive"},
        "generation": {"instruction": "Hi", "response": "Hello", "context": ""},
    }.items():
        file = write_rows(tmp_path / f"{task}.jsonl", [row])
        runner.run(run_plan(task, file), FakeEngine(), tmp_path / task)
        assert baseline.add(tmp_path / task, tmp_path).baseline is None
        assert "baseline" not in json.loads((tmp_path / task / "run.json").read_text())


@pytest.mark.parametrize(
    ("rows", "passed", "said"),
    [
        (NAMED, True, "The adapter is better."),
        (UNNAMED, False, "The adapter is worse."),
        (NAMED[:1] + UNNAMED[:1], False, "No difference is shown."),
    ],
)
def test_the_gate_wants_the_baseline_beaten(
    rows: list[dict[str, str]], passed: bool, said: str, tmp_path: Path, home: Path
) -> None:
    measured(tmp_path, home, rows)
    check = check_of(tmp_path / "run")
    assert check.passed is passed
    assert said in check.reason
    assert check.reason.endswith("the adapter must be shown to beat this.") is not passed


def test_the_gate_wants_as_much_as_its_rules_say(tmp_path: Path, home: Path) -> None:
    run = measured(tmp_path, home, NAMED)
    assert run.baseline is not None
    assert run.baseline.compared is not None
    gain = run.baseline.compared.difference.value or 0.0
    for wanted, passed in ((gain, True), (gain + 0.1, False)):
        limits = gate.rules().model_copy(update={"baseline": wanted})
        assert check_of(tmp_path / "run", limits).passed is passed
    assert f"must be shown to beat this by {wanted:g}" in check_of(tmp_path / "run", limits).reason


def test_the_gate_passes_over_a_baseline_that_cannot_be_and_not_one_that_was_not_read(
    tmp_path: Path, home: Path
) -> None:
    adapter = put_adapter(home, tmp_path / "data", learnt())
    folder = judged(tmp_path, NAMED)
    assert "it only adds the baseline" in check_of(folder).reason
    assert not check_of(folder).passed
    baseline.add(folder, tmp_path)
    assert not check_of(folder).passed
    assert "is not here" in check_of(folder).reason
    (adapter / "run.json").unlink()
    baseline.add(folder, tmp_path)
    assert check_of(folder).passed
    assert check_of(folder).reason.startswith("No baseline. The run record and the recipe of mine")


def check_of(folder: Path, limits: gate.Rules | None = None) -> gate.Check:
    (check,) = (c for c in gate.judge(folder, folder, limits).checks if c.name == "baseline")
    return check
