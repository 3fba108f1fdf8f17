"""A run without an adapter's name judges what the chat serves, and says what that was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import tiny
import yaml
from judging import TASKS, Failing, reviews, run_plan, write_rows

from adapter_store.promotions import Promotions
from adapter_store.scope import Scope
from core import terminal
from core.errors import InputError
from core.fingerprint import sha256_file
from engine.fake import FakeEngine
from evaluation import gate, promotion, record, report, runner, shipped_results
from evaluation.__main__ import app
from evaluation.compare import compare

ENGLISH = [
    ("A positive, warm little film about a family by the sea.", "positive"),
    ("Negative through and through, and two hours too long for anyone.", "negative"),
    ("The actors are fine and the story is positive from the first scene on.", "positive"),
]
CHINESE = [("这部电影我看了三遍，太好看了。", "positive"), ("剧情拖沓，演员也不用心。", "negative")]
LABELS = [both.en for both in TASKS["sentiment"].labels.values()]
SCOPES = {"sentiment-en": Scope(labels=LABELS, languages=["en"])}


def chat_engine(**more: object) -> FakeEngine:
    """An engine whose adapters the chat knows: sentiment-en, for English."""
    return FakeEngine({"sentiment-en": "abc", "mine": "f1"}, scopes=SCOPES, **more)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """English and Chinese rows by turns."""
    rows = [*ENGLISH, *CHINESE]
    rows = [rows[i] for i in (0, 3, 1, 4, 2)]
    records = [{"text": text, "label": label} for text, label in rows]
    return write_rows(tmp_path / "mixed.jsonl", records)


def test_each_row_is_judged_with_what_the_chat_serves_it_with(mixed: Path, tmp_path: Path) -> None:
    engine = chat_engine()
    run = runner.run(run_plan("sentiment", mixed).as_served(engine), engine, tmp_path / "run")
    by_turns = ["sentiment-en", None, "sentiment-en", None, "sentiment-en"]
    assert [call.adapter for call in engine.calls] == by_turns
    assert run.settings.adapter is None
    assert "adapter" not in run.settings.fingerprints
    assert {name: (part.rows, part.fingerprint) for name, part in run.settings.served.items()} == {
        "sentiment-en": (3, "abc"),
        "base": (2, None),
    }
    outcomes = record.outcomes(tmp_path / "run")
    assert [outcome.adapter for outcome in outcomes] == [name or "base" for name in by_turns]
    slices = {part.name: part.figure.rows for part in run.slices if part.kind == "adapter"}
    assert slices == {"sentiment-en": 3, "base": 2}
    said = "judged what the chat serves: sentiment-en (3 rows), base (2 rows)"
    assert report.as_text(run).splitlines()[0] == said
    page = report.write(tmp_path / "run").read_text()
    assert "sentiment-en (3 rows), base (2 rows)" in page


def test_a_promoted_adapter_stands_before_the_tasks_own(mixed: Path, tmp_path: Path) -> None:
    Promotions().promote("sentiment", "mine", "f1", {})
    engine = chat_engine()
    run = runner.run(run_plan("sentiment", mixed).as_served(engine), engine, tmp_path / "run")
    assert {call.adapter for call in engine.calls} == {"mine"}
    assert (run.settings.adapter, run.settings.fingerprints["adapter"]) == ("mine", "f1")
    assert report.as_text(run).startswith("judged what the chat serves: mine\n")
    Promotions().rollback("sentiment")
    with pytest.raises(InputError, match=r"other settings \(adapter was 'mine', is None"):
        runner.run(run_plan("sentiment", mixed).as_served(engine), engine, tmp_path / "run")


def test_a_run_that_names_its_adapter_is_recorded_as_ever(mixed: Path, tmp_path: Path) -> None:
    runner.run(run_plan("sentiment", mixed, "mine"), chat_engine(), tmp_path / "run")
    stored = json.loads((tmp_path / "run" / record.RUN_FILE).read_text())
    assert "served" not in stored["asked"]
    assert "adapter" not in json.loads(
        (tmp_path / "run" / record.ROWS_FILE).read_text().split("\n")[0]
    )


def test_a_killed_one_goes_on_with_the_same_adapters(mixed: Path, tmp_path: Path) -> None:
    whole = runner.run(
        run_plan("sentiment", mixed).as_served(chat_engine()), chat_engine(), tmp_path / "a"
    )
    broken = Failing(3, adapters={"sentiment-en": "abc"}, scopes=SCOPES)
    with pytest.raises(KeyboardInterrupt):
        runner.run(run_plan("sentiment", mixed).as_served(broken), broken, tmp_path / "b")
    engine = chat_engine()
    run = runner.run(run_plan("sentiment", mixed).as_served(engine), engine, tmp_path / "b")
    assert [call.adapter for call in engine.calls] == [None, "sentiment-en"]
    assert run.figures == whole.figures


def test_it_can_be_what_is_in_place_and_never_what_is_promoted(mixed: Path, tmp_path: Path) -> None:
    engine = chat_engine()
    served, mine = tmp_path / "served", tmp_path / "mine"
    runner.run(run_plan("sentiment", mixed).as_served(engine), engine, served)
    runner.run(run_plan("sentiment", mixed, "mine"), engine, mine)
    assert not compare(served, mine).changed, "only the adapters differ"
    verdict = gate.judge(mine, served)
    assert {check.name for check in verdict.checks if check.passed} >= {"same conditions"}
    with pytest.raises(InputError, match=r"judged sentiment-en \(3 rows\), base \(2 rows\); only"):
        promotion.promote(served, mine, gate.judge(served, mine), "why not")
    with pytest.raises(InputError, match="name the adapter's run, then the base's"):
        shipped_results.shipped_result(mine, served)


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
    adapter = tiny.add_adapter(tiny_folder, home / "adapters", "red", 1)
    values = {"base": str(tiny_folder), "quantization": "none", "context_tokens": 512}
    profile = tmp_path / "tiny.yaml"
    profile.write_text(yaml.safe_dump(values))
    data = reviews(tmp_path)
    words = ["run", "--task", "sentiment", "--data", data, "--profile", profile]
    assert command(monkeypatch, *words, "--output", tmp_path / "before") == 0
    assert "What the chat serves is judged: base" in capsys.readouterr().err
    named = record.read(tmp_path / "before").settings
    assert (named.adapter, list(named.served)) == (None, ["base"])

    from adapter_store.files import fingerprint_of

    Promotions().promote("sentiment", "red", fingerprint_of(adapter), {})
    assert command(monkeypatch, *words, "--output", tmp_path / "after") == 0
    assert "What the chat serves is judged: red" in capsys.readouterr().err
    after = record.read(tmp_path / "after")
    assert after.settings.adapter == "red"
    for name in ("red", "base"):
        assert command(monkeypatch, *words, "--adapter", name, "--output", tmp_path / name) == 0
        assert "What the chat serves" not in capsys.readouterr().err
    assert after.figures == record.read(tmp_path / "red").figures
    base = record.read(tmp_path / "base")
    assert (base.settings.adapter, base.settings.served) == (None, {})
    assert base.figures == record.read(tmp_path / "before").figures != after.figures

    trained = {"data": [{"sha256": {data.name: sha256_file(data)}}]}
    (adapter / "run.json").write_text(json.dumps(trained))
    assert command(monkeypatch, *words, "--output", tmp_path / "seen") == 1
    assert "is a file that red was trained on" in capsys.readouterr().err
    assert not (tmp_path / "seen").exists()
