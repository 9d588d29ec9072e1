# SPDX-License-Identifier: Apache-2.0
"""Scores of many items for one student, from what is cached: quick, and equal whatever else is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffumin.caches import BehaviorCache, ItemCache, cache_items, model_version
from models.diffumin.fast_interests import Selection, is_quick, quick_interests, scratch_for
from models.diffumin.interest_block import MultiInterestBlock, summary_of
from models.diffumin.long_term import Rows
from models.diffumin.model import DiffuMIN
from models.diffumin.omie import Interests
from models.diffumin.prediction import corrected
from models.diffumin.requests import Requests, padded_latest

# Items whose behaviors are looked through at once: few enough that the scores nearly stay in a core's cache.
ITEMS_AT_ONCE = 20
# Rows of the prediction at once: enough that reading its weights does not dominate. A multiple of 32, so that
# whatever the width no value is left to the code for the rest of a vector, which rounds differently.
ROWS_AT_ONCE = 128


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a network says of some items for one student.

    Attributes
    ----------
    probabilities
        Of a click, among all impressions. Shape ``(num_items,)``.
    logits
        Before the correction for negatives left out of training. Shape ``(num_items,)``.
    """

    probabilities: Tensor
    logits: Tensor


class Scorer:
    """Score items for one student at a time with a trained network.

    An item's score has the same bits in any company: every matrix product has a fixed shape, filled up with
    zeros, and random numbers, if any, come from student and item.

    Parameters
    ----------
    model
        Network; put into evaluation mode.
    selection
        ``exact`` thresholds, equal to the network's, or ``sampled`` ones.

    Raises
    ------
    ValueError
        If the network draws new noise for each score.
    """

    def __init__(self, model: DiffuMIN, *, selection: Selection = "exact") -> None:
        config = model.config
        if config.inference_noise == "drawn" and config.augmentation in ("diffusion", "placebo", "vae"):
            raise ValueError(
                "scores would differ from call to call: inference_noise must be 'zero' or 'keyed'; "
                "got 'drawn'."
            )
        self.model = model.eval()
        self.selection: Selection = selection
        self.version = model_version(model)
        self._block = model.long_term if isinstance(model.long_term, MultiInterestBlock) else None
        self._is_quick = self._block is not None and is_quick(config)

    def cache_items(self, items: Tensor) -> ItemCache:
        """Return what is needed of items to score them; fields, ``(num_items, num_fields)``."""
        return cache_items(self.model, items, self.version)

    def cache_behaviors(self, student: int) -> BehaviorCache:
        """Return an empty store for the behaviors of a student."""
        return BehaviorCache(self.model, student, self.version)

    @torch.inference_mode()
    def score(self, behaviors: BehaviorCache, items: ItemCache, context: Tensor) -> Scores:
        """Return probabilities of a click.

        Parameters
        ----------
        behaviors
            Of the student.
        items
            To score; see :meth:`~models.diffumin.caches.ItemCache.rows`.
        context
            Numbers about each impression. Shape ``(num_items, num_context)``.

        Returns
        -------
        Scores
            In the order of ``items``.

        Raises
        ------
        ValueError
            If something was cached with other weights, or the shapes do not agree.
        """
        self._check(behaviors, items, context)
        if not len(items):
            nothing = items.vectors.new_zeros(0)
            return Scores(nothing, nothing)
        summaries = self.summaries(behaviors, items)
        short = self.short_term(behaviors, items, summaries)
        logits = self.logits(behaviors.student, items, summaries, short, context)
        # Doubles: the same bits after rounding, wherever in a vector an item stands.
        chances = corrected(logits.double().sigmoid(), self.model.config.negative_sample_rate)
        return Scores(chances.to(logits.dtype), logits)

    def summaries(self, behaviors: BehaviorCache, items: ItemCache) -> Tensor:
        """Return what the behaviors say of each item. Shape ``(num_items, summary_size)``."""
        if self._is_quick and len(behaviors):
            vectors, config = behaviors.vectors, self.model.config
            scratch = scratch_for(ITEMS_AT_ONCE, len(vectors), config, vectors)
            overall = vectors.mean(dim=0).expand(ITEMS_AT_ONCE, -1) if config.has_overall else None
            return _in_parts(
                lambda channels: self._quick(channels, vectors, overall, scratch),
                ITEMS_AT_ONCE,
                items.channels,
            )
        return _in_parts(
            lambda vectors, fields: self.model.long_term.summarize(
                request_of(behaviors, vectors, fields)
            ).squeeze(0),
            ROWS_AT_ONCE if self._block is None else ITEMS_AT_ONCE,
            items.vectors,
            items.items,
        )

    def _quick(self, channels: Tensor, vectors: Tensor, overall: Tensor | None, scratch: Tensor) -> Tensor:
        interests = quick_interests(channels, vectors, self.model.config, self.selection, scratch)
        values = interests.values
        if self._block is not None:
            values = self._block.omie.filled(values, interests.num_kept)
        return summary_of(Interests(values, interests.channels, interests.num_kept, overall))

    def short_term(self, behaviors: BehaviorCache, items: ItemCache, summaries: Tensor) -> Tensor | None:
        """Return what the latest behaviors say of each item. Shape ``(num_items, item_size)``."""
        encoder = self.model.short_term
        if encoder is None:
            return None
        if self.model.config.short_term_history == "joint":
            return _in_parts(
                lambda vectors, fields, told: encoder(
                    request_of(behaviors, vectors, fields), self.model.long_term.condition(told.unsqueeze(0))
                ).squeeze(0),
                ROWS_AT_ONCE,
                items.vectors,
                items.items,
                summaries,
            )
        mask = torch.ones(1, len(behaviors), dtype=torch.bool, device=items.vectors.device)
        latest, mask = padded_latest(
            behaviors.vectors.unsqueeze(0), mask, self.model.config.short_term_window
        )
        histories = encoder.histories(latest, mask)
        return _in_parts(
            lambda vectors: encoder.read(vectors.unsqueeze(0), histories, mask).squeeze(0),
            ROWS_AT_ONCE,
            items.vectors,
        )

    def logits(
        self, student: int, items: ItemCache, summaries: Tensor, short: Tensor | None, context: Tensor
    ) -> Tensor:
        """Return the logits. Shape ``(num_items,)``."""
        students = torch.full_like(items.items[:, 0], student)

        def of_rows(
            summaries: Tensor,
            targets: Tensor,
            fields: Tensor,
            students: Tensor,
            context: Tensor,
            *short: Tensor,
        ) -> Tensor:
            noise = self.model.noise(students, fields)
            rows = Rows(summaries, targets, students, summaries[:, :0], noise, noise)
            features = self.model.long_term.features(rows)
            return self.model.logits(features, short[0] if short else None, targets, context)

        given = [summaries, items.vectors, items.items, students, context]
        return _in_parts(of_rows, ROWS_AT_ONCE, *given, *([] if short is None else [short]))

    def _check(self, behaviors: BehaviorCache, items: ItemCache, context: Tensor) -> None:
        for name, version in (("behaviors", behaviors.version), ("items", items.version)):
            if version != self.version:
                raise ValueError(f"the {name} were cached with other weights; cache them anew.")
        expected = (len(items), self.model.config.num_context)
        if tuple(context.shape) != expected:
            raise ValueError(f"context must have shape {expected}; got {tuple(context.shape)}.")


