# SPDX-License-Identifier: Apache-2.0
"""Diffusion of interests: noise is put on each, and a denoiser takes it off again, given the others."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from models.diffumin.augmentation import (
    LOSS_NOISE,
    LOSS_STEP,
    START_NOISE,
    START_STEP,
    Augmentation,
    data_points,
)
from models.diffumin.config import DiffuMINConfig
from models.diffumin.denoiser import Denoiser
from models.diffumin.keyed_noise import NoiseSource
from models.diffumin.omie import Interests
from models.diffusion import (
    DDIM,
    DDPM,
    Estimate,
    NoiseSchedule,
    Process,
    Sampler,
    VariancePreserving,
    denoising_loss,
    linear_betas,
)


def noise_schedule(config: DiffuMINConfig) -> NoiseSchedule:
    """Return the linear schedule of a configuration."""
    return NoiseSchedule(
        linear_betas(config.num_diffusion_steps, first=config.first_beta, last=config.last_beta)
    )


class _Noising(Augmentation):
    """What puts the sampler's first noise on interests."""

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        self.process = VariancePreserving(noise_schedule(config), config.parameterization)

    def start(self, points: Tensor, noise: NoiseSource) -> Tensor:
        """Return what sampling starts from, by the rule of the configuration. Shape of ``points``."""
        drawn = noise.normal(points, START_NOISE)
        if self.config.start_rule == "gaussian":
            return drawn
        if self.config.start_rule == "uniform":
            step = noise.integers(points[..., 0], self.config.num_diffusion_steps, START_STEP)
        else:
            step = torch.full_like(points[..., 0], self.config.first_level - 1, dtype=torch.int64)
        return self.process.add_noise(points, step, drawn)


class Placebo(_Noising):
    """The interest with the sampler's first noise, never taken off: a control."""

    def forward(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return where sampling would start."""
        return self.start(data_points(interests.values, self.config.interest_scale), noise)


class DMIG(_Noising):
    r"""Diffusion multi-interest generation.

    The loss asks the denoiser about one diffusion step of each interest, drawn evenly. Sampling starts where
    the configuration says and takes :math:`T'` calls of the denoiser; gradients flow through it, so that the
    loss of the click trains the denoiser, too. The loss is a mean over the width.

    Parameters
    ----------
    config
        Hyper-parameters.

    References
    ----------
    Equations 9 to 19, algorithms 1 and 2 of "Modeling long-term user behaviors with diffusion-driven
    multi-interest network for CTR prediction" (RecSys 2025). Its step :math:`t` is our step :math:`t - 1`.
    """

    loss_name: ClassVar[str] = "diffusion"

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        self.denoiser = Denoiser(config)
        self.sampling_process = self.process
        if config.sampling_parameterization != "same":
            self.sampling_process = VariancePreserving(
                self.process.schedule, config.sampling_parameterization
            )

    @property
    def sampler(self) -> Sampler:
        """The sampler of the configuration."""
        return DDIM() if self.config.sampler == "ddim" else DDPM(self.config.variance)

    def forward(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return generated interests. Shape ``(rows, num_channels, item_size)``."""
        clean = data_points(interests.values, self.config.interest_scale)
        process = self.sampling_process

        def denoise(noisy: Tensor, time: Tensor) -> Estimate:
            output = self.output(process, clean, interests.channels, noisy, time)
            return process.estimate(output, noisy, time)

        return self.sampler.sample(
            denoise,
            process,
            self.start(clean, noise),
            self.config.num_sampling_steps,
            noise.generator,
            start=self.config.first_level - 1,
        )

    def loss(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return the squared error of what the denoiser says, a mean over all entries not empty."""
        config = self.config
        values = interests.values.detach() if config.is_interest_detached else interests.values
        channels = interests.channels.detach() if config.is_channel_detached else interests.channels
        clean = data_points(values, config.interest_scale)
        time = noise.integers(clean[..., 0], config.num_diffusion_steps, LOSS_STEP)
        return denoising_loss(
            partial(self.output, self.process, clean, channels),
            self.process,
            clean,
            time,
            noise.normal(clean, LOSS_NOISE),
            mask=(interests.num_kept > 0).unsqueeze(-1),
        )

    def output(
        self, process: Process, clean: Tensor, channels: Tensor, noisy: Tensor, time: Tensor
    ) -> Tensor:
        """Return what the denoiser says. Shape of ``noisy``; ``time`` as in :class:`Denoiser`."""
        said: Tensor = self.denoiser(noisy, clean, channels, process.network_time(time))
        return said
