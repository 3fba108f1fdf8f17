"""Do one job, command by command, with what the chat leaves: `python -m workshop.worker DIR`."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from core import paths, terminal
from core.errors import InputError
from core.statement import Statement, quoted, statement
from core.terminal import aside
from workshop.jobs import LOG, RUNNING_LOCK, Command, JobFolder, State, now, python_module
from workshop.rows import ReviewStore

PR_SET_PDEATHSIG = 1  # of prctl(2)
STOP_SECONDS = 120  # that a command may take to save what it has
LOOK_SECONDS = 5  # more than somebody takes who looks whether there is a worker
STARTS = "$ python -m "  # begins the line of the log that names a command
EVERY = 0.2  # seconds between two looks at a command that runs


class Worker:
    """Does what is left of a job. `stop` may be set by another thread, or a signal."""

    def __init__(self, found: JobFolder) -> None:
        self.found = found
        self.stop = threading.Event()

    def work(self) -> State:
        """Wait for the turn, then run the commands.

        Raises:
            InputError: another process works on it.
        """
        try:
            self.found.lock.acquire(timeout=LOOK_SECONDS)
        except Timeout:
            name = self.found.folder.name
            raise InputError(f"Another process works on {name} already.") from None
        running = FileLock(self.found.folder.parent / RUNNING_LOCK)
        try:
            self.found.clear()
            state = self._write(
                self.found.kept_state, status="queued", pid=os.getpid(), problem="", statement=None
            )
            if self._wait_for(running):
                began = state.began or now()
                state = self._run(self._write(state, status="running", began=began))
            else:
                state = state.model_copy(update={"status": "stopped"})
            return self._write(state, pid=0, ended=now())
        finally:
            running.release()
            self.found.lock.release()

    def _wait_for(self, running: FileLock) -> bool:
        while not self.stop.is_set():
            with suppress(Timeout):
                running.acquire(timeout=EVERY)
                return True
        return False

    def _run(self, state: State) -> State:
        job = self.found.job
        for number, command in enumerate(job.commands):
            if number < state.done:
                continue
            if self.stop.is_set():
                return state.model_copy(update={"status": "stopped"})
            if job.hold and number >= job.hold and not state.released:
                return state.model_copy(update={"status": "ready"})
            if job.kind == "train" and command.made:  # from now on a withdrawal names the adapter
                ReviewStore().mark_used(job.rows, job.adapter, "")
            if problem := self._problem(command):
                if self.stop.is_set():
                    return state.model_copy(update={"status": "stopped"})
                own = problem if problem.key else None
                said = {"problem": problem.english, "statement": own}
                return state.model_copy(update={"status": "failed", **said})
            state = self._write(state, done=number + 1)
        return state.model_copy(update={"status": "finished"})

    def _problem(self, command: Command) -> Statement | None:
        """Run a command; why it failed, or nothing."""
        if command.made and Path(command.made).exists():
            return None
        arguments = list(command.arguments)
        if command.checkpoint and Path(command.checkpoint).is_file():
            arguments.append(command.go_on)
        kept = self.found.folder / command.output if command.output else None
        with (self.found.folder / LOG).open("ab") as log:
            log.write(f"\n{STARTS}{' '.join(arguments)}\n".encode())
            log.flush()
            output: Any = kept.with_suffix(".writing").open("wb") if kept else log
            try:
                code = self._ran(arguments, output, log)
            finally:
                if kept:
                    output.close()
        if code not in command.passes:
            return self._why(code)
        if kept:
            os.replace(kept.with_suffix(".writing"), kept)
        return None

    def _why(self, code: int) -> Statement:
        """Why a command failed, for a person."""
        if code < 0:  # the last that it said has nothing to do with that
            return statement(
                "job.signal",
                "It was ended by signal {signal}; 9 is what a system sends where memory runs "
                "short. Close what else needs memory, and go on.",
                signal=-code,
            )
        last = [line for line in self.found.log().splitlines() if line.strip()]
        if last and not last[-1].startswith(STARTS):
            return quoted(last[-1].removeprefix("error: "))
        return statement("job.code", "It ended with code {code}.", code=code)

    def _ran(self, arguments: list[str], output: Any, log: Any) -> int:
        """The exit code of a command; stopped, it is given time to save what it has."""
        child = subprocess.Popen(
            python_module(arguments), cwd=paths.REPOSITORY, stdin=subprocess.DEVNULL,
            stdout=output, stderr=log,
            preexec_fn=partial(_end_with_worker, os.getpid()),  # noqa: PLW1509  there are no threads
        )  # fmt: skip
        while not self.stop.is_set():
            with suppress(subprocess.TimeoutExpired):
                return child.wait(EVERY)
        child.send_signal(signal.SIGINT)
        try:
            return child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def _write(self, state: State, **changes: Any) -> State:
        return self.found.write(state.model_copy(update=changes))


def _end_with_worker(worker: int) -> None:
    """Of a command: a worker that is killed leaves none behind."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # Linux has it
    if os.getppid() != worker:  # it was killed before that
        os.kill(os.getpid(), signal.SIGKILL)


def _give_way() -> None:
    """Have this process, and what it starts, run where the chat does not want to."""
    with suppress(OSError):
        os.nice(19)
    with suppress(OSError):  # Linux shares a processor out among sessions before it looks at these
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")


def main() -> None:
    """Do the job of the folder that is named."""
    if len(sys.argv) != 2:
        aside("python -m workshop.worker FOLDER-OF-A-JOB")
        raise SystemExit(2)
    _give_way()
    worker = Worker(JobFolder(Path(sys.argv[1]).resolve()))
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda number, frame: worker.stop.set())
    state = worker.work()
    raise SystemExit(0 if state.status in {"finished", "ready"} else 1)


if __name__ == "__main__":
    terminal.run(main)  # type: ignore[arg-type]
