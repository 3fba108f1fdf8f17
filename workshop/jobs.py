"""Trainings and judgings as processes of their own: queued, followed, stopped, gone on with.

A job is a folder: what is to be done (`job.json`), how far that is (`state.json`), what its
commands printed (`log.txt`), and its files. `python -m workshop.worker FOLDER` does it, whether the
page or a person started it, and goes on when the page's process ends. One job runs at a time.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from core import paths
from core.errors import UnknownName
from core.statement import Statement
from workshop.refusal import Refusal

JOB, STATE, LOG, WORKER_LOCK, RUNNING_LOCK = "job.json", "state.json", "log.txt", ".worker", ".runs"
BEGIN_SECONDS = 30  # that a process takes at most to come up
LOG_SHOWN = 6000  # bytes of a log's end
ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
Kind = Literal["train", "judge"]
Status = Literal["queued", "running", "ready", "stopped", "interrupted", "failed", "finished"]
LIVE = ("queued", "running")
Value = TypeVar("Value", bound=BaseModel)


class Command(BaseModel):
    """One of the ordinary commands.

    Attributes:
        arguments: what follows `python -m`.
        output: file of the job that its standard output goes into, else the log.
        passes: exit codes that are no failure.
        made: folder that it leaves behind; where that is, it was done already.
        checkpoint, go_on: a file from which it goes on, where it is there, with this argument.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: tuple[str, ...]
    output: str = ""
    passes: tuple[int, ...] = (0,)
    made: str = ""
    checkpoint: str = ""
    go_on: str = ""


class Job(BaseModel):
    """What is to be done.

    Attributes:
        id: the name of its folder; sorts by time.
        adapter: that is trained, or judged.
        in_place: the adapter that it starts from, or is judged beside; "" is the bare base.
        rows: ids of the reviewed rows in its files.
        by: who began it.
        hold: commands after which it waits for a person.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: Kind
    task: str
    adapter: str
    in_place: str
    rows: tuple[str, ...]
    by: str
    at: str
    commands: tuple[Command, ...]
    hold: int = 0


class State(BaseModel):
    """How far a job is.

    Attributes:
        done: commands that are.
        pid: of its worker, while there is one.
        asked: when somebody wanted it to begin, or to go on.
        problem: why it failed.
        statement: the same, for pages in other languages; nothing where the command's own words
            say it.
        released: a person has let it go on past `Job.hold`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status = "queued"
    done: int = 0
    pid: int = 0
    asked: str = ""
    began: str = ""
    ended: str = ""
    problem: str = ""
    statement: Statement | None = None
    released: bool = False


