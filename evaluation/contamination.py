"""Judged rows that occur, exactly or nearly, in what an adapter was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from adapter_store.discovery import find_adapter
from adapter_store.files import RECIPE_FILE
from adapter_store.run_record import DataSetRecord, RunRecord, StartRecord, read_run_record
from core import fingerprint
from core.errors import AdapterError, InputError
from evaluation import figures
from evaluation.intervals import Statistic
from evaluation.record import Contamination, Outcome
from tasks.near_texts import NearTexts
from tasks.rows import layout_of, read
from tasks.spec import TaskSpec


class TrainingTexts:
    """The texts of training files, ready to be looked into."""

    def __init__(self, texts: Iterable[str], files: dict[str, str]) -> None:
        """`files` is name -> SHA-256, for the record."""
        self._files = files
        self._texts = NearTexts(texts)

    @classmethod
    def of(cls, files: Sequence[Path], columns: dict[str, str], task: TaskSpec) -> TrainingTexts:
        """Read training files laid out as the judged one is.

        Raises:
            InputError: a file cannot be read.
        """
        texts: list[str] = []
        hashes = {}
        for file in files:
            for row in read(file, layout_of(columns, task), task).rows:
                texts += [row.text] if task.kind == "choose" else [row.text, row.answer]
            hashes[f"{file.absolute().parent.name}/{file.name}"] = fingerprint.sha256_file(file)
        return cls(texts, hashes)

    def find(self, texts: Sequence[str]) -> list[str]:
        """For each text `exact`, `near` or an empty string."""
        return [found.kind if found else "" for found in self._texts.find(texts)]

    def contamination_of(
        self, outcomes: Sequence[Outcome], primary: Statistic, seed: int
    ) -> Contamination:
        """Which judged rows occur here, and the primary figure without them."""
        kinds = self.find([outcome.text for outcome in outcomes])
        clean = [i for i, kind in enumerate(kinds) if not kind]
        lines = {
            kind: [o.line for o, own_kind in zip(outcomes, kinds, strict=True) if own_kind == kind]
            for kind in ("exact", "near")
        }
        without = figures.figure(primary.of(clean), seed) if clean else None
        return Contamination(files=self._files, **lines, without=without)


def refuse_training_file(adapter: str, file: Path) -> None:
    """See that an adapter was not trained on the very file it is to be judged on.

    Its run record names the files it read by SHA-256; its recipe says which of them only served
    to validate.

    Raises:
        UnknownName: there is no such adapter folder.
        InputError: the file is among those trained on.
    """
    folder = find_adapter(adapter)
    sha256 = fingerprint.sha256_file(file)
    names = {name for name, hashes in trained_on(folder).items() if sha256 in hashes}
    if names:
        raise InputError(
            f"{file.name} is a file that {adapter} was trained on ({', '.join(sorted(names))} in "
            "its run record): the figures would flatter it. Name rows that it has not seen."
        )


def trained_on(folder: Path) -> dict[str, set[str]]:
    """File name -> SHA-256 of the training files in an adapter's run record; empty without one.

    Files that the recipe names for validation only are left out. What the adapter was started from
    counts like its own.
    """
    files: dict[str, set[str]] = {}
    for data_set, source in data_sets(run_record_or_empty(folder), recipe_or_empty(folder)):
        validation, own = (Path(source.get(k) or "").name for k in ("validation", "path"))
        for name, sha256 in data_set.sha256.items():
            if name != validation or name == own:
                files.setdefault(name, set()).add(sha256)
    return files


def data_sets(
    record: RunRecord | StartRecord, recipe: Mapping[str, Any]
) -> Iterator[tuple[DataSetRecord, dict[str, Any]]]:
    """Each data set as an adapter's record has it, and as its recipe has it.

    Those of what it was started from follow its own; `{}` where the recipe names none.
    """
    listed = recipe.get("data")
    sources = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    for data_set, source in zip_longest(record.data, sources):
        yield data_set or DataSetRecord(), source or {}
    if record.start:
        yield from data_sets(record.start, record.start.recipe)


def run_record_or_empty(folder: Path) -> RunRecord:
    """An adapter's run record; an empty one where it cannot be read."""
    try:
        return read_run_record(folder)
    except (OSError, AdapterError):
        return RunRecord()


def recipe_or_empty(folder: Path) -> dict[str, Any]:
    """An adapter's recipe; empty where it cannot be read."""
    try:
        values = yaml.safe_load((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}
