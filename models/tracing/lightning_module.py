# SPDX-License-Identifier: Apache-2.0
"""How any tracer is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.batches import InteractionBatch
from models.optimization import OptimizedModule, OptimizerConfig
from models.tracing.auc import area_under_curve, count_scores
from models.tracing.tracer import KnowledgeTracer


class KnowledgeTracingModule(OptimizedModule[KnowledgeTracer]):
    """Optimize any :class:`~models.tracing.tracer.KnowledgeTracer`.

    Validation runs on the averaged weights, which are also what :meth:`trained` returns.

    Parameters
    ----------
    model
        Network to train.
    config
        How to train it.
    """

    valid_counts: Tensor
    valid_loss: Tensor

    def __init__(self, model: KnowledgeTracer, config: OptimizerConfig) -> None:
        super().__init__(model, config)
        self.register_buffer("valid_counts", torch.zeros(()), persistent=False)
        self.register_buffer("valid_loss", torch.zeros(2, dtype=torch.float64), persistent=False)

    def training_step(self, batch: tuple[InteractionBatch, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch of windows."""
        del batch_idx
        history, _ = batch
        loss = self.model.loss(history)
        self.log("train/loss", loss, batch_size=int(history.mask.sum()), on_step=False, on_epoch=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.trained().eval()
        self.valid_counts = torch.zeros(1, device=self.device)
        self.valid_loss = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: tuple[InteractionBatch, Tensor], batch_idx: int) -> None:
        """Add up one batch's loss and counts over its scored steps."""
        del batch_idx
        history, scored = batch
        logits = self.trained()(history)[scored].float()
        correct = history.correct[scored]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, correct, reduction="sum")
        self.valid_loss = self.valid_loss + torch.stack([loss, loss.new_tensor(len(logits))]).double()
        self.valid_counts = self.valid_counts + count_scores(logits.sigmoid(), correct)

    def on_validation_epoch_end(self) -> None:
        """Log loss and AUC over all devices."""
        counts = self.sum_over_devices(self.valid_counts)
        loss, number = self.sum_over_devices(self.valid_loss)
        self.log("valid/loss", (loss / number.clamp(min=1)).float())
        self.log("valid/auc", area_under_curve(counts).float())
