# SPDX-License-Identifier: Apache-2.0
"""Interests of one student in many items, laid out for one core: scores, thresholds and pooling in cache."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.diffumin.config import DiffuMINConfig
from models.diffumin.omie import Interests
from models.diffumin.selection import lowered, num_kept, routed

Selection = Literal["exact", "sampled"]
# Behaviors from which a sampled threshold is estimated, at least and less than twice as many.
SAMPLE_SIZE = 256
# Poolings whose weights need no more than scores and thresholds.
QUICK_POOLINGS = ("mean", "sim", "released")


def is_quick(config: DiffuMINConfig) -> bool:
    """Return whether :func:`quick_interests` computes what the configuration asks for."""
    return config.pooling in QUICK_POOLINGS and config.percentile == "column"


def scratch_for(num_items: int, length: int, config: DiffuMINConfig, like: Tensor) -> Tensor:
    """Return memory in which :func:`quick_interests` can work, so that parts of a request share it.

    Fresh memory for each part costs as much as two passes over it.
    """
    return like.new_empty(config.num_channels + 3, num_items, length)


def quick_interests(
    channels: Tensor,
    behaviors: Tensor,
    config: DiffuMINConfig,
    selection: Selection = "exact",
    scratch: Tensor | None = None,
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
    scratch
        From :func:`scratch_for`; fresh memory where None.

    Returns
    -------
    Interests
        Shapes ``(num_items, ...)``; without a learned vector for empty channels.
    """
    number, num_channels, size = channels.shape
    length = len(behaviors)
    if scratch is None:
        scratch = scratch_for(number, length, config, behaviors)
    planes, (best, is_kept, times_kept) = scratch[:num_channels], scratch[num_channels:].unbind()
    scores = planes.view(num_channels * number, length)
    flat = channels.transpose(0, 1).reshape(num_channels * number, size)
    torch.mm(flat, behaviors.T, out=scores)
    least = lowered(column_thresholds(scores, config, selection)).view(num_channels, number, 1)
    torch.amax(planes, dim=0, out=best)
    counts = scores.new_empty(num_channels, number)
    times_kept.zero_()
    # 1 or 0 as numbers: a mask of booleans costs ten times as much to multiply with.
    for channel, plane in enumerate(planes):
        torch.maximum(best, least[channel], out=is_kept)
        torch.ge(plane, is_kept, out=is_kept)
        times_kept.add_(is_kept)
        torch.sum(is_kept, dim=1, out=counts[channel])
        if config.pooling == "mean":
            plane.copy_(is_kept)
        else:
            plane.mul_(is_kept)
    if times_kept.amax() > 1:
        # Channels that score a behavior alike, which hardly ever happens: only one may have it.
        scores = torch.mm(flat, behaviors.T).view_as(planes)
        return _one_channel_each(channels, behaviors, scores, least, config)
    pooled = torch.mm(scores, behaviors).view(num_channels, number, size)
    return _divided(pooled, counts, channels, length, config)


def _one_channel_each(
    channels: Tensor, behaviors: Tensor, planes: Tensor, least: Tensor, config: DiffuMINConfig
) -> Interests:
    """Return the interests where the first of equal channels takes a behavior."""
    is_kept = routed(planes.transpose(0, 1)).transpose(0, 1) & (planes >= least)
    weights = is_kept.to(planes.dtype) if config.pooling == "mean" else planes * is_kept
    pooled = (weights.flatten(0, 1) @ behaviors).view(*planes.shape[:2], -1)
    counts = is_kept.sum(dim=2).to(planes.dtype)
    return _divided(pooled, counts, channels, len(behaviors), config)


def _divided(
    pooled: Tensor, counts: Tensor, channels: Tensor, length: int, config: DiffuMINConfig
) -> Interests:
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
