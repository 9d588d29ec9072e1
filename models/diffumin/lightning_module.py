# SPDX-License-Identifier: Apache-2.0
"""How any click-through network is trained, and a one-step student of it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from models.batches import ImpressionBatch
from models.diffumin.distillation import generator_of, one_step_of, student_of
from models.diffumin.distilled import distillation_loss
from models.diffumin.interest_block import MultiInterestBlock
from models.diffumin.model import DiffuMIN
from models.optimization import OptimizedModule, OptimizerConfig
from models.tracing.auc import area_under_curve, count_scores


class DiffuMINModule(OptimizedModule[DiffuMIN]):
    """Optimize DiffuMIN or any of its baselines; each part of the loss is logged.

    Validation runs on the averaged weights, which are also what :meth:`trained` returns. The statistics of
    normalization are averages already and are copied.

    Parameters
    ----------
    model
        Network to train.
    config
        How to train it.
    """

    valid_counts: Tensor
    valid_loss: Tensor

    def __init__(self, model: DiffuMIN, config: OptimizerConfig) -> None:
        super().__init__(model, config)
        self.register_buffer("valid_counts", torch.zeros(()), persistent=False)
        self.register_buffer("valid_loss", torch.zeros(2, dtype=torch.float64), persistent=False)

    def is_table(self, name: str) -> bool:
        """Return whether a weight is the table of items, whose rows are seldom read."""
        return name.startswith("embedding.")

    def training_step(self, batch: ImpressionBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch of impressions."""
        del batch_idx
        parts = self.model.losses(batch)
        loss = self.model.total(parts)
        for name, part in {"loss": loss, **parts}.items():
            self.log(f"train/{name}", part, batch_size=len(batch), on_step=False, on_epoch=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the averaged weights, and copy the statistics of normalization."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        if self.averaged is None:
            return
        for copied, value in zip(self.averaged.buffers(), self.model.buffers(), strict=True):
            copied.copy_(value)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.trained().eval()
        self.valid_counts = torch.zeros(1, device=self.device)
        self.valid_loss = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: ImpressionBatch, batch_idx: int) -> None:
        """Add up one batch's loss and counts."""
        del batch_idx
        logits = self.trained()(batch).float()
        clicked = batch.clicked.to(logits.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, clicked, reduction="sum")
        self.valid_loss = self.valid_loss + torch.stack([loss, loss.new_tensor(len(logits))]).double()
        self.valid_counts = self.valid_counts + count_scores(logits.sigmoid(), clicked)

    def on_validation_epoch_end(self) -> None:
        """Log loss and AUC over all devices."""
        counts = self.sum_over_devices(self.valid_counts)
        loss, number = self.sum_over_devices(self.valid_loss)
        self.log("valid/loss", (loss / number.clamp(min=1)).float())
        self.log("valid/auc", area_under_curve(counts).float())


class DistillationModule(DiffuMINModule):
    """Teach a one-step student what the diffusion of a trained network generates.

    All other weights stay the teacher's, so :meth:`trained` is a network like any other, with
    ``augmentation`` ``distilled``, and is judged as one; its distance to the teacher is logged beside.

    Parameters
    ----------
    teacher
        Trained network; it is copied.
    config
        How to train.

    Raises
    ------
    ValueError
        If the teacher generates nothing.
    """

    valid_distance: Tensor

    def __init__(self, teacher: DiffuMIN, config: OptimizerConfig) -> None:
        super().__init__(student_of(teacher), config)
        self.teacher = copy.deepcopy(teacher).requires_grad_(requires_grad=False).eval()
        self.register_buffer("valid_distance", torch.zeros(2, dtype=torch.float64), persistent=False)

    def training_step(self, batch: ImpressionBatch, batch_idx: int) -> Tensor:
        """Return the distance of student and teacher on one batch."""
        del batch_idx
        loss = self._distance(self.model, batch)
        self.log("train/loss", loss, batch_size=len(batch), on_step=False, on_epoch=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        super().on_validation_epoch_start()
        self.valid_distance = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: ImpressionBatch, batch_idx: int) -> None:
        """Add up loss and counts of one batch, and its distance."""
        super().validation_step(batch, batch_idx)
        distance = self._distance(self.trained(), batch).double()
        self.valid_distance = self.valid_distance + torch.stack(
            [distance * len(batch), distance.new_tensor(len(batch))]
        )

    def on_validation_epoch_end(self) -> None:
        """Log loss, AUC and mean distance over all devices."""
        super().on_validation_epoch_end()
        total, number = self.sum_over_devices(self.valid_distance)
        self.log("valid/distance", (total / number.clamp(min=1)).float())

    def _distance(self, student: DiffuMIN, batch: ImpressionBatch) -> Tensor:
        self.teacher.eval()
        with torch.no_grad():
            rows, _ = self.teacher.rows(batch)
        block = self.teacher.long_term
        if not isinstance(block, MultiInterestBlock):
            raise TypeError(f"the teacher must have channels; got {type(block).__name__}.")
        interests = block.interests(rows.summaries)
        return distillation_loss(one_step_of(student), generator_of(self.teacher), interests, rows.noise)
