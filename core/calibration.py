"""Expected calibration error: how far stated probabilities are from the share that is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 10


def bin_of(confidence: NDArray) -> NDArray[np.int64]:
    """Which of ten equal bins each confidence, 0 to 1, falls into.

    Bin i holds (i/10, (i+1)/10], as Guo et al. have it; 0 falls into the first.
    """
    placed: NDArray[np.int64] = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return placed


def bin_sums(confidence: NDArray, right: NDArray) -> NDArray[np.float64]:
    """(rows, 20): in its bin, each row's confidence minus whether it is right, and a count of 1.

    Args:
        confidence: (rows,) from 0 to 1.
        right: (rows,) true or false.
    """
    bins = np.eye(BINS)[bin_of(confidence)]
    return np.hstack([bins * (confidence - right)[:, None], bins])


def error_of(sums: NDArray) -> NDArray[np.float64]:
    """(n, 20) sums over rows of `bin_sums` -> (n,) expected calibration errors, 0 to 1."""
    gaps: NDArray[np.float64] = np.abs(sums[:, :BINS]).sum(axis=1) / sums[:, BINS:].sum(axis=1)
    return gaps


def calibration_error(confidence: NDArray, right: NDArray) -> float:
    """Expected calibration error, 0 to 1 (Guo et al. 2017, arXiv 1706.04599).

    The mean over rows of |share right - mean confidence| of the bin that the row falls into.
    Arguments as `bin_sums`.
    """
    return float(error_of(bin_sums(confidence, right).sum(axis=0, keepdims=True))[0])
