"""The README's table: made from committed records, which hold for the weights that ship."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, Literal

import pytest
from huggingface_hub import ModelCard
from judging import Failing, reviews, run_plan, write_rows

from adapter_store.discovery import adapter_folders
from adapter_store.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CARD, fingerprint_of
from core.errors import InputError
from core.paths import REPOSITORY, shipped_adapter_dirs
from engine.fake import FakeEngine
from evaluation import record, runner, shipped_results, table
from evaluation.record import Baseline, BaselineComparison, Figure

BEGIN, END = table.TABLE_BEGIN, table.TABLE_END
MARKED = f"# Mine: {BEGIN} in a line is no marker\n\n{BEGIN}\n{END}\n\nthe rest\n"
Runs = tuple[Path, Path]


class Reader(FakeEngine):
    """Right on every review with an adapter; positive without."""

    def choose(self, request: Any, stop: object = None) -> Any:
        choice = super().choose(request)
        if request.adapter:
            return choice
        a, b, c = sorted(choice.logprobs.values(), reverse=True)
        return type(choice)(dict(zip(choice.logprobs, (a, b, c), strict=True)), choice.usage)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one adapter and two READMEs."""
    folder = tmp_path / "repository"
    adapter = folder / "adapters" / "tiny" / "mine"
    adapter.mkdir(parents=True)
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        (adapter / name).write_text(name)
    for words in table.README_WORDS.values():
        (folder / words.file).write_text(MARKED)
    return folder


@pytest.fixture
def runs(tmp_path: Path, root: Path) -> Runs:
    """(adapter, base) over forty rows."""
    labels = ["positive", "negative"]
    rows = [{"text": f"{labels[i % 2]} {i}", "label": labels[i % 2]} for i in range(40)]
    file = write_rows(tmp_path / "films" / "validation.jsonl", rows)
    engine = Reader({"mine": shipped(root)})
    for name in (None, "mine"):
        plan = run_plan("sentiment", file, name, limit=30, seed=3)
        runner.run(plan, engine, tmp_path / str(name))
    return tmp_path / "mine", tmp_path / "None"


def shipped(root: Path) -> str:
    return fingerprint_of(root / "adapters" / "tiny" / "mine")


def test_the_readmes_show_what_the_records_hold() -> None:
    """If this fails, run `python -m evaluation table`."""
    records = shipped_results.read()
    folders = adapter_folders(shipped_adapter_dirs())
    cards = {name: f"{folder.relative_to(REPOSITORY)}/{CARD}" for name, folder in folders.items()}
    for lang, words in table.README_WORDS.items():
        text = (REPOSITORY / words.file).read_text(encoding="utf-8")
        shown = text.split(BEGIN + "\n")[1].split(END)[0]
        assert shown == table.bases_beside(records, cards, lang), words.file
    assert table.update(check=True) == []


def test_every_record_holds_for_the_adapter_and_the_task_that_ship() -> None:
    assert shipped_results.outdated() == []


def test_a_record_has_both_sides_the_verdict_and_the_way_back(runs: Runs, root: Path) -> None:
    result = shipped_results.shipped_result(*runs)
    ours, bare = (record.read(folder) for folder in runs)
    assert (result.adapter, result.task, result.rows, result.left_out) == (
        "mine",
        "sentiment",
        30,
        0,
    )
    assert result.data == "films/validation.jsonl"
    assert list(result.figures) == ["accuracy"], "macro_f1, log loss and calibration are not shown"
    accuracy = result.figures["accuracy"]
    assert accuracy.adapter == ours.figures["accuracy"]
    assert accuracy.base == bare.figures["accuracy"]
    assert (accuracy.verdict, accuracy.test) == ("better", "exact McNemar")
    assert accuracy.p < 0.05
    assert result.fingerprints["adapter"] == shipped(root)
    assert set(result.fingerprints) == {"base", "quantization", "adapter", "task"}
    assert set(result.tokens_per_second) == {"base", "adapter"}
    options_of_each = [shlex.split(words)[3:] for words in result.commands]
    options = "--task sentiment --data DIR/films/validation.jsonl --adapter {} --limit 30 --seed 3"
    assert [" ".join(words[1:-2]) for words in options_of_each] == [
        options.format(name) for name in ("base", "mine")
    ]


