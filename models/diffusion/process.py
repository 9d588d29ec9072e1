# SPDX-License-Identifier: Apache-2.0
"""What a diffusion process is: how values lose themselves in noise, and what a network says of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What a network makes of noisy values.

    Attributes
    ----------
    x0
        Clean values, the mean given the noisy ones. Shape ``(batch, ...)``.
    noise
        Noise, so that signal times ``x0`` plus spread times ``noise`` are the noisy values.
        Shape ``(batch, ...)``.
    guidance
        Gradient, at the noisy values, of the log-likelihood of what was observed, times the guidance scale.
        Shape ``(batch, ...)``; None where nothing guides.
    """

    x0: Tensor
    noise: Tensor
    guidance: Tensor | None = None


# From noisy values and their times, shape ``(batch,)``, to what the network makes of them.
Denoise = Callable[[Tensor, Tensor], Estimate]


def expand(values: Tensor, x: Tensor) -> Tensor:
    """Return numbers of the first axes of ``x`` in its type, ready to be multiplied with it."""
    return values.to(x.dtype).reshape(values.shape + (1,) * (x.ndim - values.ndim))


class Process(nn.Module, ABC):
    r"""From clean values to noise: :math:`x_t = a_t x_0 + s_t \epsilon`.

    The factors are called signal :math:`a` and spread :math:`s`. The time may differ between rows, or between
    any of the first axes of the values (one time for each vector of a row). Nothing here knows what the other
    axes mean.
    """

    @abstractmethod
    def signal(self, time: Tensor) -> Tensor:
        """Return the factor of the clean values, in [0, 1]. Shape of ``time``."""

    @abstractmethod
    def spread(self, time: Tensor) -> Tensor:
        """Return the factor of the noise, in [0, 1]. Shape of ``time``."""

    @abstractmethod
    def times(self, num_steps: int, *, start: float | None = None) -> Tensor:
        """Return the times of a sampler, from ``start`` (the noisiest where None) down to the clean one.

        Shape ``(num_steps + 1,)``.
        """

    @abstractmethod
    def draw_times(
        self, batch_size: int, generator: torch.Generator | None = None, *, noisiest: float = 1.0
    ) -> Tensor:
        """Return training times, uniform over the noisiest share of all. Shape ``(batch_size,)``."""

    @abstractmethod
    def target(self, x0: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return what the network should say. Shape ``(batch, ...)``."""

    @abstractmethod
    def estimate(self, output: Tensor, x: Tensor, time: Tensor) -> Estimate:
        """Return what the network's ``output`` at the noisy ``x`` says of clean values and noise."""

    @abstractmethod
    def clean_error(self, time: Tensor) -> Tensor:
        """Return the squared error of the clean values that a squared error 1 of the output makes.

        Shape of ``time``.
        """

    @abstractmethod
    def network_time(self, time: Tensor) -> Tensor:
        """Return the number that tells a network the time: float, about 0 to 100. Shape of ``time``."""

    def add_noise(self, x0: Tensor, time: Tensor, noise: Tensor) -> Tensor:
        """Return ``x0`` as it looks at ``time``.

        Shapes: ``x0`` and ``noise`` ``(batch, ...)``, ``time`` that of the first axes; returns
        ``(batch, ...)``. The noise need not be white: any sample of a prior may stand at the noisy end.
        """
        return expand(self.signal(time), x0) * x0 + expand(self.spread(time), x0) * noise

    def signal_to_noise(self, time: Tensor) -> Tensor:
        """Return signal over spread, squared; infinite at the clean time. Shape of ``time``."""
        return (self.signal(time) / self.spread(time)).square()

    def guide(self, estimate: Estimate, x: Tensor, time: Tensor) -> Estimate:
        r"""Return the estimate that the observed leads to, and no guidance any more.

        Noise becomes :math:`\epsilon - s_t g`, the clean values :math:`x_0 + (s_t^2 / a_t) g`, which is the
        mean given the observed where :math:`g` is the exact gradient. Where no signal is left, nothing noisy
        can tell the clean values apart, and guidance is passed over.
        """
        if estimate.guidance is None:
            return estimate
        signal, spread = expand(self.signal(time), x), expand(self.spread(time), x)
        guidance = torch.where(signal > 0, estimate.guidance, torch.zeros_like(x))
        shift = spread.square() / torch.where(signal > 0, signal, torch.ones_like(signal))
        return replace(
            estimate,
            x0=estimate.x0 + shift * guidance,
            noise=estimate.noise - spread * guidance,
            guidance=None,
        )


def check_noisiest(noisiest: float) -> None:
    """Refuse a share outside (0, 1]."""
    if not 0 < noisiest <= 1:
        raise ValueError(f"noisiest must lie in (0, 1]; got {noisiest}.")
