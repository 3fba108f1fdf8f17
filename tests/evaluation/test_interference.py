"""What an adapter does elsewhere: measured against known answers, and a trace that is found."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import yaml
from judging import TASKS, reviews, run_plan, write_rows

from core import terminal
from core.errors import AdapterError, InputError
from core.fingerprint import sha256_file
from engine.base_model import load_base
from engine.engine import TorchEngine
from engine.fake import FakeEngine
from engine.interface import Scored, ScoreRequest, Scores
from evaluation import interference, record, report, runner
from evaluation.__main__ import app
from evaluation.interference import Interference, Probe

GOOD = {"text": "a fine film", "label": "positive"}


@pytest.fixture(scope="module")
def small(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchEngine]:
    shelf = tmp_path_factory.mktemp("shelf")
    tiny.add_adapter(tiny_folder, shelf, "red", 1)
    engine = tiny.engine(load_base(tiny.settings(tiny_folder)), shelf)
    yield engine
    engine.close()


@pytest.fixture
def mine(home: Path) -> str:
    """An adapter's folder as far as it is looked at before the base is loaded."""
    (home / "adapters" / "mine").mkdir(parents=True)
    return "mine"


def some(adapter: str, *names: str, limit: int | None = None, **data: Path) -> list[Probe]:
    """Probes of our own rows by name, and of other files by keyword."""
    given = [f"{name}={file}" for name, file in data.items()]
    chosen = interference.files(given, TASKS, None)
    chosen_files = {name: file for name, file in chosen.items() if name in {*names, *data}}
    return interference.probes(chosen_files, TASKS, adapter, limit)


def by_name(result: Interference) -> dict[str, interference.ProbeResult]:
    return {probe.name: probe for probe in result.probes}


def test_there_are_rows_for_every_shipped_task_and_they_can_be_judged() -> None:
    chosen = interference.files([], TASKS, None)
    assert set(chosen) == {"general", *TASKS}
    probes = interference.probes(chosen, TASKS, "sentiment-en")
    assert sum(len(p.rows) for p in probes if p.name in {"general", "generation"}) == 40
    assert all(len(probe.rows) >= 8 for probe in probes)


def test_the_figures_are_those_of_a_run(tmp_path: Path, mine: str, small: TorchEngine) -> None:
    file = reviews(tmp_path)
    asking = write_rows(tmp_path / "a.jsonl", [{"instruction": "Hi", "response": "Hello"}])
    text = write_rows(tmp_path / "text.jsonl", [{"text": "A short text."}, {"text": "One more."}])
    asked = some(mine, sentiment=file, generation=asking, general=text)
    result = interference.measure(asked, "red", None, small)
    probes = by_name(result)
    for place, adapter in enumerate((None, "red")):
        run = runner.run(run_plan("sentiment", file, adapter), small, tmp_path / str(adapter))
        for one in probes["sentiment"].compared:
            value = run.figures[one.name].value
            assert (one.first, one.second)[place] == pytest.approx(value, abs=1e-6)
    answers = [[o.answer for o in record.outcomes(tmp_path / n)] for n in ("None", "red")]
    other = sum(a != b for a, b in zip(*answers, strict=True)) / len(answers[0])
    assert probes["sentiment"].changed is not None
    assert probes["sentiment"].changed.value == pytest.approx(other, abs=1e-6)
    logprobs: list[float] = []
    for line in ("A short text.", "One more."):
        ids = tuple(small.tokens(line))
        scores = small.score(ScoreRequest((small.start_token,), (ids,), "red"))
        logprobs += scores.continuations[0].logprobs
    (general,) = probes["general"].compared
    assert general.second == pytest.approx(math.exp(-sum(logprobs) / len(logprobs)))
    assert general.first != general.second
    assert [one.name for one in probes["generation"].compared] == ["perplexity"]
    assert probes["generation"].changed is None
    assert result.fingerprints["adapter"] == small.adapters.fingerprint("red")


def test_a_detached_adapter_leaves_no_trace(mine: str, small: TorchEngine) -> None:
    result = interference.measure(some(mine, "general", limit=3), "red", None, small)
    assert result.detached.identical
    assert result.detached.attached_differs
    assert result.detached.texts == 3
    assert result.detached.tokens > 300
    text = report.interference_as_text(result.record())
    assert f"bit-identical: {result.detached.tokens:,} tokens of 3 texts" in text


class Leaky(FakeEngine):
    """An engine whose adapters stay a little once they have been attached."""

    def score(self, request: ScoreRequest, stop: object = None) -> Scores:
        scores = super().score(request)
        used = any(call.adapter for call in self.calls)
        moved = [
            Scored(tuple(value - 1e-12 * used for value in one.logprobs), one.greedy)
            for one in scores.continuations
        ]
        return Scores(tuple(moved), scores.usage)


def test_a_trace_is_found(mine: str) -> None:
    probes = some(mine, "general", "sentiment", limit=2)
    result = interference.measure(probes, mine, "sentiment", Leaky({mine: "abc"}))
    assert not result.detached.identical
    assert "THE BASE IS NOT THE SAME" in report.interference_as_text(result.record())
    idle = interference.measure(probes, mine, "sentiment", FakeEngine({mine: "abc"}))
    assert idle.detached.identical
    assert not idle.detached.attached_differs
    assert "attached, it changes none of them" in report.interference_as_text(idle.record())


