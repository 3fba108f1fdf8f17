"""What a run was started with, so that nothing else goes on from its checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from core.errors import SettingsError
from finetune.data import DataSet
from finetune.recipe import Recipe, flat

# What may change on the way: how long, how often, in what pieces; what is done at the end.
FREE = {
    "batch", "checkpoint_minutes", "epochs", "evaluations", "gradient_checkpointing", "lora.keep",
    "lora.strength", "max_refused", "minutes", "notes", "patience", "search", "steps", "threads",
}  # fmt: skip


def began_with(recipe: Recipe, data_sets: Sequence[DataSet], processes: int) -> dict[str, Any]:
    """What decides the adapter that comes out, JSON-able: the recipe, and the rows themselves."""
    values = {
        k: v for k, v in flat(recipe.settled()) if k not in FREE and k.split(".")[0] != "data"
    }
    return {
        "recipe": {**values, "rows a step": recipe.batch * processes},
        "data": [
            {"name": one.label, "labels": one.source.labels, "sha256": _digest(one)}
            for one in data_sets
        ],
    }


def refuse_another(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """See that a run goes on with what it began with.

    Raises:
        SettingsError: it does not; the message says what differs.
    """
    if before is None:
        raise SettingsError(
            "The checkpoint does not say which recipe and rows it belongs to. Start anew with "
            "--replace."
        )
    if different := [
        *_different_values(before["recipe"], now["recipe"]),
        *_different_data(before["data"], now["data"]),
    ]:
        raise SettingsError(
            f"The checkpoint belongs to another training: {'; '.join(different)}. Resume with what "
            "it was started with, or start anew with another name=... or --replace."
        )


def _different_values(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        if before.get(key) != now.get(key):
            yield f"{key} was {before.get(key)!r} and is {now.get(key)!r}"


def _different_data(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    if len(before) != len(now):
        yield f"it had {len(before)} data sets and has {len(now)}"
        return
    for old, new in zip(before, now, strict=True):
        if old["name"] != new["name"] and old["sha256"] != new["sha256"]:
            yield f"its rows were those of {old['name']} and are those of {new['name']}"
        elif old["sha256"] != new["sha256"]:
            yield f"the rows of {new['name']} have changed"
        elif old["labels"] != new["labels"]:
            yield f"labels of {new['name']} was {old['labels']} and is {new['labels']}"


def _digest(data_set: DataSet) -> str:
    digest = hashlib.sha256()
    for row in [*data_set.train, *data_set.validation]:
        digest.update(repr(asdict(row)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
