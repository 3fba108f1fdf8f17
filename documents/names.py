"""The name of a file as it may be shown: it comes from a stranger and leads nowhere."""

from __future__ import annotations

import unicodedata

MAX_NAME = 120  # characters


def shown_name(name: str) -> str:
    """The last part of a path, without controls or marks that turn the direction of writing.

    A name that is too long loses its middle, so that its ending stays.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    seen = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip()
    if len(seen) > MAX_NAME:
        seen = f"{seen[: MAX_NAME - 20]}…{seen[-19:]}"
    return seen if seen.strip(".") else "file"
