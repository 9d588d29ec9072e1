# SPDX-License-Identifier: Apache-2.0
"""How any tracer is trained."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from models.batches import InteractionBatch
from models.tracing.auc import area_under_curve, count_scores
from models.tracing.tracer import KnowledgeTracer

# Averaging starts short and lengthens, so that the first epochs are not held back by random weights.
EMA_WARMUP = 10
FINAL_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """How the weights move.

    Attributes
    ----------
    learning_rate
        Peak learning rate of AdamW.
    weight_decay
        Weight decay of matrices; biases, norms and other vectors have none.
    warmup_steps, total_steps
        Optimizer steps of the linear rise, and of all; between them a half cosine falls to 2 % of the peak.
    ema_decay
        Decay of the averaged weights; 0 is off.
    seed
        Each step's random numbers depend on this and the step only.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    total_steps: int = 1000
    ema_decay: float = 0.999
    seed: int = 7


class KnowledgeTracingModule(LightningModule):
    """Optimize any :class:`~models.tracing.tracer.KnowledgeTracer`.

    Validation runs on the averaged weights, which are also what :meth:`trained` returns. Dropout is seeded
    anew in each step, so a run that goes on from a checkpoint equals an unbroken one.

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
        super().__init__()
        self.model = model
        self.optimizer_config = config
        self.averaged: KnowledgeTracer | None = None
        if config.ema_decay > 0:
            self.averaged = copy.deepcopy(model).requires_grad_(requires_grad=False)
        self.register_buffer("valid_counts", torch.zeros(()), persistent=False)
        self.register_buffer("valid_loss", torch.zeros(2, dtype=torch.float64), persistent=False)

    def trained(self) -> KnowledgeTracer:
        """Return the network to use: with averaged weights where averaging is on."""
        return self.model if self.averaged is None else self.averaged

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step's dropout; a hook of the epoch would be passed over after a restart."""
        del batch, batch_idx
        seed = self.optimizer_config.seed
        torch.manual_seed((seed * 1_000_003 + self.global_step) * 1_009 + self.global_rank)

    def training_step(self, batch: tuple[InteractionBatch, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch of windows."""
        del batch_idx
        history, _ = batch
        loss = self.model.loss(history)
        self.log("train/loss", loss, batch_size=int(history.mask.sum()), on_step=False, on_epoch=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the averaged weights towards the new ones."""
        del outputs, batch, batch_idx
        if self.averaged is None:
            return
        step = self.global_step
        decay = min(self.optimizer_config.ema_decay, (1 + step) / (EMA_WARMUP + step))
        with torch.no_grad():
            for average, weight in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                average.lerp_(weight, 1 - decay)

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
        counts = self._sum_over_devices(self.valid_counts)
        loss, number = self._sum_over_devices(self.valid_loss)
        self.log("valid/loss", (loss / number.clamp(min=1)).float())
        self.log("valid/auc", area_under_curve(counts).float())

    def configure_optimizers(self) -> Any:
        """Return AdamW with a linear rise and a half cosine, stepped every batch."""
        config = self.optimizer_config
        named = list(self.model.named_parameters())
        groups = [
            {
                "params": [weight for _, weight in named if weight.ndim >= 2],
                "weight_decay": config.weight_decay,
            },
            {"params": [weight for _, weight in named if weight.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share_of_peak)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _share_of_peak(self, step: int) -> float:
        config = self.optimizer_config
        rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, config.total_steps))))
        return rise * (FINAL_SHARE + (1 - FINAL_SHARE) * fall)

    def _sum_over_devices(self, values: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return values
        summed: Tensor = self.trainer.strategy.reduce(values, reduce_op="sum")
        return summed


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights on the CPU, detached, for a file that needs no code to load."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
