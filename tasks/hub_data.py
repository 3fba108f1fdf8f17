"""Data sets of the Hugging Face hub -> records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.errors import InputError


def load(
    name: str, subset: str | None, split: str, revision: str | None = None
) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """A split of a data set, from the hub's cache on this machine where it was fetched before.

    Args:
        name: OWNER/NAME.
        subset: its configuration.
        split: its split.
        revision: its commit on the hub; None: what is newest there.

    Returns:
        its columns, and its records with labels by their names.

    Raises:
        InputError: it cannot be had.
    """
    import datasets

    try:
        data = datasets.load_dataset(name, subset, split=split, revision=revision)
    except Exception as error:
        raise InputError(
            f"The data set {name!r} could not be loaded: {str(error).splitlines()[0]} "
            "Check the name and the network, or put a local file in its place with data=PATH."
        ) from error
    named = {
        column: feature.int2str
        for column, feature in data.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    records = (
        {k: named[k](v) if k in named and v >= 0 else v for k, v in record.items()}
        for record in data
    )
    return list(data.features), records
