"""The adapter library: find, check, load, unload and fingerprint LoRA adapters on disk."""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex
import torch
from safetensors import SafetensorError, safe_open

from adapter_store.scope import Scope
from core import fingerprint, paths
from core.errors import AdapterError, UnknownName
from engine.base_model import Base
from engine.lora import LoraAdapter, LoraFactors

CONFIG, WEIGHTS, RECORD = "adapter_config.json", "adapter_model.safetensors", "run.json"
CALIBRATION = "calibration.json"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
MAX_RANK = 512
MAX_BYTES = 2**30
MAX_JSON = 2**20
PATTERN_SECONDS = 1.0  # to match all layers' names with patterns that someone else wrote
RESIDENT_BYTES = 2**28  # of adapters in memory
RESIDENT_BYTES_ON_GPU = 2**31  # one of rank 16 for a base of 4 billion weights takes 66 MB
# Keys of PEFT's LoraConfig that serving reads, and those that only training needs. Any other key
# may only be switched off: it would change what the adapter computes. (Not asked of PEFT itself:
# importing it takes five seconds of every start.)
SERVED = {"peft_type", "base_model_name_or_path", "r", "lora_alpha", "alpha_pattern", "use_rslora"}
TRAINING_ONLY = {
    "auto_mapping", "bias", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules",
    "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_dropout", "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size",
    "rank_pattern", "revision", "runtime_config", "target_modules", "task_type",
}  # fmt: skip
_LAYER = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")


@dataclass(frozen=True)
class Entry:
    """An adapter folder that passed the checks; `scalings` by layer."""

    folder: Path
    scalings: dict[str, float]
    fingerprint: str
    scope: Scope
    temperature: float


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
        self._checked: dict[tuple[Path, int, int], Entry | AdapterError] = {}
        self._resident: OrderedDict[str, LoraAdapter] = OrderedDict()

    def names(self) -> list[str]:
        """Ids that a request may carry, sorted."""
        return sorted(n for n, found in self._scan().items() if isinstance(found, Entry))

    def refused(self) -> dict[str, str]:
        """Id -> why the adapter is not offered."""
        return {
            n: str(found) for n, found in self._scan().items() if isinstance(found, AdapterError)
        }

    def fingerprint(self, name: str) -> str:
        """Hash of the adapter's config and weights.

        Raises:
            UnknownName: there is no such id.
            AdapterError: it was refused.
        """
        return self._entry(name).fingerprint

    def scope(self, name: str) -> Scope:
        """What its run record says it was trained for; without one, everything. Raises as above."""
        return self._entry(name).scope

    def temperature(self, name: str) -> float:
        """What label scores are divided by, from `calibration.json`; 1 without. Raises as above."""
        return self._entry(name).temperature

    def folder(self, name: str) -> Path:
        """Where the adapter lies. Raises as above."""
        return self._entry(name).folder

    def get(self, name: str) -> LoraAdapter:
        """The adapter, ready to run, from memory or from disk. Raises as `fingerprint`."""
        entry = self._entry(name)
        with self._lock:
            weights = self._resident.get(entry.fingerprint)
            if weights is None:
                weights = self._load(entry)
                self._resident[entry.fingerprint] = weights
            self._resident.move_to_end(entry.fingerprint)
            while len(self._resident) > 1 and self._size() > self._resident_bytes:
                self._resident.popitem(last=False)
            return weights

    def _size(self) -> int:
        return sum(weights.nbytes for weights in self._resident.values())

    def unload(self, name: str) -> None:
        """Drop the adapter's weights from memory; requests that hold them are not touched."""
        with self._lock:
            self._resident.pop(self._entry(name).fingerprint, None)

    def _entry(self, name: str) -> Entry:
        scanned = self._scan()
        if name not in scanned:
            known = [n for n, found in scanned.items() if isinstance(found, Entry)]
            raise UnknownName("adapter", name, known)
        found = scanned[name]
        if isinstance(found, AdapterError):
            raise found
        return found

    def _scan(self) -> dict[str, Entry | AdapterError]:
        found: dict[str, Entry | AdapterError] = {}
        with self._lock:
            for parent in self._folders:
                for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
                    if folder.is_dir() and not folder.name.startswith("."):
                        found[folder.name] = self._check_once(folder)
        return found

    def _check_once(self, folder: Path) -> Entry | AdapterError:
        """The check's outcome, remembered until a file of the adapter changes."""
        files = (folder / name for name in (CONFIG, WEIGHTS, RECORD, CALIBRATION))
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

    def _check(self, folder: Path) -> Entry:
        name = folder.name
        if not ID.fullmatch(name):
            raise AdapterError(f"{name!r} is not an adapter id: letters, digits, dot, dash only.")
        files = [folder / file for file in (CONFIG, WEIGHTS, RECORD, CALIBRATION)]
        for file in (folder, *files):
            if file.is_symlink():
                raise AdapterError(f"{name}: {file.name} is a link. Copy what it points to.")
        for file in files[:2]:
            if not file.is_file():
                raise AdapterError(f"{name}: {file.name} is missing; only safetensors are loaded.")
        if (folder / WEIGHTS).stat().st_size > MAX_BYTES:
            raise AdapterError(f"{name}: the weights are larger than {MAX_BYTES / 2**30:.0f} GiB.")
        config = _config(folder / CONFIG, name)
        if not _same_base(config.get("base_model_name_or_path"), self._base):
            raise AdapterError(
                f"{name} was trained on {config.get('base_model_name_or_path')!r}; "
                f"the base that is loaded is {self._base!r}."
            )
        scalings = _scalings(config, self._check_layers(folder / WEIGHTS, name), name)
        made = fingerprint.of_files([folder / CONFIG, folder / WEIGHTS])
        scope, heat = _scope(folder / RECORD, name), _temperature(folder / CALIBRATION, name)
        return Entry(folder, scalings, made, scope, heat)

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

    def _load(self, entry: Entry) -> LoraAdapter:
        raw: dict[str, dict[str, torch.Tensor]] = {}
        with safe_open(entry.folder / WEIGHTS, "pt") as stored:
            for key in stored.keys():  # noqa: SIM118
                match = _LAYER.fullmatch(key)
                assert match, "checked before"
                raw.setdefault(match.group(1), {})[match.group(2)] = stored.get_tensor(key).float()
        layers: LoraFactors = {}
        for layer, sides in raw.items():
            scaling = entry.scalings[layer]
            layers[layer] = (sides["A"], sides["B"] * scaling)
            if not layers[layer][1].isfinite().all():
                raise AdapterError(
                    f"{entry.folder.name}: {layer}, scaled by {scaling:g}, is not finite."
                )
        size = sum(t.numel() * t.element_size() for pair in layers.values() for t in pair)
        return LoraAdapter(self._prepare(layers), entry.fingerprint, size)


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
        paths.adapter_dirs() if folders is None else folders,
        base.name,
        model.lora_shapes,
        model.prepare_lora,
        resident_bytes,
    )


