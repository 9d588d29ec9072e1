# SPDX-License-Identifier: Apache-2.0
"""Area under the ROC curve from counts, so that memory stays constant and devices can add up."""

from __future__ import annotations

import torch
from torch import Tensor

NUM_BINS = 8192


def count_scores(probabilities: Tensor, correct: Tensor) -> Tensor:
    """Count right and wrong answers by predicted probability.

    Parameters
    ----------
    probabilities
        In [0, 1]. Any shape.
    correct
        1 for right, 0 for wrong. Same shape.

    Returns
    -------
    Tensor
        Row 0 wrong, row 1 right answers in each of 8,192 bins. Shape ``(2, 8192)``, float64.
    """
    bins = (probabilities.detach().reshape(-1).double() * NUM_BINS).long().clamp(0, NUM_BINS - 1)
    index = bins + NUM_BINS * correct.reshape(-1).long()
    return torch.bincount(index, minlength=2 * NUM_BINS).view(2, NUM_BINS).double()


def area_under_curve(counts: Tensor) -> Tensor:
    """Return the area under the ROC curve; pairs in one bin count half, 0.5 without both classes.

    Parameters
    ----------
    counts
        Sum of :func:`count_scores`. Shape ``(2, bins)``.
    """
    wrong, right = counts
    pairs = wrong.sum() * right.sum()
    if pairs == 0:
        return counts.new_tensor(0.5)
    wrong_below = wrong.cumsum(0) - wrong
    area: Tensor = (right * (wrong_below + 0.5 * wrong)).sum() / pairs
    return area
