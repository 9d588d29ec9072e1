# SPDX-License-Identifier: Apache-2.0
"""One step of a sampler: the factors at both of its times, and the variances between them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.diffusion.process import Process, expand


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """From a noisier time to a cleaner one.

    Attributes
    ----------
    x
        Values at the noisier time. Shape ``(batch, ...)``.
    time, next_time
        The noisier time and the cleaner one. Shape ``(batch,)``.
    signal, spread
        Factors at the noisier time, ready to be multiplied with ``x``.
    next_signal, next_spread
        Factors at the cleaner time.
    """

    x: Tensor
    time: Tensor
    next_time: Tensor
    signal: Tensor
    spread: Tensor
    next_signal: Tensor
    next_spread: Tensor

    @property
    def kept(self) -> Tensor:
        """Signal at the noisier time as a share of that at the cleaner one, in [0, 1]."""
        return self.signal / self.next_signal

    @property
    def added_variance(self) -> Tensor:
        """Variance of the noise added between both times; between neighboring diffusion steps it is beta."""
        return (self.spread.square() - (self.kept * self.next_spread).square()).clamp(min=0)

    @property
    def posterior_variance(self) -> Tensor:
        """Variance of the values at the cleaner time, given the noisy and the clean ones."""
        return self.added_variance * (self.next_spread / self.spread).square()

    @property
    def shrink(self) -> Tensor:
        """Noise-to-signal at the cleaner time as a share of that at the noisier one, in [0, 1]."""
        return self.kept * self.next_spread / self.spread


def transition(process: Process, x: Tensor, time: Tensor, next_time: Tensor) -> Transition:
    """Return the step that takes all rows of ``x`` from one time to a cleaner one.

    The times are scalars, or one for each row.
    """
    before, after = time.expand(x.shape[:1]), next_time.expand(x.shape[:1])
    return Transition(
        x=x,
        time=before,
        next_time=after,
        signal=expand(process.signal(before), x),
        spread=expand(process.spread(before), x),
        next_signal=expand(process.signal(after), x),
        next_spread=expand(process.spread(after), x),
    )