def test_commands_name_every_option(runs: Runs) -> None:
    settings = record.read(runs[0]).settings.model_copy(
        update={
            "columns": {"my text": "text"},
            "labels": "drawn",
            "limit": None,
            "seed": 0,
            "reverse": True,
            "fingerprints": {
                "base": "HuggingFaceTB/SmolLM2-135M-Instruct",
                "quantization": "int8",
            },
        }
    )
    assert shipped_results.command(settings) == (
        "python -m evaluation run --task sentiment --data DIR/films/validation.jsonl "
        "--adapter mine --column 'my text=text' --labels drawn --reverse --profile smollm2 "
        "--output runs/mine"
    )


@pytest.mark.parametrize(
    ("task", "row", "names"),
    [
        ("translation", {"source": "Hello.", "target": "Bonjour."}, ["bleu", "chrf"]),
        (
            "summarization",
            {"document": "Rain fell. It was wet.", "summary": "Rain fell."},
            ["rouge_1", "rouge_2", "rouge_l"],
        ),
        ("generation", {"instruction": "Hi", "response": "Hello", "context": ""}, ["perplexity"]),
    ],
)
def test_each_kind_of_task_has_its_figures(
    task: str, row: dict[str, str], names: list[str], tmp_path: Path
) -> None:
    langs = {"source_lang": "en", "target_lang": "fr"} if task == "translation" else {}
    file = write_rows(tmp_path / "rows.jsonl", [{**row, **langs}] * 3)
    engine = FakeEngine({"mine": "abc"})
    for name in (None, "mine"):
        runner.run(run_plan(task, file, name), engine, tmp_path / str(name))
    result = shipped_results.shipped_result(tmp_path / "mine", tmp_path / "None")
    assert list(result.figures) == names
    _head, _rule, *lines = table.as_markdown([result]).split("\n\n")[0].splitlines()
    assert len(lines) == len(names)
    assert [one.metric_value for one in table.eval_results([result], "x")] == [
        one.adapter.value for one in result.figures.values()
    ]
    assert set(result.signatures) == {"bleu", "chrf"} & set(names)


def test_both_directions_of_a_translation_are_told_apart(tmp_path: Path) -> None:
    row = {"source": "Hello.", "target": "Bonjour.", "source_lang": "en", "target_lang": "fr"}
    file = write_rows(tmp_path / "rows.jsonl", [row] * 3)
    engine = FakeEngine({"mine": "abc"})
    for name in (None, "mine"):
        runner.run(run_plan("translation", file, name, reverse=True), engine, tmp_path / str(name))
    result = shipped_results.shipped_result(tmp_path / "mine", tmp_path / "None")
    assert "--reverse" in result.commands[1]
    assert ", reversed, 3 rows |" in table.as_markdown([result])
    cards = {"mine": "card"}
    assert ", reversed, 3 rows |" in table.bases_beside({Path("a.json"): result}, cards, "en")
    assert "，反向，3 行 |" in table.bases_beside({Path("a.json"): result}, cards, "zh")


def test_figures_rest_on_the_rows_that_both_answered(tmp_path: Path) -> None:
    rows = [{"text": "positive", "label": "positive"}, {"text": "unreadable", "label": "negative"}]
    file = write_rows(tmp_path / "a.jsonl", rows)
    runner.run(
        run_plan("sentiment", file, "mine"), Failing(adapters={"mine": "a"}), tmp_path / "mine"
    )
    runner.run(run_plan("sentiment", file), FakeEngine(), tmp_path / "base")
    result = shipped_results.shipped_result(tmp_path / "mine", tmp_path / "base")
    assert (result.rows, result.left_out) == (1, 1)
    assert result.figures["accuracy"].base.rows == result.figures["accuracy"].adapter.rows == 1


