"""The adapter library: check, load, unload and fingerprint the LoRA adapters of one base."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from adapter_store.calibration import Calibration, read_calibration
from adapter_store.discovery import adapter_folders
from adapter_store.files import ADAPTER_WEIGHTS, fingerprint_of
from adapter_store.folder_check import SERVED_FILES, require_readable
from adapter_store.peft_config import read_peft_config
from adapter_store.run_record import read_run_record
from adapter_store.scope import Scope
from core import paths
from core.errors import AdapterError, UnknownName
from engine.base_model import Base
from engine.lora import LoraAdapter, LoraFactors

MAX_RANK = 512
RESIDENT_BYTES = 2**28  # of adapters in memory
RESIDENT_BYTES_ON_GPU = 2**31  # one of rank 16 for a base of 4 billion weights takes 66 MB
_LAYER = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")


@dataclass(frozen=True)
class CheckedAdapter:
    """An adapter folder that passed the checks.

    Attributes:
        scalings: layer -> what its update is multiplied by.
        task: name of the one it was trained for, or empty.
        calibration: of label scores.
    """

    folder: Path
    scalings: dict[str, float]
    fingerprint: str
    scope: Scope
    task: str
    calibration: Calibration


class AdapterLibrary:
    """Adapters of one base, by id. Safe to use from many threads.

    Folders are looked at again on every call, so a new adapter appears, and a removed one goes,
    without a restart. A request that already holds an adapter's weights keeps them.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        base: str,
        shapes: dict[str, tuple[int, int]] | None,
        prepare: Callable[[LoraFactors], Any] = lambda factors: factors,
        resident_bytes: int = RESIDENT_BYTES,
    ) -> None:
        """
        Args:
            folders: where adapter folders are looked for; later ones win.
            base: the name of the base that is loaded.
            shapes: layer name -> (out, in) of the layers an adapter may change; None where the
                base is elsewhere and nothing is known of them.
            prepare: puts an adapter's factors into the form its base runs them in.
            resident_bytes: of adapters kept in memory; the least recently used leaves.
        """
        self._folders = list(folders)
        self._base = base
        self._shapes = shapes
        self._prepare = prepare
        self._resident_bytes = resident_bytes
        self._lock = threading.RLock()
        self._checked: dict[tuple[Path, int, int], CheckedAdapter | AdapterError] = {}
        self._resident: OrderedDict[str, LoraAdapter] = OrderedDict()

    def names(self) -> list[str]:
        """Ids that a request may carry, sorted."""
        return sorted(n for n, one in self._scan().items() if isinstance(one, CheckedAdapter))

    def refused(self) -> dict[str, str]:
        """Id -> why the adapter is not offered."""
        return {n: str(one) for n, one in self._scan().items() if isinstance(one, AdapterError)}

    def fingerprint(self, name: str) -> str:
        """Hash of the adapter's config and weights.

        Raises:
            UnknownName: there is no such id.
            AdapterError: it was refused.
        """
        return self._adapter(name).fingerprint

    def scope(self, name: str) -> Scope:
        """What its run record says it was trained for; without one, everything. Raises as above."""
        return self._adapter(name).scope

    def task(self, name: str) -> str:
        """The task it was trained for, by its run record; empty without one. Raises as above."""
        return self._adapter(name).task

    def calibration(self, name: str) -> Calibration:
        """What its `calibration.json` says of label scores. Raises as above."""
        return self._adapter(name).calibration

    def loaded(self, name: str) -> bool:
        """Whether a request need not wait for its weights. Raises as above."""
        return self._shapes is None or self._adapter(name).fingerprint in self._resident

    def folder(self, name: str) -> Path:
        """Where the adapter lies. Raises as above."""
        return self._adapter(name).folder

    def get(self, name: str) -> LoraAdapter:
        """The adapter, ready to run, from memory or from disk. Raises as `fingerprint`."""
        adapter = self._adapter(name)
        with self._lock:
            weights = self._resident.get(adapter.fingerprint)
            if weights is None:
                weights = self._load(adapter)
                self._resident[adapter.fingerprint] = weights
            self._resident.move_to_end(adapter.fingerprint)
            while len(self._resident) > 1 and self._size() > self._resident_bytes:
                self._resident.popitem(last=False)
            return weights

    def _size(self) -> int:
        return sum(weights.nbytes for weights in self._resident.values())

    def unload(self, name: str) -> None:
        """Drop the adapter's weights from memory; requests that hold them are not touched."""
        with self._lock:
            self._resident.pop(self._adapter(name).fingerprint, None)

    def _adapter(self, name: str) -> CheckedAdapter:
        adapters = self._scan()
        if name not in adapters:
            if other := adapter_folders().get(name):  # of a base that is not loaded
                read_peft_config(other).require_base(self._base)
            offered = [n for n, one in adapters.items() if isinstance(one, CheckedAdapter)]
            raise UnknownName("adapter", name, offered)
        adapter = adapters[name]
        if isinstance(adapter, AdapterError):
            raise adapter
        return adapter

    def _scan(self) -> dict[str, CheckedAdapter | AdapterError]:
        with self._lock:
            folders = adapter_folders(self._folders)
            return {name: self._check_once(folder) for name, folder in folders.items()}

    def _check_once(self, folder: Path) -> CheckedAdapter | AdapterError:
        """The check's outcome, remembered until a file of the adapter changes."""
        files = (folder / name for name in SERVED_FILES)
        stamps = [file.stat().st_mtime_ns for file in files if file.is_file()]
        key = (folder, len(stamps), max(stamps, default=0))
        if key not in self._checked:
            try:
                self._checked[key] = self._check(folder)
            except AdapterError as error:
                self._checked[key] = error
            except OSError as error:  # it was taken away or cannot be read; maybe it can later
                return AdapterError(f"{folder.name} cannot be read: {error.strerror}.")
        return self._checked[key]

    def _check(self, folder: Path) -> CheckedAdapter:
        require_readable(folder)
        config = read_peft_config(folder)
        config.require_base(self._base)
        record = read_run_record(folder)
        return CheckedAdapter(
            folder=folder,
            scalings=config.scalings(self._check_layers(folder / ADAPTER_WEIGHTS, folder.name)),
            fingerprint=fingerprint_of(folder),
            scope=record.scope,
            task=record.trained_for,
            calibration=read_calibration(folder),
        )

    def _check_layers(self, file: Path, name: str) -> dict[str, int]:
        """The rank of each layer."""
        ranks: dict[str, dict[str, tuple[int, ...]]] = {}
        try:
            with safe_open(file, "pt") as stored:
                for key in stored.keys():  # noqa: SIM118  (not a dict)
                    match = _LAYER.fullmatch(key)
                    if not match:
                        raise AdapterError(f"{name}: {key} is not a LoRA weight.")
                    layer, side = match.groups()
                    ranks.setdefault(layer, {})[side] = tuple(stored.get_slice(key).get_shape())
                for layer, sides in ranks.items():
                    self._check_layer(name, layer, sides)
                for key in stored.keys():  # noqa: SIM118
                    if not stored.get_tensor(key).float().isfinite().all():
                        raise AdapterError(f"{name}: {key} holds numbers that are not finite.")
        except (SafetensorError, RuntimeError) as error:
            raise AdapterError(f"{name}: {file.name} is damaged ({error}).") from error
        if not ranks:
            raise AdapterError(f"{name}: {file.name} holds no weights.")
        return {layer: sides["A"][0] for layer, sides in ranks.items()}

    def _check_layer(self, name: str, layer: str, sides: dict[str, tuple[int, ...]]) -> None:
        down, up = sides.get("A", ()), sides.get("B", ())
        if self._shapes is not None and layer not in self._shapes:
            raise AdapterError(f"{name}: the base has no layer {layer}.")
        # Where nothing is known of the base, the two need only fit each other.
        out, width = self._shapes[layer] if self._shapes else (sum(up[:1]), sum(down[1:]))
        if len(down) != 2 or down[1] != width or up != (out, down[0]):
            raise AdapterError(
                f"{name}: {layer} has shapes A {down} and B {up}; the base needs (rank, {width}) "
                f"and ({out}, rank)."
            )
        if not 1 <= down[0] <= MAX_RANK:
            raise AdapterError(f"{name}: rank {down[0]} is not between 1 and {MAX_RANK}.")

    def _load(self, adapter: CheckedAdapter) -> LoraAdapter:
        raw: dict[str, dict[str, torch.Tensor]] = {}
        with safe_open(adapter.folder / ADAPTER_WEIGHTS, "pt") as stored:
            for key in stored.keys():  # noqa: SIM118
                match = _LAYER.fullmatch(key)
                assert match, "checked before"
                raw.setdefault(match.group(1), {})[match.group(2)] = stored.get_tensor(key).float()
        layers: LoraFactors = {}
        for layer, sides in raw.items():
            scaling = adapter.scalings[layer]
            layers[layer] = (sides["A"], sides["B"] * scaling)
            if not layers[layer][1].isfinite().all():
                raise AdapterError(
                    f"{adapter.folder.name}: {layer}, scaled by {scaling:g}, is not finite."
                )
        size = sum(t.numel() * t.element_size() for pair in layers.values() for t in pair)
        return LoraAdapter(self._prepare(layers), adapter.fingerprint, size)


def library_of(
    base: Base, folders: Sequence[Path] | None = None, resident_bytes: int | None = None
) -> AdapterLibrary:
    """The adapters of a base that is loaded.

    Args:
        base: what they are patched into.
        folders: those that ship and the person's own when None.
        resident_bytes: more on a GPU than elsewhere when None.
    """
    model = base.model
    if resident_bytes is None:
        resident_bytes = RESIDENT_BYTES_ON_GPU if model.device.type == "cuda" else RESIDENT_BYTES
    return AdapterLibrary(
        paths.adapter_dirs(base.name) if folders is None else folders,
        base.name,
        model.lora_shapes,
        model.prepare_lora,
        resident_bytes,
    )
