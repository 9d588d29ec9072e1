"""How alike two sequences of KCs are, for many pairs at once."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places

Floats = NDArray[np.float64]


def jaccard(kcs: Ints, start: Places, true_kcs: Ints, true_start: Places) -> Floats:
    """Return the share of KCs in both sequences among those in either; order and repeats do not count.

    Two empty sequences have 1. The published "accuracy" is the mean of this number.

    Parameters
    ----------
    kcs, start
        Sequences side by side; the ``i``-th is ``kcs[start[i]:start[i + 1]]``. Shapes ``(length,)`` and
        ``(n + 1,)``.
    true_kcs, true_start
        The sequences to compare with, as many.

    Returns
    -------
    ndarray
        In [0, 1]. Shape ``(n,)``.
    """
    found: Floats = _jaccard(kcs, start, true_kcs, true_start)
    return found


def edit_similarity(kcs: Ints, start: Places, true_kcs: Ints, true_start: Places) -> Floats:
    """Return 1 minus Levenshtein's distance over the longer length; 1 for two empty sequences.

    Parameters and shapes as in :func:`jaccard`.
    """
    distance = _levenshtein(kcs, start, true_kcs, true_start)
    longest = np.maximum(np.diff(start), np.diff(true_start))
    found: Floats = 1 - distance / np.maximum(longest, 1)
    return found


def lcs_f1(kcs: Ints, start: Places, true_kcs: Ints, true_start: Places) -> Floats:
    """Return twice the longest common subsequence over both lengths; 1 for two empty sequences.

    This is the harmonic mean of its share of either sequence. Parameters and shapes as in :func:`jaccard`.
    """
    common = _common_subsequence(kcs, start, true_kcs, true_start)
    total = np.diff(start) + np.diff(true_start)
    found: Floats = np.where(total > 0, 2 * common / np.maximum(total, 1), 1.0)
    return found


@njit(cache=True)
def _jaccard(kcs: Ints, start: Places, true_kcs: Ints, true_start: Places) -> Floats:
    found = np.ones(len(start) - 1)
    for place in range(len(start) - 1):
        said = np.unique(kcs[start[place] : start[place + 1]])
        true = np.unique(true_kcs[true_start[place] : true_start[place + 1]])
        both = 0
        left, right = 0, 0
        while left < len(said) and right < len(true):
            if said[left] == true[right]:
                both += 1
                left += 1
                right += 1
            elif said[left] < true[right]:
                left += 1
            else:
                right += 1
        either = len(said) + len(true) - both
        if either:
            found[place] = both / either
    return found


@njit(cache=True)
def _levenshtein(kcs: Ints, start: Places, true_kcs: Ints, true_start: Places) -> Floats:
    found = np.zeros(len(start) - 1)
    for place in range(len(start) - 1):
        said = kcs[start[place] : start[place + 1]]
        true = true_kcs[true_start[place] : true_start[place + 1]]
        above = np.arange(len(true) + 1)
        for row in range(len(said)):
            corner = above[0]
            above[0] = row + 1
            for column in range(len(true)):
                best = corner + (said[row] != true[column])
                corner = above[column + 1]
                above[column + 1] = min(best, corner + 1, above[column] + 1)
        found[place] = above[len(true)]
    return found


@njit(cache=True)
def _common_subsequence(kcs: Ints, start: Places, true_kcs: Ints, true_start: Places) -> Floats:
    found = np.zeros(len(start) - 1)
    for place in range(len(start) - 1):
        said = kcs[start[place] : start[place + 1]]
        true = true_kcs[true_start[place] : true_start[place + 1]]
        above = np.zeros(len(true) + 1, dtype=np.int64)
        for row in range(len(said)):
            corner = 0
            for column in range(len(true)):
                best = corner + 1 if said[row] == true[column] else max(above[column + 1], above[column])
                corner = above[column + 1]
                above[column + 1] = best
        found[place] = above[len(true)]
    return found
