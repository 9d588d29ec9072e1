# SPDX-License-Identifier: Apache-2.0
"""Which behaviors, through which channels, carried a score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffumin.caches import BehaviorCache, ItemCache
from models.diffumin.interest_block import MultiInterestBlock, summary_of
from models.diffumin.omie import Interests
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
    overall_effect
        Logit of the score less the logit if the mean of all behaviors were 0; 0 where the network reads none.
    """

    behaviors: Tensor
    channels: Tensor
    weights: Tensor
    channel_shares: Tensor
    channel_effects: Tensor
    overall_effect: float


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
    effects = _effects(scorer, block, behaviors, item, context)
    return Evidence(
        behaviors=places[order],
        channels=channels[order],
        weights=found[order],
        channel_shares=shares,
        channel_effects=effects[:-1],
        overall_effect=float(effects[-1]),
    )


def _effects(
    scorer: Scorer, block: MultiInterestBlock, behaviors: BehaviorCache, item: ItemCache, context: Tensor
) -> Tensor:
    """Return what each channel, and last the mean of all behaviors, adds to the logit."""
    number = scorer.model.config.num_channels
    # Row 0 is the score itself, each other row but the last one without a channel.
    rows = 2 + number
    copies = item.rows(torch.zeros(rows, dtype=torch.int64, device=item.items.device))
    summaries = scorer.summaries(behaviors, item).repeat(rows, 1)
    short = scorer.short_term(behaviors, copies, summaries)
    interests = block.interests(summaries)
    values, num_kept = interests.values.clone(), interests.num_kept.clone()
    without = torch.arange(number, device=values.device)
    num_kept[without + 1, without] = 0
    values[without + 1, without] = 0
    overall = interests.overall
    if overall is not None:
        overall = overall.clone()
        overall[-1] = 0
    left = Interests(block.omie.filled(values, num_kept), interests.channels, num_kept, overall)
    logits = scorer.logits(behaviors.student, copies, summary_of(left), short, context.expand(rows, -1))
    return logits[0] - logits[1:]
