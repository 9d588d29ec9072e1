# SPDX-License-Identifier: Apache-2.0
"""Interests of one student in many items, laid out for one core: scores, thresholds and pooling in cache."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.diffumin.config import DiffuMINConfig
from models.diffumin.omie import Interests
from models.diffumin.selection import lowered, num_kept

Selection = Literal["exact", "sampled"]
# Behaviors from which a sampled threshold is estimated, at least and less than twice as many.
SAMPLE_SIZE = 256
# Poolings whose weights need no more than scores and thresholds.
QUICK_POOLINGS = ("mean", "sim", "released")


def is_quick(config: DiffuMINConfig) -> bool:
    """Return whether :func:`quick_interests` computes what the configuration asks for."""
    return config.pooling in QUICK_POOLINGS and config.percentile == "column"


def quick_interests(
    channels: Tensor, behaviors: Tensor, config: DiffuMINConfig, selection: Selection = "exact"
) -> Interests:
    """Return the interests of one student in several items, as the network computes them.

    Channels stand first, so that each is one plane of scores; nothing is sorted, and no tensor holds a width
    for each pair of behavior and channel.

    Parameters
    ----------
    channels
        Shape ``(num_items, num_channels, item_size)``.
    behaviors
        At least one. Shape ``(length, item_size)``.
    config
        Hyper-parameters, of which :func:`is_quick` holds.
    selection
        Thresholds of all scores, or of an even sample of them, which keeps about as many.

    Returns
    -------
    Interests
        Shapes ``(num_items, ...)``; without a learned vector for empty channels.
    """
    number, num_channels, size = channels.shape
    length = len(behaviors)
    flat = channels.transpose(0, 1).reshape(num_channels * number, size)
    scores = torch.mm(flat, behaviors.T)
    least = lowered(column_thresholds(scores, config, selection)).view(num_channels, number, 1)
    planes = scores.view(num_channels, number, length)
    best = planes.amax(dim=0)
    counts = scores.new_empty(num_channels, number)
    # The best of the channels before, and 1 or 0 as numbers: a mask of booleans costs ten times as much to
    # multiply with.
    earlier, is_kept, is_first = torch.empty_like(best), torch.empty_like(best), torch.empty_like(best)
    for channel, plane in enumerate(planes):
        torch.maximum(best, least[channel], out=is_kept)
        torch.ge(plane, is_kept, out=is_kept)
        if channel:
            # Where two channels score alike the first takes the behavior.
            is_kept.mul_(torch.gt(plane, earlier, out=is_first))
            torch.maximum(earlier, plane, out=earlier)
        else:
            earlier.copy_(plane)
        torch.sum(is_kept, dim=1, out=counts[channel])
        if config.pooling == "mean":
            plane.copy_(is_kept)
        else:
            plane.mul_(is_kept)
    pooled = torch.mm(scores, behaviors).view(num_channels, number, size)
    divisor = counts.clamp(min=1) if config.pooling != "released" else torch.full_like(counts, length)
    values = pooled / divisor.unsqueeze(-1)
    return Interests(values.transpose(0, 1), channels, counts.T)


def column_thresholds(scores: Tensor, config: DiffuMINConfig, selection: Selection) -> Tensor:
    """Return the score of the last that each row of scores keeps. Shape ``(rows, length)`` to ``(rows,)``."""
    if selection == "sampled":
        scores = scores[:, :: max(1, scores.shape[1] // SAMPLE_SIZE)]
        share = num_kept(scores.shape[1], config.kept_share)
        if config.kept_count:
            raise ValueError("a sample tells a share, not a count; use the selection 'exact'.")
        return kth_largest(scores, share)
    return kth_largest(scores, num_kept(scores.shape[1], config.kept_share, config.kept_count))


def kth_largest(values: Tensor, number: int) -> Tensor:
    """Return the ``number``-th largest value of each row, from 1. Shape ``(rows, length)`` to ``(rows,)``.

    On a CPU by numpy's partition, eight times as quick as torch's selection on rows of 5,000.
    """
    place = values.shape[1] - number
    if values.device.type != "cpu":
        return values.kthvalue(place + 1, dim=1).values
    return torch.from_numpy(np.partition(values.numpy(), place, axis=1)[:, place].copy())
