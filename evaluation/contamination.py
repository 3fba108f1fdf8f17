"""Judged rows that occur, exactly or nearly, in what an adapter was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import regex
import yaml
from datasketch import MinHash, MinHashLSH

from core import fingerprint, paths
from core.errors import InputError, UnknownName
from evaluation import figures
from evaluation.intervals import Statistic
from evaluation.record import Contamination, Outcome
from evaluation.rows import layout
from tasks.rows import read
from tasks.spec import TaskSpec

SHINGLE, HAN_SHINGLE = 5, 2  # characters; a Han character says as much as two or three letters
ALIKE = 0.8  # Jaccard similarity of shingles from which two texts are nearly the same
CANDIDATE = 0.5  # and from which MinHash, which only estimates it, lets them be compared
PERMUTATIONS = 64
HAN = regex.compile(r"\p{Han}")


class Training:
    """The texts of training files, ready to be looked into."""

    def __init__(self, texts: Iterable[str], files: dict[str, str]) -> None:
        """`files` is name -> SHA-256, for the record."""
        self._files = files
        self._texts = list({key(text) for text in texts} - {""})
        self._exact = set(self._texts)
        self._near = MinHashLSH(threshold=CANDIDATE, num_perm=PERMUTATIONS)
        shingled = [shingles(text) for text in self._texts]
        for i, made in enumerate(_sketches(shingled)):
            self._near.insert(i, made)

    @classmethod
    def of(cls, files: Sequence[Path], columns: dict[str, str], task: TaskSpec) -> Training:
        """Read training files laid out as the judged one is.

        Raises:
            InputError: a file cannot be read.
        """
        texts: list[str] = []
        hashes = {}
        for file in files:
            for row in read(file, layout(columns, task), task).rows:
                texts += [row.text] if task.kind == "choose" else [row.text, row.answer]
            hashes[f"{file.absolute().parent.name}/{file.name}"] = fingerprint.sha256_file(file)
        return cls(texts, hashes)

    def find(self, texts: Sequence[str]) -> list[str]:
        """For each text `exact`, `near` or an empty string.

        Candidates come from MinHash (Broder 1997) and are then compared shingle by shingle.
        """
        keys = [key(text) for text in texts]
        shingled = [shingles(text) for text in keys]
        found = []
        for own, parts, sketch in zip(keys, shingled, _sketches(shingled), strict=True):
            if own in self._exact:
                found.append("exact")
            elif any(self._alike(parts, i) for i in self._near.query(sketch)):
                found.append("near")
            else:
                found.append("")
        return found

    def found_in(self, outcomes: Sequence[Outcome], primary: Statistic, seed: int) -> Contamination:
        """Which judged rows occur here, and the primary figure without them."""
        found = self.find([outcome.text for outcome in outcomes])
        clean = [i for i, how in enumerate(found) if not how]
        lines = {
            how: [o.line for o, what in zip(outcomes, found, strict=True) if what == how]
            for how in ("exact", "near")
        }
        without = figures.figure(primary.of(clean), seed) if clean else None
        return Contamination(files=self._files, **lines, without=without)

    def _alike(self, parts: set[bytes], place: int) -> bool:
        other = shingles(self._texts[place])
        return len(parts & other) / len(parts | other) >= ALIKE


def key(text: str) -> str:
    """The text without case, spacing and punctuation."""
    return str(regex.sub(r"[\W_]+", "", text.casefold()))


def shingles(plain: str) -> set[bytes]:
    """Every run of five characters, of two where most are Han; of a shorter text, the text."""
    size = HAN_SHINGLE if 2 * len(HAN.findall(plain)) > len(plain) else SHINGLE
    return {plain[i : i + size].encode() for i in range(max(1, len(plain) - size + 1))}


def _sketches(shingled: Iterable[set[bytes]]) -> Iterable[MinHash]:
    sketches: Iterable[MinHash] = MinHash.generator(shingled, num_perm=PERMUTATIONS, seed=1)
    return sketches


def refuse_training_file(adapter: str, file: Path) -> None:
    """See that an adapter was not trained on the very file it is to be judged on.

    Its run record names the files it read by SHA-256; its recipe says which of them only served
    to validate.

    Raises:
        UnknownName: there is no such adapter folder.
        InputError: the file is among those trained on.
    """
    folder = adapter_folder(adapter)
    sha256 = fingerprint.sha256_file(file)
    names = {name for name, found in trained_on(folder).items() if sha256 in found}
    if names:
        raise InputError(
            f"{file.name} is a file that {adapter} was trained on ({', '.join(sorted(names))} in "
            "its run record): the figures would flatter it. Name rows that it has not seen."
        )


def adapter_folder(name: str) -> Path:
    """Where the adapter is; the last of several, as the library has it.

    Raises:
        UnknownName: with near matches.
    """
    parents = [parent for parent in paths.adapter_dirs() if parent.is_dir()]
    known = {
        folder.name: folder
        for parent in parents
        for folder in sorted(parent.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    }
    if name not in known:
        raise UnknownName("adapter", name, [*known, "base"])
    return known[name]


def trained_on(folder: Path) -> dict[str, set[str]]:
    """File name -> SHA-256 of the training files in an adapter's run record; empty without one.

    Files that the recipe names for validation only are left out. What the adapter was started from
    counts like its own.
    """
    found: dict[str, set[str]] = {}
    for part, source in _pairs(run_record(folder), _values(folder / "recipe.yaml")):
        validation, own = (Path(source.get(k) or "").name for k in ("validation", "path"))
        for name, sha256 in part.get("sha256", {}).items():
            if name != validation or name == own:
                found.setdefault(name, set()).add(sha256)
    return found


def _pairs(
    record: dict[str, Any], recipe: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each data set as the record has it, and as the recipe has it."""
    yield from zip_longest(_data_sets(record), _data_sets(recipe), fillvalue={})
    if before := record.get("start"):
        yield from _pairs(before, before["recipe"])


def run_record(folder: Path) -> dict[str, Any]:
    """What an adapter's training wrote down; empty where nothing can be read."""
    return _values(folder / "run.json")


def _values(file: Path) -> dict[str, Any]:
    """A run record or a recipe; empty where it cannot be read."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML too
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _data_sets(values: dict[str, Any]) -> list[dict[str, Any]]:
    data = values.get("data")
    return [part for part in data if isinstance(part, dict)] if isinstance(data, list) else []
