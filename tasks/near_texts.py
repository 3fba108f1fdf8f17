"""Texts that are the same, or nearly: found among many by MinHash, then compared in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.errors import SetupError
from tasks import languages
from tasks.rows import duplicate_key

if TYPE_CHECKING:
    from datasketch import MinHash

SHINGLE, HAN_SHINGLE = 5, 2  # characters; a Han character says as much as two or three letters
NEAR_SIMILARITY = 0.8  # Jaccard similarity of shingles from which two texts are nearly the same
CANDIDATE_SIMILARITY = 0.5  # and from which MinHash, which only estimates it, lets them be compared
PERMUTATIONS = 64


@dataclass(frozen=True)
class NearText:
    """A known text that another is like: its place among them, and how it is like it."""

    kind: Literal["exact", "near"]
    place: int


class NearTexts:
    """Known texts, ready to be looked into, and to be added to.

    Candidates come from MinHash (Broder 1997) and are then compared shingle by shingle.
    """

    def __init__(self, texts: Iterable[str] = (), similarity: float = NEAR_SIMILARITY) -> None:
        """`similarity` is the Jaccard similarity, 0 to 1, from which two texts are near.

        Raises:
            SetupError: the extra `evaluation` is not installed.
        """
        try:
            from datasketch import MinHashLSH
        except ImportError as error:
            raise SetupError(
                "Looking for texts that are nearly the same needs datasketch: install the extra "
                "`evaluation`."
            ) from error
        self._similarity = similarity
        self._near = MinHashLSH(threshold=CANDIDATE_SIMILARITY, num_perm=PERMUTATIONS)
        self._places: dict[str, int] = {}  # key -> the first text with it
        self._shingles: dict[int, set[bytes]] = {}
        self._count = 0
        self.add(texts)

    def add(self, texts: Iterable[str]) -> None:
        """Take more texts in, in their order; one without a letter or digit is like none."""
        new: dict[int, str] = {}
        for text in texts:
            key = duplicate_key(text)
            if key and key not in self._places:
                self._places[key] = self._count
                new[self._count] = key
            self._count += 1
        parts = {place: shingles(key) for place, key in new.items()}
        for place, sketch in zip(parts, _sketches(parts.values()), strict=True):
            self._near.insert(place, sketch)
        self._shingles |= parts

    def find(self, texts: Sequence[str]) -> list[NearText | None]:
        """For each text the first known one that is the same, or else the one it is most like."""
        keys = [duplicate_key(text) for text in texts]
        shingled = [shingles(key) for key in keys]
        found: list[NearText | None] = []
        for key, parts, sketch in zip(keys, shingled, _sketches(shingled), strict=True):
            if key in self._places:
                found.append(NearText("exact", self._places[key]))
                continue
            near = {place: self._alike(parts, place) for place in self._near.query(sketch)}
            best = max(sorted(near), key=near.__getitem__, default=None)
            fits = best is not None and near[best] >= self._similarity
            found.append(NearText("near", best) if fits and best is not None else None)
        return found

    def _alike(self, parts: set[bytes], place: int) -> float:
        other = self._shingles[place]
        return len(parts & other) / len(parts | other)


def shingles(plain: str) -> set[bytes]:
    """Every run of five characters, of two where most are Han; of a shorter text, the text."""
    size = HAN_SHINGLE if 2 * len(languages.HAN.findall(plain)) > len(plain) else SHINGLE
    return {plain[i : i + size].encode() for i in range(max(1, len(plain) - size + 1))}


def _sketches(shingled: Iterable[set[bytes]]) -> Iterable[MinHash]:
    from datasketch import MinHash

    sketches: Iterable[MinHash] = MinHash.generator(shingled, num_perm=PERMUTATIONS, seed=1)
    return sketches
