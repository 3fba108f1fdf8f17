"""Keep in a private data set of the hub what is lost with the disk, and bring it back.

Ratings and corrections lie there as JSON lines, beside the promotions file and the folders of the
adapters that are promoted. The disk stays the place where things are written: a hub that cannot be
reached delays a copy and loses nothing.

The hub's own CommitScheduler copies one way: after a restart it would put an empty file over what
was kept, and it does not begin while the hub is away.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils.tqdm import disable_progress_bars

from adapter_store.discovery import is_adapter_id
from adapter_store.files import CARD
from adapter_store.folder_check import SERVED_FILES
from adapter_store.promotions import PROMOTIONS, Promotions
from agent.feedback.store import Feedback
from core import fingerprint, paths
from core.errors import InputError, PatchbayError, SettingsError

log = logging.getLogger(__name__)

EVERY = 120.0  # seconds; as much is lost where the disk goes without a word
AGAIN = 15.0  # seconds, while the copy is behind
PATIENCE = 10.0  # seconds the hub may take to say what it has
LAST = 20.0  # seconds for the last copy at the end
ADAPTERS = "adapters"
PARTS = (*SERVED_FILES, CARD)  # of an adapter; no checkpoints
Files = dict[str, bytes | Path]  # by path in the data set


class Keeping:
    """The copy of this person's folder in one data set.

    Attributes:
        name: of the data set, OWNER/NAME.
        problem: why the copy is behind, as a sentence; empty where it is not.
    """

    def __init__(self, name: str, feedback: Feedback, api: HfApi | None = None) -> None:
        """
        Raises:
            SettingsError: there is no token.
        """
        if api is None and not get_token():
            raise SettingsError(
                f"keep_in={name} needs a token: set HF_TOKEN to one that may write there."
            )
        self.name = name
        self.problem = ""
        self._feedback = feedback
        self._promotions = Promotions()
        self._adapters = paths.user_dir() / ADAPTERS
        self._api = api or HfApi()
        self._seen = ""  # the data set's commit that this folder holds all of
        self._kept: dict[str, str] = {}  # what it holds of this folder
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeping", daemon=True)

    def start(self) -> None:
        """Bring back what is kept, and keep from now on what is new. A failure is told, not raised.

        Before the promotions and adapters are first looked at.
        """
        self.attempt()
        self._thread.start()

    def close(self) -> None:
        """Copy what is new for the last time."""
        self._ended.set()
        self._thread.join(LAST)

    def attempt(self) -> None:
        """Bring the two together; a failure becomes the `problem` and a line in the log."""
        with self._lock:
            try:
                self._take()
                self._give()
                self.problem = ""
            except Exception as error:  # noqa: BLE001  whatever it was, the disk has it all
                self.problem = _sentence(self.name, error)
                log.warning("%s", self.problem)

    def _run(self) -> None:
        while not self._ended.wait(AGAIN if self.problem else EVERY):
            self.attempt()
        self.attempt()

    def _take(self) -> None:
        """Put what the data set has, and this folder has not, into the folder.

        Always before anything is copied there, so that an empty disk never replaces what was kept.
        """
        head = self._head()
        if head == self._seen:
            return
        disable_progress_bars("huggingface_hub.snapshot_download")
        disable_progress_bars("huggingface_hub.snapshot_download.transfer")
        wanted = ["*.jsonl", PROMOTIONS, f"{ADAPTERS}/*"]
        with tempfile.TemporaryDirectory() as folder:
            self._api.snapshot_download(
                self.name,
                repo_type="dataset",
                revision=head,
                local_dir=folder,
                allow_patterns=wanted,
                etag_timeout=PATIENCE,
            )
            self._restore(Path(folder))
        self._seen = head

    def _head(self) -> str:
        """The data set's last commit; it is made where there is none."""
        try:
            info = self._api.dataset_info(self.name, timeout=PATIENCE)
        except RepositoryNotFoundError:
            self._api.create_repo(self.name, repo_type="dataset", private=True)
            info = self._api.dataset_info(self.name, timeout=PATIENCE)
        if not info.private:
            raise SettingsError(
                f"The data set {self.name} is public, and ratings hold visitors' words. Make it "
                "private, or name another in keep_in."
            )
        return str(info.sha)

    def _restore(self, kept: Path) -> None:
        """Raises InputError, FeedbackError: what is kept is damaged."""
        self._feedback.restore({file.stem: _lines(file) for file in kept.glob("*.jsonl")})
        if (kept / PROMOTIONS).is_file():
            self._promotions.restore(Promotions(kept / PROMOTIONS).history())
        for name in self._promoted():
            source, place = kept / ADAPTERS / name, self._adapters / name
            if source.is_dir() and not place.exists():
                self._adapters.mkdir(parents=True, exist_ok=True)
                half = self._adapters / f".{name}.restoring"  # passed over until it is whole
                shutil.rmtree(half, ignore_errors=True)
                shutil.copytree(source, half)
                os.replace(half, place)

    def _give(self) -> None:
        """Copy what has changed here since the last time, as one commit."""
        files = self._files()
        marks = {path: _mark(content) for path, content in files.items()}
        changed = {path: files[path] for path in files if self._kept.get(path) != marks[path]}
        if not changed:
            return
        commit = self._api.create_commit(
            self.name,
            [CommitOperationAdd(path, content) for path, content in changed.items()],
            commit_message="What Patchbay keeps",
            repo_type="dataset",
            parent_commit=self._seen,  # refused where another has written since
        )
        self._seen, self._kept = commit.oid, marks

    def _promoted(self) -> list[str]:
        return [name for name in self._promotions.adapters() if is_adapter_id(name)]

    def _files(self) -> Files:
        """What is worth keeping, each as it is at one moment."""
        files: Files = {
            f"{table}.jsonl": "".join(_line(row) for row in rows).encode()
            for table, rows in self._feedback.export().items()
            if rows or f"{table}.jsonl" in self._kept
        }
        if self._promotions.history():
            files[PROMOTIONS] = self._promotions.file.read_bytes()
        for name in self._promoted():
            for part in PARTS:
                file = self._adapters / name / part
                if file.is_file() and not file.is_symlink():
                    files[f"{ADAPTERS}/{name}/{part}"] = file
        return files


def _mark(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return fingerprint.of_bytes(content)
    state = content.stat()
    return f"{state.st_mtime_ns} {state.st_size}"


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _lines(file: Path) -> list[dict[str, Any]]:
    """Raises InputError: a line is no JSON object."""
    rows = []
    for number, line in enumerate(file.read_bytes().split(b"\n")[:-1], 1):
        try:
            rows.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{file.name} in the data set, line {number}, is not a JSON object. Mend it there; "
                "until then nothing is copied."
            ) from error
    return rows


def _sentence(name: str, error: Exception) -> str:
    if isinstance(error, PatchbayError):
        return str(error)
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    hint = ""
    if isinstance(error, HfHubHTTPError) and error.response.status_code in {401, 403}:
        hint = " Give HF_TOKEN a token that may write there."
    return f"The data set {name} is behind, and is tried again: {said}{hint}"
