"""Training: reproducible, resumable, served by the engine; bad ends say what to change."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import tiny
import torch
from conftest import command, rows, write_jsonl
from peft import PeftModel
from transformers import AutoModelForCausalLM

from core import paths
from core.errors import SettingsError
from engine.adapters import library_of
from engine.interface import ChooseRequest
from engine.load_base import load_base
from finetune import train
from finetune.errors import TrainingError
from finetune.model import encoder
from finetune.recipe import ResolvedRecipe, load_recipe
from finetune.record import RunFolder
from tasks.rows import Row
from tasks.spec import load_tasks

pytestmark = pytest.mark.slow
LABELS = ("positive", "negative", "neutral")


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def again(recipe_file: Path, *overrides: str) -> ResolvedRecipe:
    return load_recipe(str(recipe_file), overrides)


def test_the_same_recipe_and_seed_give_the_same_adapter(recipe_file: Path) -> None:
    one = record(train.run(again(recipe_file, "name=one")))
    two = record(train.run(again(recipe_file, "name=two")))
    other = record(train.run(again(recipe_file, "name=other", "seed=1")))
    assert one["adapter"] == two["adapter"] != other["adapter"]
    assert one["scope"] == {"labels": list(LABELS), "languages": ["en"]}


def test_the_record_says_what_it_always_said_and_names_its_task(recipe_file: Path) -> None:
    folder = train.run(again(recipe_file, "name=mine"))
    stored = record(folder)
    assert list(stored) == [
        "name", "finished", "adapter", "base", "task", "task_name", "task_version", "scope",
        "recipe", "seed", "data", "steps", "rows", "tokens", "seconds", "loss_before",
        "evaluations", "threads", "processes", "processor", "versions",
    ]  # fmt: skip
    assert (stored["task"], stored["task_name"]) == (
        load_tasks()["sentiment"].fingerprint,
        "sentiment",
    )
    (data_set,) = stored["data"]
    assert list(data_set) == [
        "name", "licence", "attribution", "train_rows", "validation_rows", "refused", "sha256",
    ]  # fmt: skip
    assert [step for step, _ in stored["evaluations"]] == [3, 6]
    assert (
        '"evaluations": [\n  [\n   3,\n'
        in (recipe_file.parent / "home" / "adapters" / "mine" / "run.json").read_text()
    )


def test_rows_with_a_system_prompt_of_their_own_are_counted(recipe_file: Path) -> None:
    folder = recipe_file.parent
    lines = [{"instruction": f"Say {n}", "output": f"It is {n}."} for n in range(12)]
    own = [{"system": "Talk like a pirate."} | line for line in lines[:8]]
    write_jsonl(folder / "train.jsonl", [*own, *({"system": ""} | line for line in lines[8:])])
    write_jsonl(folder / "validation.jsonl", own[:2])
    stored = record(train.run(again(recipe_file, "name=pirate", "task=generation")))
    assert stored["data"][0]["own_prompts"] == 8


def test_a_stopped_run_resumes_to_the_same_adapter(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = record(train.run(again(recipe_file, "name=whole", "lora.dropout=0.1")))
    original = train.Trainer._step

    def interrupted(self: train.Trainer, examples: list) -> None:
        if self.state.step == 3:
            raise KeyboardInterrupt
        original(self, examples)

    stopped = again(recipe_file, "name=stopped", "lora.dropout=0.1")
    monkeypatch.setattr(train.Trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.run(stopped)
    monkeypatch.setattr(train.Trainer, "_step", original)
    resumed = record(train.run(stopped, resume=True))
    assert resumed["adapter"] == whole["adapter"]
    assert resumed["steps"] == 6


@pytest.fixture
def stopped(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe of a run `stopped` that ended after three steps, with a checkpoint."""
    original = train.Trainer._step

    def interrupted(self: train.Trainer, batch: train.Batch) -> None:
        if self.state.step == 3:
            raise KeyboardInterrupt
        original(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(train.Trainer, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.run(again(recipe_file, "name=stopped"))
    return recipe_file


def test_a_checkpoint_goes_on_with_what_it_began_with_only(stopped: Path) -> None:
    rate = again(stopped, "name=stopped", "learning_rate=0.5")
    with pytest.raises(SettingsError, match=r"learning_rate was 0\.01 and is 0\.5"):
        train.run(rate, resume=True)
    other = write_jsonl(stopped.parent / "other.jsonl", rows(32, 100))
    with pytest.raises(SettingsError, match=r"were those of train\.jsonl and are those of other"):
        train.run(again(stopped, "name=stopped", f"data.0.path={other}"), resume=True)
    file = stopped.parent / "train.jsonl"
    moved = file.rename(stopped.parent / "moved.jsonl")
    write_jsonl(file, rows(31))
    with pytest.raises(SettingsError, match=r"the rows of train\.jsonl have changed"):
        train.run(again(stopped, "name=stopped"), resume=True)
    longer = again(stopped, "name=stopped", f"data.0.path={moved}", "steps=8", "threads=1")
    assert record(train.run(longer, resume=True))["steps"] == 8


def test_what_a_kill_left_of_a_checkpoint_is_no_part_of_the_adapter(stopped: Path) -> None:
    recipe = again(stopped, "name=stopped")
    place = RunFolder.at(paths.user_dir() / "adapters", "stopped")
    (place.folder / "checkpoint.writing").write_bytes(b"half")
    folder = train.run(recipe, resume=True)
    assert folder == place.final
    assert not [*folder.parent.rglob("*.writing")]


def test_an_unfinished_run_is_not_deleted_unasked(stopped: Path) -> None:
    with pytest.raises(SettingsError, match=r"did not finish, with a checkpoint of .* --resume"):
        train.run(again(stopped, "name=stopped"))
    assert record(train.run(again(stopped, "name=stopped"), replace=True))["steps"] == 6


def test_a_loss_above_where_it_began_is_no_success(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    train.run(again(recipe_file, "name=good", "steps=30"))
    other_way = {"positive": "negative", "negative": "positive"}
    wrong = [{**row, "label": other_way[row["label"]]} for row in rows(32)]
    write_jsonl(recipe_file.parent / "train.jsonl", wrong)
    words = ["name=wrong", "start=good", "lora={}", "steps=30"]
    assert command(monkeypatch, "run", str(recipe_file), *words) == 3
    printed = capsys.readouterr()
    folder = Path(printed.out.strip())
    assert "error: wrong: the validation loss ended at" in printed.err
    stored = record(folder)
    assert stored["evaluations"][-1][1] > stored["loss_before"]
    assert "so the training made it worse" in (folder / "README.md").read_text()


def test_what_was_noticed_is_said_before_and_recorded(recipe_file: Path) -> None:
    write_jsonl(recipe_file.parent / "train.jsonl", [*rows(31), {"text": "?", "label": "Positive"}])
    said: list[str] = []
    stored = record(train.run(again(recipe_file, "name=new", "steps=1"), say=said.append))
    assert "train.jsonl: 32 rows to train on, 8 to validate on, 0 refused" in said
    assert "train.jsonl: labels were read: 'Positive' as positive (1)" in stored["findings"]


def test_the_chat_sees_an_adapter_only_when_it_is_done(
    recipe_file: Path, teachable_folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_base(tiny.settings(teachable_folder))
    shelf = library_of(base, [home / "adapters"])
    seen: list[list[str]] = []
    step = train.Trainer._step

    def watched(self: train.Trainer, examples: list) -> None:
        step(self, examples)
        self.save()
        seen.append(shelf.names())

    monkeypatch.setattr(train.Trainer, "_step", watched)
    folder = train.run(again(recipe_file, "name=new"))
    assert seen == [[]] * 6
    assert shelf.names() == ["new"]
    assert {file.name for file in folder.iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "curve.json",
        "curve.png", "origins.json", "recipe.yaml", "run.json",
    }  # fmt: skip
    assert "CC0 1.0" in (folder / "README.md").read_text()


def test_the_engine_scores_what_training_lowered(
    recipe_file: Path, teachable_folder: Path, home: Path
) -> None:
    train.run(again(recipe_file, "name=new", "steps=30"))
    base = load_base(tiny.settings(teachable_folder))
    engine = tiny.engine(base, home / "adapters")
    words = encoder(base.template.tokenizer, load_tasks()["sentiment"])
    example = words.example(Row("good film 90", "positive"), LABELS)
    messages = tuple(words.task.messages("good film 90", {"labels": ", ".join(LABELS)}))
    with_adapter, without = (
        engine.choose(ChooseRequest(messages, LABELS, name)).logprobs["positive"]
        for name in ("new", None)
    )
    engine.close()
    assert with_adapter > without + 5
    trained = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(teachable_folder), home / "adapters" / "new"
    )
    loss = train.AnswerLoss(trained)(train.collate([example], 0)).item()
    assert with_adapter == pytest.approx(-loss * len(example.answer), abs=0.02)


def test_patience_keeps_the_best(recipe_file: Path) -> None:
    wild = again(recipe_file, "name=wild", "steps=24", "evaluations=12", "patience=2",
                 "learning_rate=2", "schedule=constant")  # fmt: skip
    stored = record(train.run(wild))
    losses = [loss for _, loss in stored["evaluations"]]
    assert losses[-1] > min(losses)
    assert stored["steps"] < 24


def test_a_time_budget_becomes_a_number_of_steps(recipe_file: Path) -> None:
    budget = again(recipe_file, "name=timed", "steps=null", "minutes=0.02")
    assert record(train.run(budget))["steps"] >= train.PACE_STEPS


def test_a_time_budget_survives_a_stop_before_it_was_measured(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = train.Trainer._step

    def interrupted(self: train.Trainer, examples: list) -> None:
        if self.state.step == 3:
            raise KeyboardInterrupt
        original(self, examples)

    budget = again(recipe_file, "steps=null", "minutes=0.001", "epochs=4")
    monkeypatch.setattr(train.Trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.run(budget)
    monkeypatch.setattr(train.Trainer, "_step", original)
    assert record(train.run(budget, resume=True))["steps"] == 3 + train.PACE_STEPS


def test_a_finished_adapter_is_not_overwritten_unasked(recipe_file: Path) -> None:
    train.run(again(recipe_file, "name=mine", "steps=1"))
    with pytest.raises(SettingsError, match="--replace"):
        train.run(again(recipe_file, "name=mine", "steps=1"))
    folder = train.run(again(recipe_file, "name=mine", "steps=2"), replace=True)
    assert record(folder)["steps"] == 2
    assert [one.name for one in folder.parent.iterdir()] == ["mine"]
    with pytest.raises(SettingsError, match="no checkpoint"):
        train.run(again(recipe_file, "name=none"), resume=True)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (torch.OutOfMemoryError("CUDA out of memory"), "smaller batch"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "smaller batch"),
    ],
)
def test_bad_ends_say_what_to_change(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, said: str
) -> None:
    def fails(self: train.Trainer, examples: list) -> None:
        raise failure

    monkeypatch.setattr(train.Trainer, "_step", fails)
    with pytest.raises(TrainingError, match=said):
        train.run(again(recipe_file))


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(
    recipe_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = train.AnswerLoss.forward
    calls = []

    def poisoned(self: train.AnswerLoss, batch: train.Batch) -> torch.Tensor:
        calls.extend([batch] if self.training else [])
        return forward(self, batch) * (float("nan") if len(calls) == 3 else 1)

    resolved = again(recipe_file, "checkpoint_minutes=0.00001")
    monkeypatch.setattr(train.AnswerLoss, "forward", poisoned)
    with pytest.raises(TrainingError, match="smaller learning_rate"):
        train.run(resolved)
    checkpoint = RunFolder.at(home / "adapters", "tiny").load_checkpoint()
    assert checkpoint["state"]["step"] == 2
