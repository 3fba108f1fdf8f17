"""The fake engine by the names of the starter, with the records and figures of its adapters."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace

from adapter_store.discovery import adapter_folders
from adapter_store.files import fingerprint_of
from adapter_store.run_record import read_run_record
from core.paths import adapter_dirs
from engine.fake import FakeEngine
from engine.interface import CompletionRequest, Usage, WriteReply, WriteRequest


class Starter(FakeEngine):
    """Says what it is told to, if anything, and finds it as likely as it is told to."""

    base = "google/gemma-3-270m"

    def __init__(self, says: str = "", chance: float | None = None) -> None:
        folders = adapter_folders(adapter_dirs(self.base)[:1])
        super().__init__(
            {name: fingerprint_of(folder) for name, folder in folders.items()},
            scopes={name: read_run_record(folder).scope for name, folder in folders.items()},
        )
        self.says, self.chance = says, chance

    def fingerprints(self) -> dict[str, str]:
        return {"base": self.base, "quantization": "int8"}

    def write(
        self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
    ) -> Iterator[WriteReply]:
        logprob = None if self.chance is None else math.log(self.chance)
        for reply in super().write(request, stop):
            yield replace(reply, logprob=logprob) if isinstance(reply, Usage) else reply

    def _answer(self, request: WriteRequest | CompletionRequest) -> str:
        return self.says or super()._answer(request)
