# SPDX-License-Identifier: Apache-2.0
"""Which behaviors, through which channels, carried a score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffumin.caches import BehaviorCache, ItemCache
from models.diffumin.interest_block import MultiInterestBlock
from models.diffumin.pooling import pooling_weights
from models.diffumin.selection import kept, routed
from models.diffumin.serving import Scorer, request_of


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a score of one item rests on.

    Attributes
    ----------
    behaviors
        Places in the student's sequence, oldest 0, of the behaviors that were kept, the heaviest first. Shape
        ``(num_kept,)``.
    channels
        Channel of each. Shape ``(num_kept,)``.
    weights
        Weight of each in its channel's interest. Shape ``(num_kept,)``.
    channel_shares
        Share of all behaviors that was routed to each channel. Shape ``(num_channels,)``.
    channel_effects
        Logit of the score less the logit if the channel had kept nothing. Shape ``(num_channels,)``.
    """

    behaviors: Tensor
    channels: Tensor
    weights: Tensor
    channel_shares: Tensor
    channel_effects: Tensor


@torch.inference_mode()
def explain(scorer: Scorer, behaviors: BehaviorCache, item: ItemCache, context: Tensor) -> Evidence:
    """Return the evidence for the score of one item, by exact thresholds.

    Parameters
    ----------
    scorer
        Of a network with channels whose pooling is a weighted sum.
    behaviors
        Of the student.
    item
        A single item.
    context
        Of the impression. Shape ``(1, num_context)``.

    Raises
    ------
    ValueError
        If there is not one item, or the network has no channels or weights.
    """
    model = scorer.model
    block = model.long_term
    if not isinstance(block, MultiInterestBlock):
        raise ValueError(f"only DiffuMIN has channels; got long_term {model.config.long_term!r}.")
    if len(item) != 1:
        raise ValueError(f"one item is explained at a time; got {len(item)}.")
    config = model.config
    request = request_of(behaviors, item.vectors, item.items)
    scores = block.omie.scores(item.channels.unsqueeze(0), request.behaviors)
    chosen = kept(
        scores,
        request.mask,
        share=config.kept_share,
        count=config.kept_count,
        percentile=config.percentile,
    )
    weights = pooling_weights(
        request.behaviors, scores, chosen, request.mask, request.targets, config.pooling
    )[0, 0]
    channels, places = chosen[0, 0].nonzero(as_tuple=True)
    found = weights[channels, places]
    order = found.abs().argsort(descending=True, stable=True)
    seen = scores.masked_fill(~request.mask[:, None, None], -torch.inf)
    shares = routed(seen)[0, 0].sum(dim=1) / max(1, len(behaviors))
    return Evidence(
        behaviors=places[order],
        channels=channels[order],
        weights=found[order],
        channel_shares=shares,
        channel_effects=_effects(scorer, block, behaviors, item, context),
    )


def _effects(
    scorer: Scorer, block: MultiInterestBlock, behaviors: BehaviorCache, item: ItemCache, context: Tensor
) -> Tensor:
    """Return what each channel adds to the logit."""
    number, size = scorer.model.config.num_channels, scorer.model.config.item_size
    # Row 0 is the score itself, each other row one without a channel.
    copies = item.rows(torch.zeros(1 + number, dtype=torch.int64, device=item.items.device))
    summaries = scorer.summaries(behaviors, item).repeat(1 + number, 1)
    short = scorer.short_term(behaviors, copies, summaries)
    values = summaries[:, : number * size].view(-1, number, size)
    num_kept = summaries[:, -number:]
    is_without = torch.arange(number, device=values.device)
    num_kept[is_without + 1, is_without] = 0
    values[is_without + 1, is_without] = 0
    summaries[:, : number * size] = block.omie.filled(values, num_kept).flatten(1)
    logits = scorer.logits(behaviors.student, copies, summaries, short, context.expand(1 + number, -1))
    return logits[0] - logits[1:]
