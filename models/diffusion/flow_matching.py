# SPDX-License-Identifier: Apache-2.0
"""Flow matching: straight lines from values to noise, or to a sample of any prior."""

from __future__ import annotations

import torch
from torch import Tensor

from models.diffusion.noise import uniform
from models.diffusion.process import Estimate, Process, check_noisiest, expand


class FlowMatching(Process):
    r"""Straight lines :math:`x_t = (1 - t)\, x_0 + t\, \epsilon`; the network predicts their velocity.

    The velocity is :math:`\epsilon - x_0`, the time a float from 1 (noise) to 0 (clean). The noisy end may be
    a sample of any prior, correlated or centered on a guess: pass it as ``noise`` and start the sampler from
    such a sample. Only deterministic samplers fit a prior that is not white.

    Parameters
    ----------
    network_scale
        What a network is told at time 1; embeddings of diffusion steps are made for about 100.

    References
    ----------
    Lipman, Chen, Ben-Hamu, Nickel and Le (2023), "Flow matching for generative modeling"; Liu, Gong and Liu
    (2023), "Flow straight and fast". Time runs the other way there: their 1 is our 0.
    """

    _place: Tensor

    def __init__(self, network_scale: float = 100.0) -> None:
        super().__init__()
        self.network_scale = network_scale
        # Where the module is, and in which type: all that the times must follow.
        self.register_buffer("_place", torch.zeros(()), persistent=False)

    def signal(self, time: Tensor) -> Tensor:
        """Return the factor of the clean values. Shape of ``time``."""
        return 1 - time

    def spread(self, time: Tensor) -> Tensor:
        """Return the factor of the noise. Shape of ``time``."""
        return time

    def times(self, num_steps: int, *, start: float | None = None) -> Tensor:
        """Return even times from 1, or ``start``, to 0. Shape ``(num_steps + 1,)``.

        Raises
        ------
        ValueError
            If there is no step, or ``start`` lies outside (0, 1].
        """
        first = 1.0 if start is None else float(start)
        if num_steps < 1:
            raise ValueError(f"num_steps must be at least 1; got {num_steps}.")
        if not 0 < first <= 1:
            raise ValueError(f"start must lie in (0, 1]; got {start}.")
        even = torch.linspace(first, 0, num_steps + 1, dtype=torch.float64)
        return even.to(self._place.device, torch.promote_types(self._place.dtype, torch.float32))

    def draw_times(
        self, batch_size: int, generator: torch.Generator | None = None, *, noisiest: float = 1.0
    ) -> Tensor:
        """Return times in (0, 1], uniform over the noisiest share. Float32, shape ``(batch_size,)``."""
        check_noisiest(noisiest)
        return 1 - noisiest * uniform(batch_size, generator, self._place.device)

    def target(self, x0: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return the velocity of the line. Shape ``(batch, ...)``."""
        del time
        return noise - x0

    def estimate(self, output: Tensor, x: Tensor, time: Tensor) -> Estimate:
        """Return the two ends of the line through ``x`` with this velocity."""
        spread = expand(time, x)
        return Estimate(x0=x - spread * output, noise=x + (1 - spread) * output)

    def clean_error(self, time: Tensor) -> Tensor:
        """Return the squared error of the clean values for an error 1 of the output. Shape of ``time``."""
        return time.square()

    def network_time(self, time: Tensor) -> Tensor:
        """Return the time on the scale of steps. Shape of ``time``."""
        return time * self.network_scale
