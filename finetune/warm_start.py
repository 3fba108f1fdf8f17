"""The finished adapter that a training goes on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from core import paths
from core.errors import SettingsError, UnknownName
from finetune.recipe import Lora, Recipe


def folder(recipe: Recipe, base: str) -> Path | None:
    """Where the adapter that the recipe starts from lies; None where it starts afresh.

    Args:
        base: name of the base that is trained on.

    Raises:
        UnknownName: there is no such adapter.
        SettingsError: it belongs to another base, or the recipe has LoRA settings of its own.
    """
    if recipe.start is None:
        return None
    finished = {
        run.parent.name: run.parent
        for place in paths.adapter_dirs()
        for run in place.glob("*/run.json")
    }
    own = Path(recipe.start).expanduser()
    found = finished.get(recipe.start, own)
    if not (found / "run.json").is_file():
        raise UnknownName("adapter to start from", recipe.start, finished)
    config = json.loads((found / "adapter_config.json").read_text())
    trained = config["base_model_name_or_path"]
    if trained != base:
        raise SettingsError(f"start={recipe.start}: it is an adapter of {trained}, not of {base}.")
    if recipe.lora.model_copy(update={"keep": None}) != Lora():
        raise SettingsError(
            f"start={recipe.start} brings rank and layers along: of `lora` only `keep` has a say."
        )
    if recipe.lora.keep and config.get("use_dora"):
        raise SettingsError(
            f"start={recipe.start}: of DoRA no smaller rank is kept. Drop lora.keep."
        )
    return found


def described(found: Path) -> dict[str, Any]:
    """What a run record says of the adapter it started from: its data with their licences too."""
    record = json.loads((found / "run.json").read_text(encoding="utf-8"))
    recipe = yaml.safe_load((found / "recipe.yaml").read_text(encoding="utf-8"))
    kept = {key: record[key] for key in ("name", "adapter", "data", "start") if key in record}
    return {**kept, "recipe": {"data": recipe["data"]}}
