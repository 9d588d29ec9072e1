# SPDX-License-Identifier: Apache-2.0
"""What every diffusion model of series is: a network, a process, and the loss it is trained with."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from models.batches import WindowBatch
from models.diffusion import (
    NoiseSchedule,
    Process,
    VariancePreserving,
    cosine_betas,
    linear_betas,
    normal_like,
    sigmoid_betas,
    zero_terminal_betas,
)
from models.tsdiff.config import ConditionalConfig, TSDiffConfig

# A validation loss looks at this many times of the process, with one draw of noise at each.
VALIDATION_TIMES = 8
VALIDATION_SEED = 20_230_721


class SeriesDiffusion(nn.Module, ABC):
    """A diffusion model of windows of series.

    In training the loss draws diffusion time and noise anew. In evaluation it is a fixed function of each
    window: times and noise are the same for all windows and all calls, so two networks, or two epochs of
    one, are compared on the same questions.
    """

    process: Process
    config: TSDiffConfig | ConditionalConfig

    @abstractmethod
    def window_losses(self, batch: WindowBatch, time: Tensor, noise: Tensor) -> Tensor:
        """Return the loss of each window at a time and with white noise of its own. Shape ``(batch,)``.

        Shapes: ``time`` ``(batch,)``, ``noise`` that of :meth:`white_noise`.
        """

    @abstractmethod
    def counted(self, batch: WindowBatch) -> Tensor:
        """Return how many values the loss of each window is a mean of. Shape ``(batch,)``."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels that are diffused."""

    def white_noise(self, batch: WindowBatch, generator: torch.Generator | None = None) -> Tensor:
        """Return white noise for windows. Shape ``(batch, length, channels)``."""
        like = batch.target.new_empty(*batch.target.shape, self.channels)
        return normal_like(like, generator)

    def loss(
        self, batch: WindowBatch, generator: torch.Generator | None = None, *, noisiest: float = 1.0
    ) -> Tensor:
        """Return the loss, the mean over all observed values of the batch.

        Parameters
        ----------
        batch
            Windows; what is unobserved is not learned.
        generator
            Source of times and noise in training; torch's global state where None.
        noisiest
            Share of diffusion times, the noisiest, from which training draws: a curriculum.
        """
        counted = self.counted(batch)
        if self.training:
            time = self.process.draw_times(len(batch), generator, noisiest=noisiest)
            losses = self.window_losses(batch, time, self.white_noise(batch, generator))
        else:
            losses = self(batch)
        return (losses * counted).sum() / counted.sum().clamp(min=1)

    def forward(self, batch: WindowBatch) -> Tensor:
        """Return the loss of each window, the mean over fixed times and noise. Shape ``(batch,)``."""
        times = self.process.times(self.validation_times)[:-1]
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        like = batch.target.new_empty(len(times), batch.target.shape[1], self.channels)
        noise = normal_like(like, generator).repeat(len(batch), 1, 1)
        losses = self.window_losses(batch.repeat(len(times)), times.repeat(len(batch)), noise)
        return losses.view(len(batch), len(times)).mean(dim=1)

    @property
    def validation_times(self) -> int:
        """Number of times that :meth:`forward` looks at."""
        if isinstance(self.process, VariancePreserving):
            return min(VALIDATION_TIMES, self.process.num_steps)
        return VALIDATION_TIMES

    def check(self, batch: WindowBatch) -> None:
        """Refuse windows of another length or with another number of lags."""
        length, lags = batch.target.shape[1], batch.lags.shape[-1]
        if length != self.config.length or lags != self.config.num_lags:
            expected = f"length {self.config.length} and {self.config.num_lags} lags"
            raise ValueError(f"windows must have {expected}; got length {length} and {lags} lags.")


def stepwise_process(config: TSDiffConfig | ConditionalConfig) -> VariancePreserving:
    """Return the process with the noise schedule that ``config`` describes."""
    steps = config.num_diffusion_steps
    if config.schedule == "given":
        betas = torch.tensor(config.betas, dtype=torch.float64)
    elif config.schedule == "linear":
        betas = linear_betas(steps, first=config.first_beta, last=config.last_beta)
    elif config.schedule == "cosine":
        betas = cosine_betas(steps)
    else:
        betas = sigmoid_betas(steps)
    if config.is_zero_terminal:
        betas = zero_terminal_betas(betas)
    return VariancePreserving(NoiseSchedule(betas), config.parameterization)