class JobFolder:
    """One job on disk. Its worker alone writes the state while it holds the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = FileLock(folder / WORKER_LOCK)

    @cached_property
    def job(self) -> Job:
        """What is to be done; it never changes.

        Raises:
            Refusal: the file is damaged.
        """
        return _read(Job, self.folder / JOB)

    @property
    def state(self) -> State:
        """How far it is; `interrupted` where its worker is gone without a word. Raises as `job`."""
        state = self.kept_state
        if state.status in LIVE and not self.has_worker():
            state = self.kept_state  # it may have ended between the two looks
            if state.status in LIVE and not _is_about_to_begin(state):
                return state.model_copy(update={"status": "interrupted"})
        return state

    @property
    def kept_state(self) -> State:
        """The state as it was written last. Raises as `job`."""
        return _read(State, self.folder / STATE)

    def write(self, state: State) -> State:
        """Keep a state; the old one stands until the new one does."""
        _write(self.folder / STATE, state)
        return state

    def clear(self) -> None:
        """Delete what workers that were killed while they wrote a state left of it."""
        for left in self.folder.glob(f"{Path(STATE).stem}.*.writing"):
            left.unlink(missing_ok=True)

    def has_worker(self) -> bool:
        """Whether a process works on it, or waits for its turn."""
        try:
            with self.lock.acquire(blocking=False):
                return False
        except Timeout:
            return True

    def log(self) -> str:
        """The end of what its commands printed; of a bar that was drawn again, the last."""
        file = self.folder / LOG
        if not file.is_file():
            return ""
        with file.open("rb") as lines:
            size = file.stat().st_size
            lines.seek(max(0, size - LOG_SHOWN))
            text = lines.read().decode("utf-8", "replace")
        if size > LOG_SHOWN:
            text = text.partition("\n")[2]
        return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))


class Jobs:
    """All of them, by default in the person's own folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or paths.user_dir() / "workshop" / "jobs"

    def new_id(self) -> str:
        """An id for a job that begins now; its folder is made."""
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        (self.folder / name).mkdir(parents=True)
        return name

    def path(self, name: str) -> Path:
        """The folder of a job."""
        return self.folder / name

    def add(self, job: Job) -> JobFolder:
        """Keep a job whose files are in its folder. It is not started by that."""
        found = JobFolder(self.path(job.id))
        found.write(State(status="stopped"))
        _write(found.folder / JOB, job)  # last: a folder without it is no job
        return found

    def get(self, name: str) -> JobFolder:
        """A job by its id.

        Raises:
            UnknownName: there is none.
        """
        folder = self.path(name)
        if not ID.fullmatch(name) or not (folder / JOB).is_file():
            raise UnknownName("job", name, [one.folder.name for one in self.all()])
        return JobFolder(folder)

    def all(self) -> list[JobFolder]:
        """Every job, the latest first."""
        found = (
            file.parent for file in self.folder.glob(f"*/{JOB}") if ID.fullmatch(file.parent.name)
        )
        return [JobFolder(folder) for folder in sorted(found, reverse=True)]

    def of(
        self, kind: Kind, task: str | None = None, adapter: str | None = None
    ) -> list[JobFolder]:
        """Those of a kind, the latest first: of a task, of an adapter that is trained or judged."""
        return [
            one
            for one in self.all()
            if one.job.kind == kind
            and task in {None, one.job.task}
            and adapter in {None, one.job.adapter}
        ]

    def start(self, name: str, release: bool = False) -> None:
        """Have a process of its own begin a job, or go on with it.

        Args:
            release: go on past the place where it waits for a person.

        Raises:
            UnknownName: as `get`.
            Refusal: it runs already, or is finished.
        """
        found = self.get(name)
        state = found.state
        if state.status in LIVE:
            raise Refusal("live", "The job {name} runs already, or waits for its turn.", name=name)
        if state.status == "finished":
            raise Refusal("finished", "The job {name} is finished. Begin a new one.", name=name)
        found.write(
            state.model_copy(
                update={
                    "status": "queued",
                    "pid": 0,
                    "asked": now(),
                    "problem": "",
                    "statement": None,
                    "released": state.released or release,
                }
            )
        )
        with (found.folder / LOG).open("ab") as log:
            subprocess.Popen(
                python_module(["workshop.worker", str(found.folder)]),
                cwd=paths.REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the chat's terminal is not meant for it
            )

    def stop(self, name: str) -> None:
        """Ask a job's worker to end; a training saves a checkpoint first. Raises as `get`."""
        found = self.get(name)
        state = found.state
        if state.status in LIVE and state.pid:
            os.kill(state.pid, signal.SIGTERM)


def require_modules() -> None:
    """See that what jobs run is here.

    Raises:
        Refusal: it is not; a Space holds what the page needs and no more.
    """
    absent = [name for name in ("finetune", "evaluation") if find_spec(name) is None]
    if absent:
        raise Refusal(
            "chats_only",
            "{absent} is not here: this copy only chats, as a Space does. Review here, write the "
            "rows with `python -m workshop export`, and train them in a clone.",
            absent=" and ".join(absent),
        )


def now() -> str:
    """The time as it is kept."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def python_module(arguments: Sequence[str]) -> list[str]:
    """A command line for one of our own modules."""
    return [sys.executable, "-m", *arguments]


def _is_about_to_begin(state: State) -> bool:
    """Whether its worker may still be on the way to its lock."""
    if state.pid or not state.asked:
        return False
    since = datetime.now(UTC) - datetime.fromisoformat(state.asked)
    return since.total_seconds() < BEGIN_SECONDS


def _write(file: Path, value: BaseModel) -> None:
    temporary = file.with_suffix(f".{os.getpid()}.writing")
    temporary.write_text(value.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, file)


def _read(kind: type[Value], file: Path) -> Value:
    try:
        return kind.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise Refusal(
            "damaged",
            "{file} is damaged ({error}). Delete the folder {folder}; reviewed rows stand "
            "elsewhere.",
            file=file,
            error=str(error).splitlines()[0],
            folder=file.parent,
        ) from error
