"""What ends a training early, as a sentence with the cause and what to change."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from core.errors import PatchbayError
from finetune.recipe import Recipe
from finetune.record import RunFolder


class TrainingError(PatchbayError):
    """The training ended early; the message says why and what to change."""


@contextmanager
def explained_errors(run_folder: RunFolder, recipe: Recipe) -> Iterator[None]:
    """Turn what ends a training into a sentence with the cause and what to change."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingError(
            f"There was not enough memory. Use a smaller batch (it is {recipe.batch}) or "
            f"max_tokens (it is {recipe.max_tokens}), or quantization=nf4 on a GPU."
        ) from error
    except RuntimeError as error:
        if "memory" in str(error).lower():
            raise TrainingError(
                f"There was not enough memory. Use a smaller batch (it is {recipe.batch}) or "
                f"max_tokens (it is {recipe.max_tokens})."
            ) from error
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TrainingError(
                f"The disk that holds {run_folder.folder.parent} is full. Free some space, or set "
                "PATCHBAY_HOME to a folder on another disk, then go on with --resume."
            ) from error
        raise
