"""Runs: killed and continued, repeated, with rows that fail, and over a real tiny engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from judging import TASKS, Failing, reviews, run_plan, write_rows

from core.errors import InputError
from engine.engine import TorchEngine
from engine.fake import FakeEngine
from engine.load_base import load_base
from evaluation import record, report, runner
from evaluation.record import Outcome, Run
from evaluation.run_plan import RunPlan

MEASURED = {"cost", "started", "finished"}  # differ from run to run
ARTICLE = "Anna Berg said on Monday that the bridge in Holm will close for two summers."


def numbers(run: Run) -> dict[str, object]:
    return run.model_dump(exclude=MEASURED)


def judged(folder: Path) -> list[Outcome]:
    clock = {"seconds": 0.0, "first_token": 0.0}
    return [outcome.model_copy(update=clock) for outcome in record.outcomes(folder)]


def test_the_figures_are_right(tmp_path: Path) -> None:
    finished = runner.run(run_plan("sentiment", reviews(tmp_path)), FakeEngine(), tmp_path / "run")
    # The fake chooses the label that the text names most often; the first when it names none.
    assert [o.answer for o in record.outcomes(tmp_path / "run")] == [
        "positive", "negative", "positive", "positive", "positive", "negative",
    ]  # fmt: skip
    assert finished.figures["accuracy"].value == pytest.approx(0.5)
    assert finished.figures["accuracy"].rows == 6
    assert finished.chosen is not None
    assert sum(map(sum, finished.chosen.confusion)) == 6
    assert {part.kind for part in finished.slices} == {"length", "label"}
    assert finished.signatures == {
        "macro_f1": "mean over the labels of the references: positive, negative"
    }
    assert finished.signatures["macro_f1"] in report.as_text(finished)
    assert record.read(tmp_path / "run") == finished


def test_killed_and_continued_gives_the_same(tmp_path: Path) -> None:
    plan = run_plan("sentiment", reviews(tmp_path, times=5))
    whole = runner.run(plan, FakeEngine(), tmp_path / "whole")
    folder = tmp_path / "broken"
    for after in (7, 3, 0):
        with pytest.raises(KeyboardInterrupt):
            runner.run(plan, Failing(after), folder)
        with (folder / record.ROWS_FILE).open("a") as file:
            file.write('{"line": 9, "te')  # what a kill in the middle of a line leaves
    assert record.read(folder).status == "running"
    engine = FakeEngine()
    assert numbers(runner.run(plan, engine, folder)) == numbers(whole)
    assert len(engine.calls) == 20
    assert judged(folder) == judged(tmp_path / "whole")
    again = FakeEngine()
    assert numbers(runner.run(plan, again, folder)) == numbers(whole)
    assert not again.calls, "a finished run asks for nothing more"


def test_killed_as_it_began_it_begins_again(tmp_path: Path) -> None:
    plan, folder = run_plan("sentiment", reviews(tmp_path)), tmp_path / "broken"
    folder.mkdir()
    (folder / record.WRITING).write_text('{"schema": 1, "sta')
    assert runner.run(plan, FakeEngine(), folder).status == "finished"
    assert not (folder / record.WRITING).exists()


def test_rows_asked_at_the_same_time_get_the_same_answers_in_order(
    tmp_path: Path, small: TorchEngine
) -> None:
    rows = [{"document": ARTICLE * (1 + i % 3), "summary": f"Part {i}."} for i in range(9)]
    plan = run_plan("summarization", write_rows(tmp_path / "articles.jsonl", rows))
    one = runner.run(plan, small, tmp_path / "one")
    many = runner.run(plan, small, tmp_path / "many", together=4)
    assert judged(tmp_path / "many") == judged(tmp_path / "one")
    assert numbers(many) == numbers(one)


def test_other_settings_in_the_same_folder(tmp_path: Path) -> None:
    file = reviews(tmp_path)
    runner.run(run_plan("sentiment", file), FakeEngine(), tmp_path / "run")
    with pytest.raises(InputError, match=r"other settings \(decoding was .*; seed was 0, is 1\)"):
        runner.run(run_plan("sentiment", file, seed=1), FakeEngine(), tmp_path / "run")
    other = FakeEngine({"mine": "abc"})
    with pytest.raises(InputError, match="adapter was None, is 'mine'"):
        runner.run(run_plan("sentiment", file, "mine"), other, tmp_path / "run")
    with pytest.raises(InputError, match="holds something else"):
        runner.run(run_plan("sentiment", file), FakeEngine(), tmp_path)


def test_rows_that_fail_are_counted_and_listed(tmp_path: Path) -> None:
    rows = [{"text": "positive", "label": "positive"}, {"text": "unreadable", "label": "negative"}]
    file = write_rows(tmp_path / "a.jsonl", rows)
    finished = runner.run(run_plan("sentiment", file), Failing(), tmp_path / "run")
    assert finished.failed == 1
    assert finished.failures == {2: "The text is unreadable."}
    assert finished.figures["accuracy"].rows == 1
    assert len(record.outcomes(tmp_path / "run")) == 2
    page = report.write(tmp_path / "run").read_text()
    assert "1 of them failed" in page
    assert "The text is unreadable." in page


def test_a_run_in_which_every_row_fails(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "a.jsonl", [{"text": "unreadable", "label": "negative"}])
    finished = runner.run(run_plan("sentiment", file), Failing(), tmp_path / "run")
    assert (finished.failed, finished.figures) == (1, {})
    assert "1 of 1 rows failed" in report.as_text(finished)
    report.write(tmp_path / "run")


def test_own_and_drawn_labels_reach_the_prompt(tmp_path: Path) -> None:
    topics = [f"topic-{letter}" for letter in "abcdefghijklmno"]
    rows = [{"text": f"about {topic}", "label": topic} for topic in topics]
    file = write_rows(tmp_path / "a.jsonl", rows)
    own = ", ".join(topics)
    for labels, offered in ((own, 15), ("drawn", 10)):
        engine = FakeEngine()
        folder = tmp_path / labels[:5]
        finished = runner.run(run_plan("classification", file, labels=labels), engine, folder)
        assert {len(call.labels) for call in engine.calls} == {offered}
        assert all("Labels: topic" in call.messages[0]["content"] for call in engine.calls)
        assert finished.figures["accuracy"].value == 1


def test_a_limit_draws_the_same_rows_every_time(tmp_path: Path) -> None:
    file = reviews(tmp_path, times=5)
    first, second = (run_plan("sentiment", file, limit=10).rows for _ in range(2))
    assert first == second
    assert len(first) == 10
    assert run_plan("sentiment", file, limit=10, seed=1).rows != first


def test_translation_goes_sentence_by_sentence_as_the_chat_does(tmp_path: Path) -> None:
    pairs = [("One train. Two trains.", "Un. Deux."), ("Good day to you.", "Bonjour.")]
    languages = {"source_lang": "en", "target_lang": "fr"}
    rows = [{"source": source, "target": target, **languages} for source, target in pairs]
    file = write_rows(tmp_path / "a.jsonl", rows)
    engine = FakeEngine()
    finished = runner.run(run_plan("translation", file), engine, tmp_path / "run")
    assert [call.messages[-1]["content"] for call in engine.calls] == [
        "One train.", "Two trains.", "Good day to you.",
    ]  # fmt: skip
    assert "English to French" in engine.calls[0].messages[0]["content"]
    assert list(finished.figures) == ["bleu", "chrf"]
    assert "tok:13a" in finished.signatures["bleu"]
    assert "nw:2" in finished.signatures["chrf"]
    turned = FakeEngine()
    runner.run(run_plan("translation", file, reverse=True), turned, tmp_path / "turned")
    assert "French to English" in turned.calls[0].messages[0]["content"]


def test_a_summary_is_looked_at_from_all_sides(tmp_path: Path) -> None:
    rows = [{"document": ARTICLE, "summary": "The bridge in Holm will close."}]
    file = write_rows(tmp_path / "a.jsonl", rows)
    finished = runner.run(run_plan("summarization", file), FakeEngine(), tmp_path / "run")
    assert {"rouge_1", "rouge_l", "length_ratio", "unsupported", "novel_2"} <= set(finished.figures)
    # The fake repeats the text behind "[base]": no name or number is new.
    assert finished.figures["unsupported"].value == 0
    assert finished.primary == "rouge_1"


@pytest.fixture(scope="module")
def small(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchEngine]:
    shelf = tmp_path_factory.mktemp("shelf")
    tiny.add_adapter(tiny_folder, shelf, "red", 1)
    engine = tiny.engine(load_base(tiny.settings(tiny_folder)), shelf)
    yield engine
    engine.close()


def test_a_real_engine_gives_the_same_twice_and_adapters_count(
    tmp_path: Path, small: TorchEngine
) -> None:
    file = reviews(tmp_path)
    runs = {
        name: runner.run(run_plan("sentiment", file, adapter), small, tmp_path / name)
        for name, adapter in (("first", "red"), ("second", "red"), ("base", None))
    }
    assert numbers(runs["first"]) == numbers(runs["second"])
    assert judged(tmp_path / "first") == judged(tmp_path / "second")
    assert runs["first"].settings.fingerprints["adapter"] == small.adapters.fingerprint("red")
    assert "adapter" not in runs["base"].settings.fingerprints
    assert runs["base"].figures["log_loss"] != runs["first"].figures["log_loss"]
    assert runs["base"].cost is not None
    assert runs["base"].cost.peak_memory_mib > 10


def test_perplexity_is_that_of_the_reference(tmp_path: Path, small: TorchEngine) -> None:
    file = write_rows(tmp_path / "a.jsonl", [{"instruction": "Hi", "response": "Hello"}])
    short = TASKS["generation"].decoding.model_copy(update={"max_new_tokens": 5})
    plan = run_plan("generation", file)
    plan = RunPlan(plan.task.model_copy(update={"decoding": short}), plan.data, plan.rows)
    finished = runner.run(plan, small, tmp_path / "run")
    (row,) = record.outcomes(tmp_path / "run")
    assert row.reference_tokens == 6, "five bytes and the end"
    assert row.log_likelihood is not None
    assert row.log_likelihood < 0
    stored = json.loads((tmp_path / "run" / record.ROWS_FILE).read_text())
    assert stored["likelihood"] == row.log_likelihood, "files keep the name they have had"
    # A random model has seen nothing: about as many choices as it has tokens.
    assert finished.figures["perplexity"].value == pytest.approx(258, rel=0.2)


def test_half_a_record_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no evaluation run"):
        record.read(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(InputError, match="is not the record"):
        record.read(tmp_path)
