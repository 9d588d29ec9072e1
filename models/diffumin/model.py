# SPDX-License-Identifier: Apache-2.0
"""The whole network: embedding, long and short look back, prediction, and the losses it is trained with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.batches import ImpressionBatch
from models.diffumin.config import DiffuMINConfig
from models.diffumin.embedding import FieldEmbedding
from models.diffumin.keyed_noise import DrawnNoise, KeyedNoise, NoiseSource, ZeroNoise, row_keys
from models.diffumin.long_term import LongTermBlock, Rows
from models.diffumin.prediction import Prediction, corrected
from models.diffumin.requests import Bucket, Requests, buckets, rows_in_order
from models.diffumin.short_term import ShortTermEncoder


class DiffuMIN(nn.Module):
    """A click-through network; the block for all behaviors makes it DiffuMIN or one of its baselines.

    When not training, a score depends on its own row alone: random numbers, where the configuration wants
    any, come from student and item.

    Parameters
    ----------
    config
        Hyper-parameters; kept as ``config``.
    long_term
        What sums up all behaviors.

    References
    ----------
    "Modeling long-term user behaviors with diffusion-driven multi-interest network for CTR prediction"
    (RecSys 2025).
    """

    def __init__(self, config: DiffuMINConfig, long_term: LongTermBlock) -> None:
        super().__init__()
        self.config = config
        self.embedding = FieldEmbedding(
            config.num_field_values, config.num_outcomes, config.field_size, std=config.embedding_std
        )
        self.long_term = long_term
        self.short_term = ShortTermEncoder(config) if config.short_term_window else None
        size = config.item_size
        inputs = long_term.output_size + config.num_context
        inputs += size * (config.has_target + (self.short_term is not None))
        if not inputs:
            raise ValueError("the prediction would read nothing: no block, window, target or context.")
        self.prediction = Prediction(config, inputs)

    def forward(self, batch: ImpressionBatch, generator: torch.Generator | None = None) -> Tensor:
        """Return the logit of a click of every row.

        Parameters
        ----------
        batch
            Impressions.
        generator
            Source of random numbers where the configuration draws new ones each time, and in training;
            torch's global state where None.

        Returns
        -------
        Tensor
            Shape ``(rows,)``.

        Raises
        ------
        ValueError
            If the batch does not fit the configuration.
        """
        rows, short = self.rows(batch, generator)
        return self.logits(self.long_term.features(rows), short, rows.targets, batch.context)

    def losses(self, batch: ImpressionBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Return the parts of the loss, not yet weighted: ``ctr`` and those of the block.

        When not training, their random numbers come from student and item.
        """
        rows, short = self.rows(batch, generator)
        features, losses = self.long_term.features_and_losses(rows)
        logits = self.logits(features, short, rows.targets, batch.context).float()
        ctr = nn.functional.binary_cross_entropy_with_logits(logits, batch.clicked.to(logits.dtype))
        return {"ctr": ctr, **losses}

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each part of the loss."""
        config = self.config
        return {
            "ctr": 1.0,
            "diffusion": config.diffusion_weight,
            "vae": config.diffusion_weight,
            "contrastive": config.contrastive_weight,
            "search": config.search_weight,
        }

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of the parts."""
        weights = self.loss_weights
        return torch.stack([weights[name] * part for name, part in losses.items()]).sum()

    def loss(self, batch: ImpressionBatch, generator: torch.Generator | None = None) -> Tensor:
        """Return what is made small in training."""
        return self.total(self.losses(batch, generator))

    def probabilities(self, batch: ImpressionBatch, generator: torch.Generator | None = None) -> Tensor:
        """Return the probability of a click among all impressions, not only those kept for training.

        Shape ``(rows,)``.
        """
        return corrected(self(batch, generator).float().sigmoid(), self.config.negative_sample_rate)

    def rows(
        self, batch: ImpressionBatch, generator: torch.Generator | None = None
    ) -> tuple[Rows, Tensor | None]:
        """Return what is known of each row before the prediction, and what the latest behaviors say."""
        self._check(batch)
        found = buckets(batch)
        parts: list[Tensor] = []
        sizes = [self.long_term.summary_size, self.config.item_size]
        sizes += [self.config.item_size] * (self.short_term is not None)
        for bucket in found:
            requests = self._requests(batch, bucket)
            summaries = self.long_term.summarize(requests)
            read = [summaries, requests.targets]
            if self.short_term is not None:
                read.append(self.short_term(requests, self.long_term.condition(summaries)))
            parts.append(torch.cat(read, dim=-1))
        columns = torch.split(rows_in_order(parts, found, len(batch)), sizes, dim=-1)
        students = batch.students[batch.requests]
        noise, loss_noise = self._noise(students, batch.target_items, generator)
        rows = Rows(columns[0], columns[1], students, batch.clicked, noise, loss_noise)
        return rows, columns[2] if self.short_term is not None else None

    def logits(self, features: Tensor, short: Tensor | None, targets: Tensor, context: Tensor) -> Tensor:
        """Return the logits from all that the prediction reads. Shape ``(rows,)``."""
        read = [features, context]
        read += [] if short is None else [short]
        read += [targets] if self.config.has_target else []
        logits: Tensor = self.prediction(torch.cat(read, dim=-1))
        return logits

    def noise(self, students: Tensor, items: Tensor, generator: torch.Generator | None = None) -> NoiseSource:
        """Return where the features of rows take random numbers from."""
        return self._noise(students, items, generator)[0]

    def _noise(
        self, students: Tensor, items: Tensor, generator: torch.Generator | None
    ) -> tuple[NoiseSource, NoiseSource]:
        if self.training:
            drawn = DrawnNoise(generator)
            return drawn, drawn
        keys = row_keys(self.config.noise_seed, students, items)
        if self.config.inference_noise == "drawn":
            return DrawnNoise(generator), KeyedNoise(keys)
        kind = ZeroNoise if self.config.inference_noise == "zero" else KeyedNoise
        return kind(keys), KeyedNoise(keys)

    def _requests(self, batch: ImpressionBatch, bucket: Bucket) -> Requests:
        target_items = batch.target_items[bucket.rows]
        items, outcomes = _padded(batch, bucket)
        return Requests(
            targets=self.embedding(target_items),
            target_items=target_items,
            behaviors=self.embedding(items, outcomes),
            behavior_items=items,
            behavior_outcomes=outcomes,
            mask=bucket.mask,
        )

    def _check(self, batch: ImpressionBatch) -> None:
        if not len(batch):
            raise ValueError("a batch must hold at least one row; got none.")
        self.embedding.check(batch.target_items)
        self.embedding.check(batch.behavior_items, batch.behavior_outcomes)
        if batch.context.shape[1] != self.config.num_context:
            raise ValueError(
                f"context must have {self.config.num_context} numbers a row; got {batch.context.shape[1]}."
            )


def _padded(batch: ImpressionBatch, bucket: Bucket) -> tuple[Tensor, Tensor]:
    """Return fields and outcomes of behaviors as rectangles, 0 at padding."""
    if not len(batch.behavior_items):
        shape = bucket.mask.shape
        return (
            batch.behavior_items.new_zeros(*shape, batch.behavior_items.shape[1]),
            batch.behavior_outcomes.new_zeros(shape),
        )
    items = batch.behavior_items[bucket.behaviors].masked_fill_(~bucket.mask.unsqueeze(-1), 0)
    return items, batch.behavior_outcomes[bucket.behaviors].masked_fill_(~bucket.mask, 0)
