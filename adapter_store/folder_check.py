"""Whether an adapter's folder may be read at all, before anything in it is."""

from __future__ import annotations

from pathlib import Path

from adapter_store.discovery import is_adapter_id
from adapter_store.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CALIBRATION, RUN_RECORD
from core.errors import AdapterError

SERVED_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, RUN_RECORD, CALIBRATION)  # what serving reads
MAX_WEIGHT_BYTES = 2**30


def require_readable(folder: Path) -> None:
    """See that the folder's name is an id, that nothing is a link, and that no weights are missing.

    Raises:
        AdapterError: something is wrong; the message says what.
        OSError: the folder cannot be read.
    """
    name = folder.name
    if not is_adapter_id(name):
        raise AdapterError(f"{name!r} is not an adapter id: letters, digits, dot, dash only.")
    for file in (folder, *(folder / served for served in SERVED_FILES)):
        if file.is_symlink():
            raise AdapterError(f"{name}: {file.name} is a link. Copy what it points to.")
    for needed in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / needed).is_file():
            raise AdapterError(f"{name}: {needed} is missing; only safetensors are loaded.")
    if (folder / ADAPTER_WEIGHTS).stat().st_size > MAX_WEIGHT_BYTES:
        raise AdapterError(
            f"{name}: the weights are larger than {MAX_WEIGHT_BYTES / 2**30:.0f} GiB."
        )
