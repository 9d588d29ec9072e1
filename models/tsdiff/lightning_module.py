# SPDX-License-Identifier: Apache-2.0
"""How diffusion models of series are trained, and students of theirs."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from models.batches import WindowBatch
from models.diffusion import normal_like
from models.diffusion.curriculum import Curriculum
from models.optimization import OptimizedModule, OptimizerConfig
from models.tsdiff.conditional import ConditionalForecaster
from models.tsdiff.consistency import check_flow, consistency_loss, distance_to_teacher
from models.tsdiff.model import VALIDATION_SEED, SeriesDiffusion

Model = TypeVar("Model", bound=SeriesDiffusion)


class _WindowModule(OptimizedModule[Model]):
    """What training of all models on windows shares: validation with averaged weights, and compiling.

    The weights in a checkpoint are those being trained and their average (``averaged``), so training goes on
    where it stopped; :meth:`trained` is what to use and to keep.
    """

    valid_sums: Tensor

    def __init__(self, model: Model, config: OptimizerConfig, *, is_compiled: bool, backend: str) -> None:
        super().__init__(model, config)
        self.register_buffer("valid_sums", torch.zeros(2, dtype=torch.float64), persistent=False)
        if is_compiled:
            # In place, after the average was copied: names of weights stay what they are.
            network = model.network
            if not isinstance(network, torch.nn.Module):
                raise TypeError(f"network must be a module; got {type(network).__name__}.")
            network.compile(backend=backend)

    def decays(self, name: str, weight: Tensor) -> bool:
        """Return whether weight decay pulls at a weight: not at a convolution's rates and waves."""
        return ".convolution." not in name and super().decays(name, weight)

    @abstractmethod
    def validation_losses(self, batch: WindowBatch) -> tuple[Tensor, Tensor]:
        """Return loss and weight of each window. Shape ``(batch,)`` each."""

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.trained().eval()
        self.valid_sums = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:
        """Add up one batch's losses."""
        del batch_idx
        losses, weights = self.validation_losses(batch)
        sums = torch.stack([(losses.double() * weights).sum(), weights.double().sum()])
        self.valid_sums = self.valid_sums + sums

    def on_validation_epoch_end(self) -> None:
        """Log the loss over all devices."""
        total, weight = self.sum_over_devices(self.valid_sums)
        self.log("valid/loss", (total / weight.clamp(min=1)).float())


class TSDiffModule(_WindowModule[SeriesDiffusion]):
    """Optimize any :class:`~models.tsdiff.model.SeriesDiffusion`.

    The validation loss asks all windows, at all epochs, the same questions of noise and time, of the averaged
    weights. With Trainer precision ``bf16-mixed`` all but the kernels of the convolutions runs in half
    precision.

    Parameters
    ----------
    model
        Network to train.
    config
        How to train it.
    curriculum
        Which diffusion times the first steps draw; all, where None.
    is_compiled
        Whether the network is compiled at its first call. Takes minutes; on one core of a CPU a step took as
        long as without (44 ms for 64 windows of 60 steps).
    backend
        What torch compiles with.
    """

    def __init__(
        self,
        model: SeriesDiffusion,
        config: OptimizerConfig,
        *,
        curriculum: Curriculum | None = None,
        is_compiled: bool = False,
        backend: str = "inductor",
    ) -> None:
        super().__init__(model, config, is_compiled=is_compiled, backend=backend)
        self.curriculum = curriculum

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch of windows."""
        del batch_idx
        noisiest = 1.0 if self.curriculum is None else self.curriculum.share(self.global_step)
        loss = self.model.loss(batch, noisiest=noisiest)
        self.log("train/loss", loss, batch_size=len(batch), on_step=False, on_epoch=True)
        return loss

    def validation_losses(self, batch: WindowBatch) -> tuple[Tensor, Tensor]:
        """Return the loss of each window and the number of values in it."""
        model = self.trained()
        return model(batch), model.counted(batch)


class ConsistencyModule(_WindowModule[ConditionalForecaster]):
    """Distill a flow into a student of one step, which begins as its teacher.

    The averaged weights are the target of the distillation, what validation looks at, and the student that
    :meth:`trained` returns: a forecaster like any other, to be sampled with ``num_steps=1``.

    Parameters
    ----------
    teacher
        Trained flow; it is copied.
    config
        How to train; averaging must be on.
    num_times
        Times of the grid between which the student learns to be consistent.
    is_compiled, backend
        As in :class:`TSDiffModule`.

    Raises
    ------
    ValueError
        If the teacher is no flow or averaging is off.
    """

    def __init__(
        self,
        teacher: ConditionalForecaster,
        config: OptimizerConfig,
        *,
        num_times: int = 16,
        is_compiled: bool = False,
        backend: str = "inductor",
    ) -> None:
        check_flow(teacher)
        if config.ema_decay <= 0:
            raise ValueError("distillation needs averaged weights as its target; ema_decay must be above 0.")
        student = copy.deepcopy(teacher).requires_grad_(requires_grad=True)
        super().__init__(student, config, is_compiled=is_compiled, backend=backend)
        self.teacher = copy.deepcopy(teacher).requires_grad_(requires_grad=False).eval()
        self.num_times = num_times

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """Return how inconsistent the student is on one batch of windows."""
        del batch_idx
        self.teacher.eval()
        self.trained().eval()
        loss = consistency_loss(self.model, self.trained(), self.teacher, batch, num_times=self.num_times)
        self.log("train/loss", loss, batch_size=len(batch), on_step=False, on_epoch=True)
        return loss

    def validation_losses(self, batch: WindowBatch) -> tuple[Tensor, Tensor]:
        """Return how far the student ends from its teacher, at the same noise for all windows."""
        student = self.trained()
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        like = batch.target.new_empty(1, batch.target.shape[1], student.channels)
        noise = normal_like(like, generator).expand(len(batch), -1, -1)
        distances = distance_to_teacher(student, self.teacher, batch, noise, num_steps=self.num_times)
        return distances, torch.ones_like(distances)
