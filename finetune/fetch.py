"""The data of a recipe: what is there, what is fetched from the hub, what is to be had by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from core import paths
from finetune.recipe import RECIPES, DataSource, Recipe
from tasks import hub_data

PUBLIC_DATA = RECIPES.parent / "public_data.yaml"


@dataclass
class Found:
    """What came of one data set.

    Attributes:
        line: for a person.
        missing: what to do about it, where it is not there and could not be fetched.
    """

    line: str
    missing: list[str] = field(default_factory=list)


def fetch(recipe: Recipe) -> Iterator[Found]:
    """See to every data set of a recipe, each once; what the hub has goes into its cache.

    Raises:
        InputError: the hub could not be reached, or has no such data set, revision or split.
    """
    seen = set()
    for source in recipe.data:
        place = (source.path, source.hub, source.revision, source.subset)
        if place not in seen:
            yield _found(source, recipe)
        seen.add(place)
    if recipe.start and not _is_adapter(recipe.start):
        advice = f"Train it first: `python -m finetune run {recipe.start}`."
        yield Found(f"It goes on from the adapter {recipe.start}, which is not here.", [advice])


def _found(source: DataSource, recipe: Recipe) -> Found:
    title = f"{source.name or source.path or source.hub} ({source.licence})"
    file = source.place(source.path, recipe.data_folder) if source.path else None
    if file and file.is_file():
        ours = file.is_relative_to(RECIPES.parent)
        return Found(f"{title}: {'comes with Patchbay' if ours else f'is here, {file}'}")
    if source.hub:
        return Found(f"{title}: {_from_hub(source)}")
    return Found(f"{title}: not on the hub", [*_by_hand(str(source.path), file)])


def _from_hub(source: DataSource) -> str:
    """Fetch the splits that a training reads; how many rows they have."""
    splits = [one for one in (source.split, source.validation_split) if one]
    counts = []
    for split in splits:
        _, records = hub_data.load(str(source.hub), source.subset, split, source.revision)
        counts.append(f"{sum(1 for _ in records):,} rows of {split}")
    at = f"at {source.revision}" if source.revision else "as it is today: no revision is named"
    return f"fetched from the hub, {source.hub} {at}: {', '.join(counts)}"


def _by_hand(path: str, file: Path | None) -> Iterator[str]:
    known = _public_data().get(str(Path(path).parent))
    if not known:
        yield f"Put it at {file}, or say with data_folder=DIR where the recipe's paths begin."
        return
    yield f"Put its rows at {file}, JSON lines with {', '.join(known['columns'])}. Made from:"
    yield from known["made_from"]


@cache
def _public_data() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(PUBLIC_DATA.read_text(encoding="utf-8"))
    return values


def _is_adapter(name: str) -> bool:
    folders = [Path(name).expanduser(), *(folder / name for folder in paths.adapter_dirs())]
    return any((folder / "run.json").is_file() for folder in folders)