def request_of(behaviors: BehaviorCache, vectors: Tensor, fields: Tensor) -> Requests:
    """Return a student's request of several items; a student without behaviors gets one of padding."""
    empty = not len(behaviors)
    found, items, outcomes = behaviors.vectors, behaviors.items, behaviors.outcomes
    if empty:
        found = vectors.new_zeros(1, vectors.shape[1])
        items = fields.new_zeros(1, fields.shape[1])
        outcomes = fields.new_zeros(1)
    mask = torch.full((1, len(found)), not empty, device=vectors.device)
    return Requests(
        targets=vectors.unsqueeze(0),
        target_items=fields.unsqueeze(0),
        behaviors=found.unsqueeze(0),
        behavior_items=items.unsqueeze(0),
        behavior_outcomes=outcomes.unsqueeze(0),
        mask=mask,
    )


def _in_parts(function: Callable[..., Tensor], size: int, *given: Tensor) -> Tensor:
    """Return what ``function`` says of rows, asked about ``size`` of them at a time, the last filled up."""
    number = len(given[0])
    missing = -number % size
    filled = [torch.cat([values, values.new_zeros(missing, *values.shape[1:])]) for values in given]
    parts = [
        function(*(values[start : start + size] for values in filled))
        for start in range(0, number + missing, size)
    ]
    return torch.cat(parts)[:number]
