# SPDX-License-Identifier: Apache-2.0
"""From the behaviors that a channel keeps to one interest: sums by matrix products, never one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from models.diffumin.config import Pooling


def pool(
    behaviors: Tensor, scores: Tensor, kept: Tensor, mask: Tensor, targets: Tensor, kind: Pooling
) -> Tensor:
    r"""Return the interest of each channel; 0 where a channel keeps nothing.

    Most kinds are weighted sums, one product of weights ``(asked * num_channels, length)`` and behaviors
    ``(length, item_size)`` a request. With ``mean`` the weights do not depend on the scores, so no gradient
    reaches the channels through an interest.

    Parameters
    ----------
    behaviors
        Shape ``(requests, length, item_size)``.
    scores, kept
        Shape ``(requests, asked, num_channels, length)``.
    mask
        True where a behavior exists. Shape ``(requests, length)``.
    targets
        Shape ``(requests, asked, item_size)``; read by ``target_attn``.
    kind
        See :class:`~models.diffumin.config.DiffuMINConfig`.

    Returns
    -------
    Tensor
        Shape ``(requests, asked, num_channels, item_size)``.
    """
    if kind == "max":
        return _largest(behaviors, kept)
    weights = pooling_weights(behaviors, scores, kept, mask, targets, kind)
    pooled = torch.bmm(weights.flatten(1, 2), behaviors)
    return pooled.view(*weights.shape[:3], -1)


def pooling_weights(
    behaviors: Tensor, scores: Tensor, kept: Tensor, mask: Tensor, targets: Tensor, kind: Pooling
) -> Tensor:
    """Return the weight of each behavior in each channel, 0 where it is not kept. Shape of ``scores``.

    Raises
    ------
    ValueError
        If the kind is no weighted sum (``max``).
    """
    if kind == "mean":
        return kept.to(scores.dtype) / _count(kept)
    if kind == "sim":
        return scores * kept / _count(kept)
    if kind == "released":
        return scores * kept / mask.sum(-1).clamp(min=1)[:, None, None, None]
    root = behaviors.shape[-1] ** 0.5
    if kind == "softmax":
        return _softmax(scores / root, kept)
    if kind == "target_attn":
        alike = torch.bmm(targets, behaviors.transpose(1, 2)) / root
        return _softmax(alike.unsqueeze(2).expand_as(scores), kept)
    if kind == "self_attn":
        return _among_themselves(behaviors, kept)
    raise ValueError(f"pooling {kind!r} has no weights.")


def _count(kept: Tensor) -> Tensor:
    return kept.sum(dim=-1, keepdim=True).clamp(min=1)


def _softmax(scores: Tensor, kept: Tensor) -> Tensor:
    """Return weights over what is kept, all 0 where nothing is."""
    chosen = scores.masked_fill(~kept, torch.finfo(scores.dtype).min)
    return chosen.softmax(dim=-1) * kept


def _largest(behaviors: Tensor, kept: Tensor) -> Tensor:
    """Return the largest value of each entry; one channel of one item at a time, for analysis only."""
    requests, asked, channels, _ = kept.shape
    least = torch.finfo(behaviors.dtype).min
    found = []
    for item in range(asked):
        for channel in range(channels):
            here = kept[:, item, channel].unsqueeze(-1)
            largest = behaviors.masked_fill(~here, least).amax(dim=1)
            found.append(largest.where(here.any(dim=1), 0.0))
    return torch.stack(found, dim=1).view(requests, asked, channels, -1)


def _among_themselves(behaviors: Tensor, kept: Tensor) -> Tensor:
    """Return what the mean over kept behaviors, each a mix of all kept ones, gives each; for analysis."""
    weights = torch.zeros_like(kept, dtype=behaviors.dtype)
    places = kept.flatten(0, 2)
    flat = weights.flatten(0, 2)
    rows = []
    per_request = kept.shape[1] * kept.shape[2]
    for number, here in enumerate(places):
        index = here.nonzero().squeeze(1)
        chosen = behaviors[number // per_request, index]
        shares = (chosen @ chosen.T / behaviors.shape[-1] ** 0.5).softmax(dim=-1)
        rows.append(flat[number].index_put((index,), shares.sum(0) / max(1, len(index))))
    return torch.stack(rows).view_as(weights)