def test_runs_that_do_not_fit_are_refused(runs: Runs, tmp_path: Path) -> None:
    ours, bare = runs
    with pytest.raises(InputError, match="name the adapter's run, then the base's"):
        shipped_results.shipped_result(bare, ours)
    with pytest.raises(InputError, match="name the adapter's run, then the base's"):
        shipped_results.shipped_result(ours, ours)
    other = tmp_path / "other"
    runner.run(run_plan("sentiment", reviews(tmp_path)), FakeEngine(), other)
    with pytest.raises(InputError, match="different data files"):
        shipped_results.shipped_result(ours, other)
    values = json.loads((bare / record.RUN_FILE).read_text())
    values["asked"]["fingerprints"]["base"] = "another"
    (bare / record.RUN_FILE).write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"more than the adapter \(fingerprints.base: 'another'"):
        shipped_results.shipped_result(*runs)


@pytest.mark.slow
def test_a_new_record_is_missed_until_it_is_written(runs: Runs, root: Path) -> None:
    assert table.update(root) == [], "no records, nothing between the markers"
    shipped_results.write(
        root / shipped_results.RESULTS_FOLDER / "mine.json", shipped_results.shipped_result(*runs)
    )
    assert table.update(root, check=True) == ["README.md", "README.zh.md"]
    assert (root / "README.md").read_text() == MARKED
    table.update(root)
    assert table.update(root, check=True) == []
    text = (root / "README.md").read_text()
    assert text.startswith("# Mine:")
    assert text.endswith("the rest\n")
    cells = [cell.strip() for cell in text.splitlines()[5].strip("|").split("|")]
    assert cells == [
        "films/validation, 30 rows",
        "accuracy",
        "–",
        f"{shipped_results.read(root)[Path('results/adapters/mine.json')].figures['accuracy'].base.value:.1%}"
        " → **[100.0% (100.0% to 100.0%)](adapters/tiny/mine/README.md)**",
    ]
    assert "准确率" in (root / "README.zh.md").read_text()
    (root / "README.md").write_text(text.replace("100.0% to", "99.0% to"))
    assert table.update(root, check=True) == ["README.md"], "a figure was changed by hand"
    (root / shipped_results.RESULTS_FOLDER / "mine.json").unlink()
    table.update(root)
    assert (root / "README.md").read_text() == MARKED


def measured(value: float, verdict: Literal["better", "worse"]) -> Baseline:
    """A baseline as a run has it."""
    one = Figure(value=value, low=value, high=value, rows=30)
    compared = BaselineComparison(
        baseline=one, adapter=one, difference=one, p=0.01, verdict=verdict
    )
    return Baseline(status="measured", training_rows=7, compared=compared)


def with_baseline(folder: Path, baseline: Baseline) -> None:
    run = record.read(folder)
    record.write(folder, run.model_copy(update={"baseline": baseline}))


def test_the_baseline_stands_beside_the_base(runs: Runs) -> None:
    for verdict, en, zh in (
        ("better", "| 81.2% (7) | **100.0%", "| 81.2% (7) |"),
        ("worse", "| 81.2% (7), not beaten |", "| 81.2% (7)，未被超过 |"),
    ):
        with_baseline(runs[0], measured(0.8123, verdict))
        result = shipped_results.shipped_result(*runs)
        assert result.baseline == record.read(runs[0]).baseline
        assert "--data-folder DATA" not in result.commands[0]
        assert "--data-folder DATA" in result.commands[1]
        assert en in table.as_markdown([result])
        assert zh in table.bases_beside({Path("a.json"): result}, {"mine": "card"}, "zh")
    lacking = measured(0.8123, "better").model_copy(update={"unseen": ["negative"]})
    with_baseline(runs[0], lacking)
    result = shipped_results.shipped_result(*runs)
    assert "| – | **100.0%" in table.as_markdown([result])
    with_baseline(runs[0], Baseline(status="not applicable", reason="other labels"))
    result = shipped_results.shipped_result(*runs)
    assert "| – | **100.0%" in table.as_markdown([result])
    assert "--data-folder" not in result.commands[1]


