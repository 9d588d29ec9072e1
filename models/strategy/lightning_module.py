# SPDX-License-Identifier: Apache-2.0
"""How any strategy predictor is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from models.optimization import OptimizedModule, OptimizerConfig
from models.strategy.batch import StrategyBatch
from models.strategy.model import StrategyModel, targets_of
from models.strategy.tokens import PAD


class StrategyModule(OptimizedModule[StrategyModel]):
    """Optimize any :class:`~models.strategy.model.StrategyModel`.

    Validation runs on the averaged weights, which are also what :meth:`trained` returns.

    Parameters
    ----------
    model
        Network to train.
    config
        How to train it.
    """

    valid_sums: Tensor

    def __init__(self, model: StrategyModel, config: OptimizerConfig) -> None:
        super().__init__(model, config)
        self.register_buffer("valid_sums", torch.zeros(3, dtype=torch.float64), persistent=False)

    def training_step(self, batch: StrategyBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch of attempts."""
        del batch_idx
        loss = self.model.training_loss(batch)
        self.log("train/loss", loss, batch_size=len(batch), on_step=False, on_epoch=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.trained().eval()
        self.valid_sums = torch.zeros(3, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: StrategyBatch, batch_idx: int) -> None:
        """Add up log-likelihood, foretold tokens and number of tokens of one batch."""
        del batch_idx
        log_probs = self.trained()(batch)
        real = batch.tokens != PAD
        likelihood = targets_of(log_probs, batch).sum()
        hits = ((log_probs.argmax(dim=-1) == batch.tokens) & real).sum()
        self.valid_sums = self.valid_sums + torch.stack(
            [likelihood.double(), hits.double(), real.sum().double()]
        )

    def on_validation_epoch_end(self) -> None:
        """Log the loss of a token and the share of tokens foretold over all devices."""
        likelihood, hits, number = self.sum_over_devices(self.valid_sums)
        self.log("valid/loss", (-likelihood / number.clamp(min=1)).float())
        self.log("valid/next_accuracy", (hits / number.clamp(min=1)).float())
