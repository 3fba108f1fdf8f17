"""What has to stand in a Patchbay folder whatever was killed: rows, whole adapters, promotions."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from safetensors import safe_open

from adapter_store.discovery import adapter_folders
from adapter_store.files import ADAPTER_WEIGHTS, fingerprint_of
from adapter_store.folder_check import require_readable
from adapter_store.run_record import RunRecord, read_run_record
from agent.build import build_agent
from agent.events import StepFinished
from core import paths
from core.errors import PatchbayError
from core.settings import load_settings
from core.terminal import aside
from workshop.adapters import standing
from workshop.rows import ReviewStore


class Witness:
    """Looks at a task's rows, adapters and promotions, and notes what is wrong with them."""

    def __init__(self, task: str) -> None:
        self.task, self.adapters = task, paths.user_dir() / "adapters"
        self.rows = _decisions()
        self.offered: dict[str, RunRecord] = {}  # by name, as it was first offered
        self.faults: list[str] = []

    def look(self, where: str) -> None:
        """At rows, adapters, and what is promoted."""
        if _decisions() != self.rows:
            self.fault(where, "the reviewed rows are others")
        folders = adapter_folders([self.adapters])
        if gone := self.offered.keys() - folders.keys():
            self.fault(where, f"{gone} are gone")
        for name, folder in folders.items():
            try:
                now = _whole(folder)
            except (PatchbayError, OSError, ValueError) as error:
                self.fault(where, f"{name} is offered and not whole: {error!r}")
                continue
            if self.offered.setdefault(name, now) != now:
                self.fault(where, f"{name} was trained twice")
        try:
            event = standing(self.task)
        except PatchbayError as error:
            self.fault(where, str(error))
            return
        if event:
            offered = self.offered.get(event.adapter)
            if offered is None or offered.adapter != event.fingerprint:
                self.fault(where, f"{event.adapter} is promoted, and not there as it was judged")

    def answers(self, text: str) -> None:
        """See that the starter takes every adapter, and answers with the promoted one."""
        self.look("in the end")
        with closing(build_agent(load_settings(profile="starter"), aside)) as agent:
            for name in self.offered.keys() - {*agent.engine.adapters.names()}:
                self.fault("in the end", f"the engine does not offer {name}")
            events = [*agent.perform(text, task=self.task)]
        said = [one.fingerprints["adapter"] for one in events if isinstance(one, StepFinished)]
        event = standing(self.task)
        if event is None or said != [event.fingerprint]:
            self.fault("in the end", f"{said} answered, and {event} is promoted")

    def fault(self, where: str, what: str) -> None:
        """Keep it, and go on."""
        self.faults.append(f"{where}: {what}")
        aside(f"FAULT {self.faults[-1]}")


def _decisions() -> list[tuple[str, ...]]:
    return [(row.id, row.text, row.right, row.by, row.decided_at) for row in ReviewStore().done()]


def _whole(folder: Path) -> RunRecord:
    """The record of an adapter all of which can be read.

    Raises:
        PatchbayError, OSError, ValueError: it cannot.
    """
    require_readable(folder)
    with safe_open(folder / ADAPTER_WEIGHTS, framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118  it is no dict
            tensors.get_tensor(name)
    now, record = fingerprint_of(folder), read_run_record(folder)
    if record.adapter != now:
        raise ValueError(f"its record says {record.adapter}, it is {now}")
    return record
