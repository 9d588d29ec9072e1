"""Plain generators that any other should beat: blocks of real windows, and a normal law."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edpipe.evaluation.synthesis.real_windows import UnitWindows

Floats = NDArray[np.float64]


def block_bootstrap(
    real: UnitWindows, num_windows: int, *, block_length: int, random: np.random.Generator
) -> Floats:
    """Put windows together from blocks of real windows of the same phase of the season.

    Each block stands where it stood in the window it comes from. It leaks by design: every block is real.

    Parameters
    ----------
    real
        Windows to take blocks from.
    num_windows
        How many to make.
    block_length
        Steps of a block, at least 1; whole seasons keep the season whole.
    random
        Source of the draws.

    Returns
    -------
    numpy.ndarray
        Shape ``(num_windows, length)``.

    Raises
    ------
    ValueError
        If the block length is below 1.
    """
    if block_length < 1:
        raise ValueError(f"block_length must be at least 1; got {block_length}.")
    first = random.integers(0, len(real.values), num_windows)
    found = real.values[first].copy()
    # Windows of one phase lie together in this order, so that a draw among them is one number.
    order = np.argsort(real.phases, kind="stable")
    ranked = real.phases[order]
    low = np.searchsorted(ranked, real.phases[first], side="left")
    high = np.searchsorted(ranked, real.phases[first], side="right")
    for begin in range(block_length, found.shape[1], block_length):
        drawn = order[random.integers(low, high)]
        found[:, begin : begin + block_length] = real.values[drawn, begin : begin + block_length]
    return found


def gaussian(windows: Floats, num_windows: int, *, random: np.random.Generator) -> Floats:
    """Draw windows from the normal law with the mean and covariance of real ones.

    It knows two moments and no window, so it can copy none: a control for what looks like leakage. A linear
    forecaster learns from it what it learns from the real windows.

    Parameters
    ----------
    windows
        Real windows. Shape ``(num_real, length)``, at least 2.
    num_windows
        How many to draw.
    random
        Source of the draws.

    Returns
    -------
    numpy.ndarray
        Shape ``(num_windows, length)``.
    """
    mean = windows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(windows, rowvar=False))
    spread = np.sqrt(np.maximum(values, 0.0))
    noise = random.normal(size=(num_windows, len(values)))
    return np.asarray(mean + (noise * spread) @ vectors.T)
