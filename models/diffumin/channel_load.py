# SPDX-License-Identifier: Apache-2.0
"""How evenly channels are used: what is routed to each, what each keeps, and how alike interests are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.diffumin.caches import BehaviorCache, ItemCache
from models.diffumin.interest_block import MultiInterestBlock
from models.diffumin.model import DiffuMIN
from models.diffumin.selection import routed
from models.diffumin.serving import request_of


@dataclass(frozen=True, slots=True, eq=False)
class ChannelLoad:
    """What the channels of some items hold of the behaviors of one student.

    Attributes
    ----------
    routed
        Share of the behaviors that goes to each channel; a row sums to 1. Shape
        ``(num_items, num_channels)``.
    kept
        Share of the behaviors that each channel keeps. Shape ``(num_items, num_channels)``.
    cosines
        Cosine of each pair of interests, NaN where a channel of the two keeps nothing. Shape
        ``(num_items, num_channels, num_channels)``.
    """

    routed: Tensor
    kept: Tensor
    cosines: Tensor


@torch.inference_mode()
def channel_load(model: DiffuMIN, behaviors: BehaviorCache, items: ItemCache) -> ChannelLoad:
    """Return what the channels of items hold, by exact thresholds.

    Parameters
    ----------
    model
        A network with channels, in evaluation mode.
    behaviors
        Of the student; at least one.
    items
        One or more.

    Raises
    ------
    ValueError
        If the network has no channels, or there is no behavior.
    """
    block = model.long_term
    if not isinstance(block, MultiInterestBlock):
        raise ValueError(f"only DiffuMIN has channels; got long_term {model.config.long_term!r}.")
    if not len(behaviors):
        raise ValueError("a student without behaviors loads no channel.")
    request = request_of(behaviors, items.vectors, items.items)
    interests = block.omie(request)
    scores = block.omie.scores(interests.channels, request.behaviors.to(interests.channels.dtype))
    num_kept = interests.num_kept[0]
    directions = nn.functional.normalize(interests.values[0], dim=-1)
    is_full = num_kept > 0
    both = is_full.unsqueeze(-1) & is_full.unsqueeze(-2)
    return ChannelLoad(
        routed=routed(scores)[0].sum(dim=-1) / len(behaviors),
        kept=num_kept / len(behaviors),
        cosines=(directions @ directions.transpose(-1, -2)).where(both, torch.nan),
    )
