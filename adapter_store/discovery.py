"""Which adapters lie on disk."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from adapter_store.files import RUN_RECORD
from core import paths
from core.errors import UnknownName

ADAPTER_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}"  # a name is an id and never a path


def is_adapter_id(name: str) -> bool:
    """Whether an adapter may have this name."""
    return re.fullmatch(ADAPTER_ID, name) is not None


def adapter_folders(parents: Iterable[Path] | None = None) -> dict[str, Path]:
    """Name -> folder of every adapter. Of two with one name, that of the later parent wins.

    Folders whose names begin with a dot are passed over: a training works in such a one.

    Args:
        parents: folders that hold adapters' folders; by default the shipped and the person's own.
    """
    folders: dict[str, Path] = {}
    for parent in paths.adapter_dirs() if parents is None else parents:
        for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
            if folder.is_dir() and not folder.name.startswith("."):
                folders[folder.name] = folder
    return folders


def finished_adapters() -> dict[str, Path]:
    """Name -> folder of the adapters that come with the record of their training."""
    folders = adapter_folders()
    return {name: folder for name, folder in folders.items() if (folder / RUN_RECORD).is_file()}


def find_adapter(name: str) -> Path:
    """The folder of an adapter.

    Raises:
        UnknownName: with near matches; the bare base is named among what there is.
    """
    folders = adapter_folders()
    if name not in folders:
        raise UnknownName("adapter", name, [*folders, "base"])
    return folders[name]


def find_finished(name: str) -> Path:
    """The folder of a finished adapter.

    Raises:
        UnknownName: with near matches.
    """
    finished = finished_adapters()
    if name not in finished:
        raise UnknownName("finished adapter", name, finished)
    return finished[name]
