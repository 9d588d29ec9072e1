# SPDX-License-Identifier: Apache-2.0
"""TSDiff: the joint law of a window and its lags, without any condition."""

from __future__ import annotations

import torch
from torch import Tensor

from models.batches import WindowBatch
from models.diffusion import Estimate, VariancePreserving, window_losses
from models.tsdiff.backbone import Backbone
from models.tsdiff.config import TSDiffConfig
from models.tsdiff.model import SeriesDiffusion, stepwise_process


class TSDiff(SeriesDiffusion):
    """Diffuse a whole window with its lagged copies; what is asked of it is decided when it samples.

    Channel 0 is the series divided by its scale, the others are its lags, scaled alike. Unobserved values
    enter as zeros and are not learned.

    Parameters
    ----------
    config
        Hyper-parameters; kept as ``config``.

    References
    ----------
    Kollovieh et al. (2023), "Predict, refine, synthesize: self-guiding diffusion models for probabilistic
    time series forecasting".
    """

    config: TSDiffConfig
    process: VariancePreserving

    def __init__(self, config: TSDiffConfig) -> None:
        super().__init__()
        self.config = config
        self.process = stepwise_process(config)
        self.network = Backbone(config, self.channels)

    @property
    def channels(self) -> int:
        """The series and its lags."""
        return 1 + self.config.num_lags

    def output(self, x: Tensor, time: Tensor) -> Tensor:
        """Return what the network says, which depends on the parameterization.

        Shapes: ``x`` ``(batch, length, channels)``, ``time`` ``(batch,)``; returns the shape of ``x``.
        """
        said: Tensor = self.network(x, self.process.network_time(time))
        return said

    def denoise(self, x: Tensor, time: Tensor) -> Estimate:
        """Return clean values and noise as the network sees them, in one call; gradients pass through.

        Shapes: ``x`` ``(batch, length, channels)``, scaled; ``time`` ``(batch,)``.
        """
        return self.process.estimate(self.output(x, time), x, time)

    def window_losses(self, batch: WindowBatch, time: Tensor, noise: Tensor) -> Tensor:
        """Return the mean squared error of each window over observed values. Shape ``(batch,)``."""
        self.check(batch)
        x0, observed = batch.scaled()
        return window_losses(
            self.output, self.process, x0, time, noise, mask=observed, min_snr=self.config.min_snr
        )

    def counted(self, batch: WindowBatch) -> Tensor:
        """Return the number of observed values of each window and its lags. Shape ``(batch,)``."""
        return batch.observed.sum(1) + batch.lags_observed.sum((1, 2))

    def start(
        self, num_windows: int, length: int | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return white noise to sample from, on the device of the network.

        Shape ``(num_windows, length, channels)``; the length is that of a window where None.
        """
        like = self.network.enter.weight
        device = like.device if generator is None else generator.device
        shape = (num_windows, length or self.config.length, self.channels)
        return torch.randn(shape, generator=generator, dtype=like.dtype, device=device).to(like.device)
