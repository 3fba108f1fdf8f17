"""Back up to a private data set of the hub what is lost with the disk, and restore it.

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

SYNC_SECONDS = 120.0  # as much is lost where the disk goes without a word
RESYNC_SECONDS = 15.0  # while the copy is behind
HUB_TIMEOUT = 10.0  # seconds the hub may take to say what it has
LAST_SYNC_TIMEOUT = 20.0  # seconds for the last copy at the end
ADAPTERS = "adapters"
ADAPTER_FILES = (*SERVED_FILES, CARD)  # of an adapter's folder; no checkpoints
Files = dict[str, bytes | Path]  # by path in the data set


class HubBackup:
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
        self._pulled = ""  # the data set's commit that this folder holds all of
        self._pushed: dict[str, str] = {}  # path -> state of what it holds of this folder
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-backup", daemon=True)

    def start(self) -> None:
        """Restore, and copy from now on what is new. A failure is logged and not raised.

        Before the promotions and adapters are first looked at.
        """
        self.sync()
        self._thread.start()

    def close(self) -> None:
        """Copy what is new for the last time."""
        self._closing.set()
        self._thread.join(LAST_SYNC_TIMEOUT)

    def sync(self) -> None:
        """Bring the two together; a failure becomes the `problem` and a line in the log."""
        with self._lock:
            try:
                self._pull()
                self._push()
                self.problem = ""
            except Exception as error:  # noqa: BLE001  whatever it was, the disk has it all
                self.problem = _sentence(self.name, error)
                log.warning("%s", self.problem)

    def _run(self) -> None:
        while not self._closing.wait(RESYNC_SECONDS if self.problem else SYNC_SECONDS):
            self.sync()
        self.sync()

    def _pull(self) -> None:
        """Put what the data set has, and this folder has not, into the folder.

        Always before anything is copied there, so that an empty disk never replaces a backup.
        """
        head = self._head()
        if head == self._pulled:
            return
        disable_progress_bars("huggingface_hub.snapshot_download")
        disable_progress_bars("huggingface_hub.snapshot_download.transfer")
        patterns = ["*.jsonl", PROMOTIONS, f"{ADAPTERS}/*"]
        with tempfile.TemporaryDirectory() as folder:
            self._api.snapshot_download(
                self.name,
                repo_type="dataset",
                revision=head,
                local_dir=folder,
                allow_patterns=patterns,
                etag_timeout=HUB_TIMEOUT,
            )
            self._restore(Path(folder))
        self._pulled = head

    def _head(self) -> str:
        """The data set's last commit; it is made where there is none."""
        try:
            info = self._api.dataset_info(self.name, timeout=HUB_TIMEOUT)
        except RepositoryNotFoundError:
            self._api.create_repo(self.name, repo_type="dataset", private=True)
            info = self._api.dataset_info(self.name, timeout=HUB_TIMEOUT)
        if not info.private:
            raise SettingsError(
                f"The data set {self.name} is public, and ratings hold visitors' words. Make it "
                "private, or name another in keep_in."
            )
        return str(info.sha)

    def _restore(self, backup: Path) -> None:
        """Raises InputError, FeedbackError: the backup is damaged."""
        self._feedback.restore({file.stem: _rows(file) for file in backup.glob("*.jsonl")})
        if (backup / PROMOTIONS).is_file():
            self._promotions.restore(Promotions(backup / PROMOTIONS).history())
        for name in self._promoted():
            source, target = backup / ADAPTERS / name, self._adapters / name
            if source.is_dir() and not target.exists():
                self._adapters.mkdir(parents=True, exist_ok=True)
                partial = self._adapters / f".{name}.restoring"  # passed over until it is whole
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(source, partial)
                os.replace(partial, target)

    def _push(self) -> None:
        """Copy what has changed here since the last time, as one commit."""
        files = self._files()
        states = {path: _state(content) for path, content in files.items()}
        changed = {path: files[path] for path in files if self._pushed.get(path) != states[path]}
        if not changed:
            return
        commit = self._api.create_commit(
            self.name,
            [CommitOperationAdd(path, content) for path, content in changed.items()],
            commit_message="What Patchbay keeps",
            repo_type="dataset",
            parent_commit=self._pulled,  # refused where another has written since
        )
        self._pulled, self._pushed = commit.oid, states

    def _promoted(self) -> list[str]:
        trials = [trial.adapter for trial in self._promotions.trials()]
        names = sorted({*self._promotions.adapters(), *trials})
        return [name for name in names if is_adapter_id(name)]

    def _files(self) -> Files:
        """What is backed up, each as it is at one moment."""
        files: Files = {
            f"{table}.jsonl": "".join(map(_json_line, rows)).encode()
            for table, rows in self._feedback.export().items()
            if rows or f"{table}.jsonl" in self._pushed
        }
        if self._promotions.history():
            files[PROMOTIONS] = self._promotions.file.read_bytes()
        for name in self._promoted():
            for part in ADAPTER_FILES:
                file = self._adapters / name / part
                if file.is_file() and not file.is_symlink():
                    files[f"{ADAPTERS}/{name}/{part}"] = file
        return files


def _state(content: bytes | Path) -> str:
    """Changes with the content: a hash of bytes, the time and the size of a file."""
    if isinstance(content, bytes):
        return fingerprint.of_bytes(content)
    stat = content.stat()
    return f"{stat.st_mtime_ns} {stat.st_size}"


def _json_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _rows(file: Path) -> list[dict[str, Any]]:
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
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    hint = ""
    if isinstance(error, HfHubHTTPError) and error.response.status_code in {401, 403}:
        hint = " Give HF_TOKEN a token that may write there."
    return f"The data set {name} is behind, and is tried again: {reason}{hint}"
