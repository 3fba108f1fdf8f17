"""The vectors of words that a training from nothing begins with: the starter base's own.

Its tokens are words in many languages, and words that mean alike have vectors that are alike. How
they are projected to the network's width is learnt; the table is frozen (Pennington et al. 2014
did so with GloVe's). `python -m agent.planning.word_vectors` chooses the words anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import regex
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from agent.planning import words
from agent.planning.features import SIMPLIFIED
from agent.planning.network import EMBEDDING
from core.terminal import aside, run
from engine import starter_store
from engine.starter import STARTERS, Starter

BASE = "starter"
LATIN, LATIN_WORDS = regex.compile(r"\p{Latin}{2,18}"), 75_000  # the commonest
WIDE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]{1,2}")
SPACE = "▁"  # begins a token that begins a word
COMPONENTS = 256  # principal ones that are kept: two thirds of the variance
SCALE, DROPOUT = 0.5, 0.1  # of the projection: deviation at the start, share of components hidden
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class ProjectedWords(nn.Module):
    """The frozen table with the projection that is being learnt.

    Args:
        table: (words, components) float32, see `table`.
    """

    def __init__(self, table: NDArray[np.float32]) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag.from_pretrained(torch.from_numpy(table), mode="mean")
        self.project = nn.Linear(table.shape[1], EMBEDDING, bias=False)
        nn.init.normal_(self.project.weight, std=SCALE * table.shape[1] ** -0.5)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, rows: Tensor, offsets: Tensor) -> Tensor:
        """(tokens, EMBEDDING), zeros for a token without rows."""
        out: Tensor = self.project(self.dropout(self.table(rows, offsets)))
        return out

    @torch.no_grad()
    def projected(self) -> nn.EmbeddingBag:
        """The same as one table of (words, EMBEDDING), for a network that is ready."""
        return nn.EmbeddingBag.from_pretrained(self.project(self.table.weight), mode="mean")


def table() -> NDArray[np.float32]:
    """(words, COMPONENTS) of every word in `words.txt`, in its order, each of the same length.

    Raises:
        SetupError: the starter base is not there, see `starter_store.prepare`.
    """
    tokens, vectors = _base(STARTERS[BASE])
    found = np.stack([vectors[tokens[word]].mean(0) for word in words.vocabulary()])
    found -= found.mean(0)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    _, _, components = np.linalg.svd(found[::2], full_matrices=False)
    kept = found @ components[:COMPONENTS].T
    scaled: NDArray[np.float32] = kept * (
        COMPONENTS**0.5 / np.linalg.norm(kept, axis=1, keepdims=True)
    )
    return scaled.astype(np.float32)


def _base(starter: Starter) -> tuple[dict[str, list[int]], NDArray[np.float32]]:
    """Words with the tokens that they are, the commonest first, and the tokens' vectors."""
    from transformers import AutoTokenizer

    folder = starter_store.prepare(starter)
    numbers: dict[str, int] = AutoTokenizer.from_pretrained(folder).get_vocab()
    model: Any = starter_store.load_model(starter, folder, torch.float32)
    found: dict[str, list[int]] = {}
    for token, number in sorted(numbers.items(), key=lambda item: item[1]):
        if WIDE.fullmatch(token):
            found.setdefault(token.translate(SIMPLIFIED), []).append(number)
        elif token.startswith(SPACE) and LATIN.fullmatch(token[1:]):
            found.setdefault(token[1:].casefold(), []).append(number)
    vectors: NDArray[np.float32] = model.get_input_embeddings().weight.detach().numpy()
    return found, vectors


@app.command()
def choose() -> None:
    """Write the words that the starter base has a token for. Train from nothing afterwards."""
    found, _ = _base(STARTERS[BASE])
    latin = [word for word in found if not WIDE.fullmatch(word)][:LATIN_WORDS]
    chosen = latin + [word for word in found if WIDE.fullmatch(word)]
    words.FILE.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    aside(f"{words.FILE}: {len(chosen):,} words")


if __name__ == "__main__":
    run(app)
