# SPDX-License-Identifier: Apache-2.0
"""A second view of the interests: what every kind of it is, and the controls that diffusion must beat."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig, InterestScale
from models.diffumin.keyed_noise import NoiseSource
from models.diffumin.omie import Interests

# Length below which an interest counts as nothing.
LEAST_LENGTH = 1e-6
# What random numbers are drawn for.
START_NOISE, START_STEP, LOSS_NOISE, LOSS_STEP, LATENT = range(5)


def data_points(values: Tensor, scale: InterestScale) -> Tensor:
    """Return interests at the length at which noise is added to them; 0 stays 0. Shape of ``values``."""
    if scale == "raw":
        return values
    length = values.norm(dim=-1, keepdim=True).clamp(min=LEAST_LENGTH)
    points: Tensor = values / length * (values.shape[-1] ** 0.5 if scale == "sqrt_d" else 1.0)
    return points


class Augmentation(nn.Module, ABC):
    """From the interests of some rows to a second view of them.

    Parameters
    ----------
    config
        Hyper-parameters.
    """

    # What the loss is logged as; without a name there is none.
    loss_name: ClassVar[str] = ""

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return the second view. Shape ``(rows, num_channels, item_size)``."""

    def loss(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return the scalar loss of its own, over channels that are not empty."""
        del noise
        return interests.values.new_zeros(())


class Repeat(Augmentation):
    """The interest itself, as long as the diffusion would make it: a control of equal width."""

    def forward(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return the interests at their length."""
        del noise
        return data_points(interests.values, self.config.interest_scale)


class MLPAugmentation(Augmentation):
    """Two linear maps of interests and channels, with as many weights as the diffusion: a control.

    Parameters
    ----------
    config
        Hyper-parameters.
    num_weights
        Number of weights to come near to.
    """

    def __init__(self, config: DiffuMINConfig, num_weights: int) -> None:
        super().__init__(config)
        size = config.num_channels * config.item_size
        hidden = max(1, round((num_weights - size) / (3 * size + 1)))
        self.widen = nn.Linear(2 * size, hidden)
        self.narrow = nn.Linear(hidden, size)

    def forward(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return what the network makes of interests and channels."""
        del noise
        points = data_points(interests.values, self.config.interest_scale)
        joined = torch.cat([points, interests.channels], dim=-1).flatten(1)
        found: Tensor = self.narrow(torch.relu(self.widen(joined)))
        return found.view_as(points)


class VariationalAutoencoder(Augmentation):
    """A variational autoencoder given the channels, with as many weights as the diffusion: a control.

    Parameters
    ----------
    config
        Hyper-parameters.
    num_weights
        Number of weights to come near to.
    """

    loss_name: ClassVar[str] = "vae"

    def __init__(self, config: DiffuMINConfig, num_weights: int) -> None:
        super().__init__(config)
        size = config.num_channels * config.item_size
        hidden = max(1, round((num_weights - 3 * size) / (7 * size + 2)))
        self.encode = nn.Sequential(nn.Linear(2 * size, hidden), nn.ReLU(), nn.Linear(hidden, 2 * size))
        self.decode = nn.Sequential(nn.Linear(2 * size, hidden), nn.ReLU(), nn.Linear(hidden, size))

    def forward(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return what is decoded from a draw of the code."""
        points = data_points(interests.values, self.config.interest_scale)
        return self._pass(points, interests.channels, noise)[0]

    def loss(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return the bound of the log-likelihood with unit variance, as a mean over entries."""
        points = data_points(interests.values, self.config.interest_scale)
        if self.config.is_interest_detached:
            points = points.detach()
        channels = interests.channels.detach() if self.config.is_channel_detached else interests.channels
        decoded, mean, log_variance = self._pass(points, channels, noise)
        divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()
        counts = (interests.num_kept > 0).unsqueeze(-1).expand_as(points)
        error = torch.where(counts, (decoded - points).square(), torch.zeros_like(points))
        return 0.5 * error.sum() / counts.sum().clamp(min=1) + divergence

    def _pass(self, points: Tensor, channels: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor, Tensor]:
        given = channels.flatten(1)
        mean, log_variance = self.encode(torch.cat([points.flatten(1), given], dim=-1)).chunk(2, dim=-1)
        code = mean + (0.5 * log_variance).exp() * noise.normal(mean, LATENT)
        decoded: Tensor = self.decode(torch.cat([code, given], dim=-1))
        return decoded.view_as(points), mean, log_variance
