"""Under which licence an adapter may be passed on: what its base and its data ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adapter_store.run_record import DataSetRecord, RunRecord, StartRecord
from core import paths
from engine.starter import starter_named

UNSTATED = re.compile(r"\b(not|none|un)[ -]?(stated|known)\b|^\W*$", re.IGNORECASE)
# The hub's identifiers (hf.co/docs/hub/repositories-licenses) by what people write.
IDENTIFIERS = {
    r"apache(?: licen[cs]e)?(?: version)?[ ,-]*2\.0": "apache-2.0",
    r"\bmit\b": "mit",
    r"\bcc0\b": "cc0-1.0",
    r"public domain": "public-domain",
    r"\bcc[ -]by((?:[ -](?:sa|nc|nd))*)[ -](\d\.\d)": r"cc-by\1-\2",
}
FREE = {"cc0-1.0", "public-domain"}  # ask for nothing
SEVERAL = {"license": "other", "license_name": "of-its-base-and-data", "license_link": "README.md"}


def all_data(record: RunRecord | StartRecord) -> Iterator[DataSetRecord]:
    """The data of a training, and of those that it went on from."""
    yield from record.data
    if record.start:
        yield from all_data(record.start)


def without_licence(record: RunRecord) -> list[str]:
    """The data sets that state none."""
    return [one.name for one in all_data(record) if UNSTATED.search(one.licence)]


def card_fields(record: RunRecord) -> dict[str, str]:
    """`license` of a card, and `license_name` and `license_link` where it is no single one.

    A base whose terms restrict use passes them on whatever the data ask for beside them; what that
    is stands in the card's list of data. Of a base that is not ours the licence is not known here.
    """
    if without_licence(record) or not record.data:
        return {"license": "unknown"}
    starter = starter_named(record.base)
    if starter is None:
        return SEVERAL
    if starter.terms:
        return {"license": starter.licence}
    wanted = {starter.licence}.union(*(_identifiers(one.licence) for one in all_data(record)))
    return {"license": wanted.pop()} if len(wanted) == 1 else SEVERAL


def terms(base: str) -> dict[str, bytes | Path]:
    """The files that have to go along with what is made of a base, by name."""
    starter = starter_named(base)
    if starter is None or not starter.terms:
        return {}
    copies = sorted((paths.REPOSITORY / "adapters" / paths.base_folder(base)).glob("*.txt"))
    notice: dict[str, bytes | Path] = {"NOTICE": f"{starter.notice}\n".encode()}
    return notice | {file.name: file for file in copies}


def _identifiers(licence: str) -> set[str]:
    """The hub's names of what a licence asks for; `other` where it is none that is known."""
    found = {
        re.sub(r"[ -]+", "-", match.expand(name).lower())
        for pattern, name in IDENTIFIERS.items()
        for match in re.finditer(pattern, licence, re.IGNORECASE)
    }
    return (found or {"other"}) - FREE