def test_an_adapter_whose_base_was_not_judged(runs: Runs, root: Path) -> None:
    alone, beside = shipped_results.shipped_result(runs[0]), shipped_results.shipped_result(*runs)
    assert alone.figures["accuracy"].adapter == beside.figures["accuracy"].adapter
    assert alone.figures["accuracy"].base is None
    assert alone.commands == beside.commands[1:]
    assert "| – | – | 100.0% (100.0% to 100.0%) |" in table.as_markdown([alone])
    assert "| [100.0% (100.0% to 100.0%)](card) |" in table.bases_beside(
        {Path("a"): alone}, {"mine": "card"}, "en"
    )
    with pytest.raises(InputError, match="no finished run of an adapter"):
        shipped_results.shipped_result(runs[1])


def test_two_bases_stand_beside_each_other(runs: Runs) -> None:
    result = shipped_results.shipped_result(*runs)
    prints = result.fingerprints | {"base": "google/gemma-3-270m"}
    other = result.model_copy(update={"fingerprints": prints, "adapter": "other"})
    fewer = other.model_copy(update={"rows": 29})
    records = {Path("a.json"): result, Path("b.json"): other, Path("c.json"): fewer}
    shown = table.bases_beside(records, {"mine": "mine.md", "other": "other.md"}, "en")
    head, _, same, alone, *_ = shown.splitlines()
    assert head == "| measured on | figure | TF-IDF | gemma-3-270m | fake |"
    assert same.index("(other.md)") < same.index("(mine.md)")
    assert "30 rows" in same
    assert "29 rows" in alone
    assert alone.endswith("| – |")


@pytest.mark.slow
def test_each_card_shows_its_own_records(runs: Runs, root: Path) -> None:
    card = root / "adapters" / "tiny" / "mine" / CARD
    card.write_text(MARKED)
    result = shipped_results.shipped_result(*runs)
    shipped_results.write(root / shipped_results.RESULTS_FOLDER / "mine.json", result)
    assert table.update(root) == ["README.md", "README.zh.md", "adapters/tiny/mine/README.md"]
    read = ModelCard.load(card)
    assert "| films/validation, 30 rows | accuracy |" in read.text
    assert result.commands[1] in read.text
    (figure,) = read.data.eval_results
    assert (figure.dataset_name, figure.metric_type) == ("films/validation", "accuracy")
    assert figure.metric_value == result.figures["accuracy"].adapter.value
    assert table.update(root, check=True) == []
    card.write_text("# without a place for it\n")
    with pytest.raises(InputError, match=r"adapters/tiny/mine/README\.md needs the lines"):
        table.update(root, check=True)


@pytest.mark.slow
def test_an_adapter_or_a_task_that_has_changed_is_caught(runs: Runs, root: Path) -> None:
    file = root / shipped_results.RESULTS_FOLDER / "mine.json"
    shipped_results.write(file, shipped_results.shipped_result(*runs))
    assert shipped_results.outdated(root) == []
    weights = root / "adapters" / "tiny" / "mine" / ADAPTER_WEIGHTS
    weights.write_text("trained again")
    assert "the adapter of mine was" in shipped_results.outdated(root)[0]
    with pytest.raises(InputError, match="Judge it again, or remove the record"):
        table.update(root)
    weights.unlink()
    assert "is not there now" in shipped_results.outdated(root)[0]
    weights.write_text(ADAPTER_WEIGHTS)
    values = json.loads(file.read_text())
    values["fingerprints"]["task"] = "sentiment-v0"
    file.write_text(json.dumps(values))
    assert "the task of mine was sentiment-v0" in shipped_results.outdated(root)[0]


@pytest.mark.parametrize("text", ["", END + "\n" + BEGIN, MARKED * 2])
def test_missing_or_doubled_markers(text: str, root: Path) -> None:
    (root / "README.md").write_text(text)
    with pytest.raises(InputError, match=r"README\.md needs the lines"):
        table.update(root)


@pytest.mark.parametrize("text", ["{", "[]", '{"adapter": "mine"}'])
def test_a_damaged_record_is_named(text: str, root: Path) -> None:
    (root / shipped_results.RESULTS_FOLDER).mkdir(parents=True)
    (root / shipped_results.RESULTS_FOLDER / "mine.json").write_text(text)
    with pytest.raises(InputError, match=r"mine\.json is no record of shipped figures"):
        table.update(root)
