"""TimeVAE in small: a variational autoencoder of whole windows, written after its published idea.

A convolutional encoder gives a normal law of a latent vector; the decoder adds a polynomial trend, a season
and a residual of transposed convolutions, all made of that vector. Sizes, and the weight of the
reconstruction, are ours.

Desai et al. (2021), "TimeVAE: a variational auto-encoder for multivariate time series generation".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

STRIDE = 2
KERNEL = 3


@dataclass(frozen=True, slots=True)
class TimeVAEConfig:
    """Sizes and training; ``reconstruction_weight`` is the inverse of twice the variance of a value."""

    length: int
    season: int = 1
    latent_size: int = 8
    hidden_sizes: tuple[int, ...] = (32, 64)
    degree: int = 2
    reconstruction_weight: float = 3.0
    learning_rate: float = 1e-3
    batch_size: int = 64
    num_steps: int = 2_000


class TimeVAE(nn.Module):
    """Encoder and decoder of windows of one channel. Shapes ``(batch, length)``."""

    def __init__(self, config: TimeVAEConfig) -> None:
        super().__init__()
        self.config = config
        widths = (1, *config.hidden_sizes)
        pairs = list(pairwise(widths))
        layers: list[nn.Module] = []
        for before, after in pairs:
            layers += [nn.Conv1d(before, after, KERNEL, STRIDE, KERNEL // 2), nn.ReLU()]
        self.encode_steps = nn.Sequential(*layers)
        self.short = config.length
        for _ in pairs:
            self.short = -(-self.short // STRIDE)
        flat = self.short * widths[-1]
        self.to_law = nn.Linear(flat, 2 * config.latent_size)
        self.from_latent = nn.Linear(config.latent_size, flat)
        layers = []
        for before, after in reversed(pairs):
            layers += [nn.ConvTranspose1d(after, before if before > 1 else after, KERNEL, STRIDE), nn.ReLU()]
        self.decode_steps = nn.Sequential(*layers, nn.Conv1d(widths[1], 1, KERNEL, padding=KERNEL // 2))
        self.trend = nn.Linear(config.latent_size, config.degree + 1)
        self.season = nn.Linear(config.latent_size, config.season)
        place = torch.linspace(-1, 1, config.length)
        self.register_buffer("powers", torch.stack([place**power for power in range(config.degree + 1)]))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the latent vector. Shape ``(batch, latent_size)`` each."""
        hidden = self.encode_steps(x.unsqueeze(1)).flatten(1)
        mean, log_variance = self.to_law(hidden).chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 10)

    def decode(self, latent: Tensor) -> Tensor:
        """Return windows. Shape ``(batch, length)``."""
        length = self.config.length
        hidden = self.from_latent(latent).view(len(latent), -1, self.short)
        residual = self.decode_steps(hidden)[:, 0, :length]
        repeats = -(-length // self.config.season)
        season = self.season(latent).repeat(1, repeats)[:, :length]
        return residual + self.trend(latent) @ self.powers + season

    def loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the negative bound of the log likelihood, the mean over windows."""
        mean, log_variance = self.encode(x)
        noise = torch.randn(mean.shape, generator=generator)
        found = self.decode(mean + (0.5 * log_variance).exp() * noise)
        error = self.config.reconstruction_weight * (found - x).square().sum(1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return (error + divergence).mean()


def fit_time_vae(windows: NDArray[np.floating], config: TimeVAEConfig, *, seed: int = 0) -> TimeVAE:
    """Train on windows, shape ``(num_windows, length)``; on batches drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TimeVAE(config)
    data = torch.from_numpy(np.asarray(windows, dtype=np.float32))
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate)
    for _ in range(config.num_steps):
        rows = torch.randint(len(data), (config.batch_size,), generator=generator)
        loss = model.loss(data[rows], generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def draw_time_vae(model: TimeVAE, num_windows: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Return decoded draws of the latent vector, without noise of single values, as published."""
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(num_windows, model.config.latent_size, generator=generator)
    return np.asarray(model.decode(latent).numpy(), dtype=np.float64)
