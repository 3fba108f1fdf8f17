"""Short hashes that say exactly which weights, task and decoding made an answer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

HEX_DIGITS = 12  # of a SHA-256: 48 bits, plenty to tell a person's files apart


def of_bytes(data: bytes) -> str:
    """Fingerprint of bytes: the first 12 hex digits of their SHA-256."""
    return hashlib.sha256(data).hexdigest()[:HEX_DIGITS]


def of_value(value: Any) -> str:
    """Fingerprint of a JSON-able value, independent of key order."""
    return of_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def sha256_file(path: Path) -> str:
    """The full SHA-256 of a file, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(paths: list[Path]) -> str:
    """Fingerprint of several files' names and contents."""
    return of_value({path.name: sha256_file(path) for path in paths})
