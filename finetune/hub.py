"""Adapters to and from the Hugging Face hub."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml
from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from adapter_store.discovery import adapter_folders, find_finished, is_adapter_id
from adapter_store.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CARD,
    CURVE,
    CURVE_PLOT,
    RECIPE_FILE,
    read_json,
)
from adapter_store.folder_check import MAX_WEIGHT_BYTES, SERVED_FILES, require_readable
from adapter_store.run_record import read_run_record
from core import paths
from core.errors import AdapterError, SettingsError, SetupError
from core.settings import Settings
from engine.starter import find_starter
from finetune import card, licences

REPOSITORY_NAME = r"[\w-][\w.-]*/[\w-][\w.-]*"
CARRIED = (*SERVED_FILES, CARD, RECIPE_FILE, CURVE, CURVE_PLOT)  # all that goes either way
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
SLOWEST = 30.0  # seconds for an answer of the hub


def push(name: str, repository: str, public: bool = False, update: bool = False) -> str:
    """Put a finished adapter with its card into a repository of the hub.

    Args:
        repository: OWNER/NAME.
        public: whether everybody may read it; one that is there already stays as it is.
        update: write into one that is there already.

    Returns:
        its address.

    Raises:
        UnknownName: there is no finished adapter of that name.
        AdapterError: its folder is not in order, or nobody else could load its base.
        SettingsError: there is no token, or the hub does not let it write there.
        SetupError: the hub was not reached.
    """
    folder = find_finished(name)
    require_readable(folder)
    _require_name(repository)
    base = str(read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path"))
    if not card.is_on_hub(base):
        raise AdapterError(
            f"{name} was trained on {base}, a folder of this machine, which nobody else can load. "
            f"If that base is on the hub, write its name there into base_model_name_or_path of "
            f"{folder / ADAPTER_CONFIG}."
        )
    if not get_token():
        raise SettingsError(
            f"There is no token: set HF_TOKEN to one that may write to {repository}, from "
            "https://huggingface.co/settings/tokens."
        )
    files = _files(folder, name, repository)
    with _as_sentences(repository):
        api = HfApi()
        made = api.create_repo(repository, private=not public, exist_ok=update)
        api.create_commit(
            repository,
            [CommitOperationAdd(path, content) for path, content in files.items()],
            commit_message=f"{name}, trained with Patchbay",
        )
    return str(made)


def _files(folder: Path, name: str, repository: str) -> Mapping[str, bytes | Path]:
    files: dict[str, bytes | Path] = {
        part: folder / part for part in CARRIED if (folder / part).is_file()
    }
    if CARD in files:
        words = (folder / CARD).read_text(encoding="utf-8")
        files[CARD] = card.at(words, name, repository).encode()
    if RECIPE_FILE in files:
        files[RECIPE_FILE] = _without_folders((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    return files | licences.terms(read_run_record(folder).base)


def _without_folders(recipe: str) -> bytes:
    """A recipe whose files are named without the folders of this machine."""
    values = yaml.safe_load(recipe)
    for source in values.get("data", []):
        for key in ("path", "validation"):
            if source.get(key) and Path(source[key]).is_absolute():
                source[key] = Path(source[key]).name
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode()


def pull(
    repository: str,
    settings: Settings,
    name: str | None = None,
    revision: str | None = None,
) -> Path:
    """Fetch an adapter of the hub into the person's own folder, once it has passed the checks.

    They are those of `engine.adapters`: safetensors only, of the settings' base, every shape right.
    No other file is fetched, a pickle least of all.

    Args:
        repository: OWNER/NAME.
        settings: name the base that it is for.
        name: of the adapter here; by default that of the repository.
        revision: branch, tag or commit.

    Returns:
        the adapter's folder.

    Raises:
        SettingsError: the name is taken or none, or the hub does not let the token read there.
        AdapterError: it is no adapter that can be served here.
        SetupError: the hub was not reached.
    """
    _require_name(repository)
    name = name or repository.rpartition("/")[2]
    _require_free(name)
    shelf = paths.user_dir() / "adapters"
    shelf.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=shelf, prefix=".pull-") as work:
        fetched, checked = Path(work) / "fetched", Path(work) / "checked" / name
        _fetch(repository, revision, fetched)
        checked.mkdir(parents=True)  # the hub's client leaves folders of its own beside the files
        for part in CARRIED:
            if (fetched / part).is_file():
                (fetched / part).rename(checked / part)
        _check(checked, settings)
        return checked.rename(shelf / name)


def _require_free(name: str) -> None:
    """Raises SettingsError: it is no adapter's name, or there is an adapter of that name."""
    if not is_adapter_id(name):
        raise SettingsError(f"{name!r} is no adapter's name. Give one with --name.")
    if there := adapter_folders().get(name):
        raise SettingsError(
            f"There is an adapter {name!r} already, in {there}. Give this one another name with "
            "--name, or remove that folder."
        )


