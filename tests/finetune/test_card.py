"""An adapter's card: true of what it was trained on, and how it is asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from conftest import command
from huggingface_hub import ModelCard

from adapter_store.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CARD
from adapter_store.run_record import DataSetRecord, RunRecord, read_run_record
from core import paths
from core.paths import REPOSITORY
from engine.interface import Delta, WriteRequest
from engine.load_base import load_base
from finetune import licences, train
from finetune.card import example_fills, how_to_ask
from finetune.hub import CARRIED
from finetune.recipe import load_recipe
from tasks.spec import Decoding, load_tasks

CARDS = sorted(REPOSITORY.glob("adapters/*/*/README.md"))
shipped_card = pytest.mark.parametrize("card", CARDS, ids=[card.parent.name for card in CARDS])


@shipped_card
def test_a_shipped_card_has_the_prompt_of_today(card: Path) -> None:
    """Whoever changes a task's prompt makes these cards untrue, and is told."""
    task = load_tasks()[read_run_record(card.parent).trained_for]
    assert how_to_ask(card.parent.name, task) in card.read_text(encoding="utf-8")


@shipped_card
def test_a_shipped_card_says_what_the_hub_asks_and_links_to_what_goes_along(card: Path) -> None:
    record, read = read_run_record(card.parent), ModelCard.load(card)
    front = read.data.to_dict()
    assert front["base_model"] == record.base
    assert (front["library_name"], front["base_model_relation"]) == ("peft", "adapter")
    assert front["pipeline_tag"] in {
        "text-classification", "text-generation", "summarization", "translation"
    }  # fmt: skip
    assert front["language"]
    assert front["license"] == licences.card_fields(record)["license"]
    assert ("model-index" in front) == ("| measured on |" in read.text)
    links = re.findall(r"\]\(([^)]*)\)", read.text)
    assert all(link in CARRIED or link.startswith("https://") for link in links)
    assert "dequantized" in read.text
    assert all(data.licence in read.text for data in licences.all_data(record))


def record(base: str, *told: str) -> RunRecord:
    return RunRecord(base=base, data=[DataSetRecord(name=x, licence=x) for x in told])


@pytest.mark.parametrize(
    ("base", "told", "licence"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", ["Apache-2.0", "CC0 1.0"], "apache-2.0"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", ["CC BY 4.0"], "other"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", ["not stated"], "unknown"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", ["our company's own"], "other"),
        ("google/gemma-3-270m", ["CC BY 4.0", "MIT"], "gemma"),
        ("google/gemma-3-270m", ["MIT", "none stated, not to be distributed"], "unknown"),
        ("somebody/else", ["MIT"], "other"),
    ],
)
def test_the_licence_is_what_base_and_data_ask_for(
    base: str, told: list[str], licence: str
) -> None:
    fields = licences.card_fields(record(base, *told))
    assert fields["license"] == licence
    assert ("license_name" in fields) == (licence == "other")


def test_rows_without_a_licence_are_said_to_have_none(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recipe_file.parent / "train.jsonl"
    assert command(monkeypatch, "run", str(recipe_file), "name=mine", f"data={data}") == 0
    card = ModelCard.load(paths.user_dir() / "adapters" / "mine" / CARD)
    assert card.data.license == "unknown"
    assert "No licence is stated for train" in card.text
    assert card.data.base_model is None, "a folder of this machine is no name on the hub"
    assert card.data.datasets is None


def test_notes_of_a_recipe_are_about_its_own_data(tmp_path: Path) -> None:
    assert load_recipe("sentiment-en").recipe.notes
    assert not load_recipe("sentiment-en", ["data=mine.csv"]).recipe.notes
    own = tmp_path / "mine.yaml"
    own.write_text("extends: sentiment-en\ndata: [{path: mine.csv}]\n")
    assert not load_recipe(str(own)).recipe.notes


def test_the_snippet_of_a_card_answers_as_the_chat_does(
    recipe_file: Path, teachable_folder: Path, tmp_path: Path
) -> None:
    folder = train.run(load_recipe(str(recipe_file), ["name=mine"]))
    strong = tiny.add_adapter(teachable_folder, tmp_path, "strong", seed=1)  # says something
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        shutil.copy(strong / file, folder)
    card = ModelCard.load(folder / CARD)
    (snippet,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", snippet], cwd=folder.parent, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    task, trained = load_tasks()["sentiment"], read_run_record(folder)
    engine = tiny.engine(load_base(tiny.settings(Path(trained.base))), folder.parent)
    messages = task.messages("The train leaves at nine.", example_fills(task, trained.scope))
    request = WriteRequest(tuple(messages), "mine", Decoding(max_new_tokens=256))
    pieces = engine.write(request)
    answer = "".join(piece.text for piece in pieces if isinstance(piece, Delta))
    engine.close()
    assert len(set(answer)) > 5
    assert ran.stdout.decode().removesuffix("\n") == answer


def test_a_card_is_made_anew_and_keeps_figures_and_notes(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train.run(load_recipe(str(recipe_file), ["name=mine"]))
    file = folder / CARD
    first = file.read_text(encoding="utf-8")
    kept = first.replace("<!-- notes -->", "<!-- notes -->\nIt fails on 图书馆.")
    kept = kept.replace("<!-- results -->", "<!-- results -->\n| 0.9 |")
    file.write_text(kept.replace("## Training", "## Learning"), encoding="utf-8")
    assert command(monkeypatch, "card", "mine") == 0
    assert file.read_text(encoding="utf-8") == kept
    assert json.dumps("mine") in first
