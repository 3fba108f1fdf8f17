"""The finished adapter that a training goes on from."""

from __future__ import annotations

from pathlib import Path

import yaml

from adapter_store.discovery import finished_adapters
from adapter_store.files import ADAPTER_CONFIG, RECIPE_FILE, RUN_RECORD, read_json
from adapter_store.run_record import StartRecord, read_run_record
from core.errors import SettingsError, UnknownName
from finetune.recipe import Lora, Recipe


def start_folder(recipe: Recipe, base: str) -> Path | None:
    """Where the adapter that the recipe starts from lies; None where it starts afresh.

    Args:
        base: name of the base that is trained on.

    Raises:
        UnknownName: there is no such adapter.
        SettingsError: it belongs to another base, or the recipe has LoRA settings of its own.
    """
    if recipe.start is None:
        return None
    finished = finished_adapters()
    adapter = finished.get(recipe.start, Path(recipe.start).expanduser())
    if not (adapter / RUN_RECORD).is_file():
        raise UnknownName("adapter to start from", recipe.start, finished)
    config = read_json(adapter / ADAPTER_CONFIG)
    if (trained_on := config["base_model_name_or_path"]) != base:
        raise SettingsError(
            f"start={recipe.start}: it is an adapter of {trained_on}, not of {base}."
        )
    if recipe.lora.model_copy(update={"keep": None}) != Lora():
        raise SettingsError(
            f"start={recipe.start} brings rank and layers along: of `lora` only `keep` has a say."
        )
    if recipe.lora.keep and config.get("use_dora"):
        raise SettingsError(
            f"start={recipe.start}: of DoRA no smaller rank is kept. Drop lora.keep."
        )
    return adapter


def start_record(adapter: Path) -> StartRecord:
    """What a run record says of the adapter it started from: its data with their licences too."""
    recipe = yaml.safe_load((adapter / RECIPE_FILE).read_text(encoding="utf-8"))
    return read_run_record(adapter).as_start(recipe["data"])