def _fetch(repository: str, revision: str | None, folder: Path) -> None:
    """The files that an adapter here has, of those in a repository. Raises as `pull`."""
    with _as_sentences(repository):
        api = HfApi()
        found = api.model_info(repository, revision=revision, files_metadata=True, timeout=SLOWEST)
        sizes = {file.rfilename: file.size or 0 for file in found.siblings or []}
        _require_safetensors(repository, sizes)
        disable_progress_bars()
        api.snapshot_download(
            repository,
            revision=found.sha,
            local_dir=folder,
            allow_patterns=[*CARRIED],
            etag_timeout=SLOWEST,
        )


def _require_name(repository: str) -> None:
    if not re.fullmatch(REPOSITORY_NAME, repository):
        raise SettingsError(f"{repository!r} is no repository of the hub. Write OWNER/NAME.")


def _require_safetensors(repository: str, sizes: Mapping[str, int]) -> None:
    if ADAPTER_WEIGHTS not in sizes:
        pickles = [path for path in sizes if path.endswith(PICKLES)]
        found = (
            f"only {', '.join(pickles)}: pickles, which can run code when they are read"
            if pickles
            else "so it is no adapter in PEFT's format"
        )
        raise AdapterError(f"{repository} holds no {ADAPTER_WEIGHTS}, {found}.")
    total = sum(sizes.get(part, 0) for part in CARRIED)
    if total > MAX_WEIGHT_BYTES:
        raise AdapterError(
            f"{repository} is {total / 2**30:.1f} GiB, more than the "
            f"{MAX_WEIGHT_BYTES / 2**30:.0f} GiB that an adapter may have."
        )


def _check(folder: Path, settings: Settings) -> None:
    """Raises AdapterError: what the chat would refuse."""
    from engine.adapters import AdapterLibrary  # torch: not before there is something to check

    starter = find_starter(settings.base)
    base = starter.name if starter else settings.base
    source = starter.path if starter else Path(settings.base)
    library = AdapterLibrary([folder.parent], base, _shapes(source) if source.is_dir() else None)
    try:
        library.fingerprint(folder.name)
    except AdapterError as error:
        raise AdapterError(f"{error} Nothing was kept. (--profile chooses the base.)") from error


def _shapes(base: Path) -> dict[str, tuple[int, int]]:
    """(out, in) of every linear layer of a base that is on this disk, without its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config: Any = AutoConfig.from_pretrained(base, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


@contextmanager
def _as_sentences(repository: str) -> Iterator[None]:
    """What the hub's client raises, as one sentence with what to do."""
    try:
        yield
    except GatedRepoError as error:
        raise SettingsError(
            f"{repository} is gated: ask for access at https://huggingface.co/{repository} and "
            "set HF_TOKEN to a token of yours."
        ) from error
    except RevisionNotFoundError as error:
        raise SettingsError(f"{repository} has no such revision.") from error
    except RepositoryNotFoundError as error:
        raise SettingsError(
            f"There is no {repository} on the hub that you may read. Check the name; for a private "
            "one, set HF_TOKEN."
        ) from error
    except HfHubHTTPError as error:
        raise _refused(repository, error) from error
    except (httpx2.HTTPError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise SetupError(
            f"The hub was not reached ({reason[0]}). Check the network and HF_ENDPOINT."
        ) from error


def _refused(repository: str, error: HfHubHTTPError) -> SettingsError | SetupError:
    status = error.response.status_code
    if status == 409:
        return SettingsError(
            f"{repository} is on the hub already. Name another with --to, or write into it with "
            "--update."
        )
    if status in {401, 403}:
        return SettingsError(
            f"The hub does not let this token write to {repository}. Set HF_TOKEN to one that may, "
            "from https://huggingface.co/settings/tokens."
        )
    return SetupError(f"The hub failed ({str(error).strip().splitlines()[0]}). Try again later.")
