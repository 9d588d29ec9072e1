# SPDX-License-Identifier: Apache-2.0
"""How the weights of any network move: AdamW, a rise and a half cosine, averaged weights, seeded steps."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

# Averaging starts short and lengthens, so that the first epochs are not held back by random weights.
EMA_WARMUP = 10
FINAL_SHARE = 0.02

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """How the weights move.

    Attributes
    ----------
    learning_rate
        Peak learning rate of AdamW.
    table_learning_rate
        Peak learning rate of tables of which a batch reads few rows; None is like that of all else.
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
    table_learning_rate: float | None = None
    weight_decay: float = 0.01
    warmup_steps: int = 100
    total_steps: int = 1000
    ema_decay: float = 0.999
    seed: int = 7


class OptimizedModule(LightningModule, Generic[Network]):
    """Optimize a network; what a batch is and how it is judged is left to the module of its family.

    Validation should run on :meth:`trained`, the averaged weights. Dropout is seeded anew in each step, so a
    run that goes on from a checkpoint equals an unbroken one.

    Parameters
    ----------
    model
        Network to train.
    config
        How to train it.
    """

    def __init__(self, model: Network, config: OptimizerConfig) -> None:
        super().__init__()
        self.model: Network = model
        self.optimizer_config = config
        self.averaged: Network | None = None
        if config.ema_decay > 0:
            self.averaged = copy.deepcopy(model).requires_grad_(requires_grad=False)

    def trained(self) -> Network:
        """Return the network to use: with averaged weights where averaging is on."""
        return self.model if self.averaged is None else self.averaged

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step's dropout; a hook of the epoch would be passed over after a restart."""
        del batch, batch_idx
        seed = self.optimizer_config.seed
        torch.manual_seed((seed * 1_000_003 + self.global_step) * 1_009 + self.global_rank)

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

    def decays(self, name: str, weight: Tensor) -> bool:
        """Return whether weight decay pulls at this weight of the network: at matrices, unless overridden."""
        del name
        return weight.ndim >= 2

    def is_table(self, name: str) -> bool:
        """Return whether a weight of the network is a table of which a batch reads few rows: none is.

        Tables never decay: rows that are seldom read would vanish.
        """
        del name
        return False

    def configure_optimizers(self) -> Any:
        """Return AdamW with a linear rise and a half cosine, stepped every batch."""
        config = self.optimizer_config
        decayed: list[Tensor] = []
        free: list[Tensor] = []
        tables: list[Tensor] = []
        for name, weight in self.model.named_parameters():
            if self.is_table(name):
                tables.append(weight)
            else:
                (decayed if self.decays(name, weight) else free).append(weight)
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]
        if tables:
            rate = config.table_learning_rate or config.learning_rate
            groups.append({"params": tables, "weight_decay": 0.0, "lr": rate})
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share_of_peak)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def sum_over_devices(self, values: Tensor) -> Tensor:
        """Return ``values`` added up over all processes."""
        if self.trainer.world_size == 1:
            return values
        summed: Tensor = self.trainer.strategy.reduce(values, reduce_op="sum")
        return summed

    def _share_of_peak(self, step: int) -> float:
        config = self.optimizer_config
        rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, config.total_steps))))
        return rise * (FINAL_SHARE + (1 - FINAL_SHARE) * fall)


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights on the CPU, detached, for a file that needs no code to load."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