def _json(file: Path, name: str) -> Any:
    if file.stat().st_size > MAX_JSON:
        raise AdapterError(f"{name}: {file.name} is larger than {MAX_JSON / 2**20:.0f} MiB.")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{name}: {file.name} is not JSON ({error}).") from error


def _config(file: Path, name: str) -> dict[str, Any]:
    config = _json(file, name)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise AdapterError(f"{name}: {file.name} does not describe a LoRA adapter.")
    used = sorted(k for k, value in config.items() if value and k not in SERVED | TRAINING_ONLY)
    if config.get("bias", "none") != "none":
        used.append("bias")
    if used:
        raise AdapterError(f"{name} uses {', '.join(used)}, which this engine cannot serve.")
    if not isinstance(config.get("r"), int) or not _is_number(config.get("lora_alpha")):
        raise AdapterError(f"{name}: {file.name} needs the numbers r and lora_alpha.")
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or not all(map(_is_number, patterns.values())):
        raise AdapterError(f"{name}: {file.name}: alpha_pattern gives no numbers to layers.")
    return config


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < sys.float_info.max


def _scope(file: Path, name: str) -> Scope:
    if not file.is_file():
        return Scope()
    try:
        return Scope(**_json(file, name).get("scope", {}))
    except (ValueError, AttributeError, TypeError) as error:
        raise AdapterError(f"{name}: {file.name} is not a run record ({error}).") from error


def _temperature(file: Path, name: str) -> float:
    if not file.is_file():
        return 1.0
    try:
        heat = float(_json(file, name)["temperature"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise AdapterError(f"{name}: {file.name} holds no temperature ({error!r}).") from error
    if not (math.isfinite(heat) and heat > 0):
        raise AdapterError(f"{name}: {file.name}: the temperature is above 0, not {heat}.")
    return heat


def _scalings(config: dict[str, Any], ranks: dict[str, int], name: str) -> dict[str, float]:
    """alpha / rank, or alpha / sqrt(rank) with rsLoRA; alpha may differ by layer."""
    patterns: dict[str, float] = config.get("alpha_pattern") or {}
    until = time.monotonic() + PATTERN_SECONDS

    def matches(pattern: str, layer: str) -> bool:
        left = max(until - time.monotonic(), 1e-6)
        return regex.match(rf"(.*\.)?({pattern})$", layer, timeout=left) is not None

    def alpha(layer: str) -> float:
        fitting = (value for key, value in patterns.items() if matches(key, layer))
        return next(fitting, config["lora_alpha"])

    try:
        return {
            layer: float(alpha(layer)) / (math.sqrt(rank) if config.get("use_rslora") else rank)
            for layer, rank in ranks.items()
        }
    except (regex.error, TimeoutError) as error:
        raise AdapterError(f"{name}: alpha_pattern cannot be matched ({error}).") from error


def _same_base(named: Any, loaded: str) -> bool:
    """Compare hub ids; of a local folder only the last part can be compared."""
    if not isinstance(named, str):
        return False
    return named == loaded or Path(named).name.lower() == Path(loaded).name.lower()