def test_rows_that_fail_are_in_no_figure(tmp_path: Path, mine: str, small: TorchEngine) -> None:
    text = write_rows(tmp_path / "text.jsonl", [{"text": "A short text."}, {"text": "long " * 200}])
    result = interference.measure(some(mine, general=text), "red", None, small)
    (general,) = result.probes
    assert (general.rows, list(general.failures)) == (1, [2])
    assert "this model reads" in general.failures[2]
    assert "1 rows failed, line 2" in report.interference_as_text(result.record())
    none = write_rows(tmp_path / "none.jsonl", [{"text": "long " * 200}])
    with pytest.raises(InputError, match="No general text could be scored: The request is"):
        interference.measure(some(mine, general=none), "red", None, small)


def test_whose_task_it_is(home: Path, mine: str) -> None:
    assert interference.own_task("sentiment-en", TASKS) == "sentiment", "its run record says so"
    assert interference.own_task(mine, TASKS) is None
    record_file = home / "adapters" / mine / "run.json"
    record_file.write_text('{"task": "summarization-v9-0123456789ab"}')
    assert interference.own_task(mine, TASKS) == "summarization", "an older record"
    record_file.write_text('{"task": "x-v1-0123456789ab", "task_name": "sentiment"}')
    assert interference.own_task(mine, TASKS) == "sentiment", "it names its task"
    record_file.unlink()
    spec = TASKS["translation"].model_copy(update={"adapters": [mine]})
    assert interference.own_task(mine, {**TASKS, "translation": spec}) == "translation"
    assert "sentiment" not in interference.files([], TASKS, "sentiment")
    asked = interference.files(["sentiment=a.jsonl"], TASKS, "sentiment")
    assert asked["sentiment"] == Path("a.jsonl"), "asked for all the same"


def test_an_adapter_that_the_engine_refuses(small: TorchEngine, tmp_path: Path) -> None:
    engine = tiny.engine(load_base(tiny.settings(Path(small.fingerprints()["base"]))), tmp_path)
    (tmp_path / "odd").mkdir()
    with pytest.raises(AdapterError, match="is missing"):
        interference.measure(some("sentiment-en", "general", limit=1), "odd", None, engine)
    engine.close()


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluation", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        terminal.run(app)
    return int(ended.value.code or 0)


def test_by_command(
    tmp_path: Path,
    home: Path,
    tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    tiny.add_adapter(tiny_folder, home / "adapters", "red", 1)
    values = {"base": str(tiny_folder), "quantization": "none", "context_tokens": 512}
    profile = tmp_path / "tiny.yaml"
    profile.write_text(yaml.safe_dump(values))
    file, own = tmp_path / "found.json", reviews(tmp_path)
    words = ["interference", "red", "--profile", profile, "--limit", 2, "--output", file]
    assert command(monkeypatch, *words, "--data", f"sentiment={own}") == 0
    printed = capsys.readouterr()
    stored = json.loads(file.read_text())
    assert [probe["name"] for probe in stored["probes"]] == ["general", *TASKS]
    by = {probe["name"]: probe for probe in stored["probes"]}
    assert by["sentiment"]["sha256"] == sha256_file(own)
    assert by["general"]["data"] == "probes/general.jsonl"
    assert stored["detached"]["identical"]
    assert "red, trained for a task that it does not name" in printed.out
    assert "general (2 rows)" in printed.out
    assert "row" in printed.err, "progress"
    assert command(monkeypatch, *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["limit"] == 2


def test_a_task_without_rows_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    values = yaml.safe_load(Path("tasks/sentiment/task.yaml").read_text())
    folder = home / "tasks" / "sixth"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(yaml.safe_dump({**values, "name": "sixth"}))
    (folder / "requests.yaml").write_text(yaml.safe_dump({"en": ["a", "b"], "zh": ["c", "d"]}))
    words = ["interference", "sentiment-en", "--limit", "0"]
    assert command(monkeypatch, *words) == 1
    said = capsys.readouterr().err
    assert "There are no rows for sixth; give them with --data sixth=FILE." in said
    assert "--limit must be at least 1" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["base"], 1, "The bare base is what an adapter is held against"),
        (["sentiment-em"], 2, "Did you mean sentiment-en"),
        (["sentiment-en", "--data", "a.jsonl"], 1, "--data is `task=file`"),
        (["sentiment-en", "--data", "sentimnt=a.jsonl"], 2, "Did you mean sentiment"),
        (["sentiment-en", "--data", "general=no.jsonl"], 1, "no.jsonl cannot be read"),
        (["sentiment-en", "--data", "general={file}"], 1, "line 1, column 'text': empty"),
        (["mine", "--data", "sentiment={seen}"], 1, "is a file that mine was trained on"),
    ],
)
def test_mistakes_end_in_one_line_before_any_compute(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    home: Path,
    mine: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    file = write_rows(tmp_path / "a.jsonl", [{"text": " "}])
    seen = write_rows(tmp_path / "seen.jsonl", [GOOD])
    trained = {"data": [{"sha256": {seen.name: sha256_file(seen)}}]}
    (home / "adapters" / mine / "run.json").write_text(json.dumps(trained))
    filled = [word.format(file=file, seen=seen) for word in words]
    assert command(monkeypatch, "interference", *filled) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
