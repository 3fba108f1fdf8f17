"""Where things live on disk: the repository, the cache, the user's own folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

REPOSITORY = Path(__file__).resolve().parent.parent


def cache_dir() -> Path:
    """What can be fetched or made again. `PATCHBAY_CACHE` moves it."""
    return _folder("PATCHBAY_CACHE", platformdirs.user_cache_path("patchbay"))


def user_dir() -> Path:
    """What is the person's own: settings, profiles, tasks, adapters, ratings.

    `PATCHBAY_HOME` moves it.
    """
    return _folder("PATCHBAY_HOME", platformdirs.user_data_path("patchbay"))


def loses_disk() -> bool:
    """Whether `user_dir` is emptied at a restart, as the disk of a Hugging Face Space is."""
    return "SPACE_ID" in os.environ and "PATCHBAY_HOME" not in os.environ


def task_dirs() -> list[Path]:
    """Folders that hold task folders, later ones winning over earlier ones."""
    return [REPOSITORY / "tasks", user_dir() / "tasks"]


def adapter_dirs(base: str | None = None) -> list[Path]:
    """Folders that hold adapter folders, later ones winning over earlier ones.

    Args:
        base: the name of the only base whose adapters are wanted; None: those of every base.
    """
    if base is None:
        return [*shipped_adapter_dirs(), user_dir() / "adapters"]
    return [REPOSITORY / "adapters" / base_folder(base), user_dir() / "adapters"]


def base_folder(base: str) -> str:
    """What the folders of a base and of its adapters are called, by its hub name or its path."""
    return Path(base).name.lower()


def shipped_adapter_dirs(root: Path = REPOSITORY) -> list[Path]:
    """The folders, one for each base, of the adapters that ship."""
    return sorted(folder for folder in (root / "adapters").glob("[!.]*") if folder.is_dir())


def _folder(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else default
