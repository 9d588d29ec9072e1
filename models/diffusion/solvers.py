# SPDX-License-Identifier: Apache-2.0
"""Deterministic samplers: DPM-Solver++ 2M, Euler and Heun."""

from __future__ import annotations

import torch
from torch import Tensor

from models.diffusion.process import Estimate
from models.diffusion.samplers import Done, Run, Sampler
from models.diffusion.transition import Transition


class Euler(Sampler):
    """Straight steps along signal and noise; with flow matching the steps along the predicted velocity.

    The same numbers as DDIM with ``eta`` 0. Fits any prior as the noisy end.
    """

    def move(
        self, run: Run, step: Transition, estimate: Estimate, guided: Estimate, done: Done | None
    ) -> Tensor:
        """Return the values at the cleaner time."""
        del run, estimate, done
        return _straight(step, guided.x0, guided.noise)


class Heun(Sampler):
    """Euler steps, corrected by what the network says where they lead: second order.

    Needs the network twice a step, except in the last, since no network knows the clean time.
    """

    def move(
        self, run: Run, step: Transition, estimate: Estimate, guided: Estimate, done: Done | None
    ) -> Tensor:
        """Return the values at the cleaner time."""
        del estimate, done
        first = _straight(step, guided.x0, guided.noise)
        if not (step.next_spread > 0).all():
            return first
        there = run.process.guide(run.denoise(first, step.next_time), first, step.next_time)
        return _straight(step, (guided.x0 + there.x0) / 2, (guided.noise + there.noise) / 2)


class DPMSolver2M(Sampler):
    r"""DPM-Solver++ of second order with two steps of memory, on clean values.

    With :math:`\lambda = \log(a / s)` the clean values are taken as linear in :math:`\lambda`, through this
    step's estimate and the one before. First and last step, and the one after a start without signal, are of
    first order, where it equals DDIM.

    Parameters
    ----------
    bound
        Largest magnitude of clean values; guidance can throw them far at high noise. None is no bound.

    References
    ----------
    Lu, Zhou, Bao, Chen, Li and Zhu (2022), "DPM-Solver++: fast solver for guided sampling of diffusion
    probabilistic models".
    """

    def __init__(self, bound: float | None = None) -> None:
        if bound is not None and bound <= 0:
            raise ValueError(f"bound must be above 0; got {bound}.")
        self.bound = bound

    def move(
        self, run: Run, step: Transition, estimate: Estimate, guided: Estimate, done: Done | None
    ) -> Tensor:
        """Return the values at the cleaner time."""
        del run, estimate
        x0 = self._bounded(guided.x0)
        if done is not None:
            # Infinite at the ends of a process: before a start without signal, and in the last step.
            before, now = -done.step.shrink.log(), -step.shrink.log()
            ahead = torch.where(torch.isfinite(now), now / (2 * before), torch.zeros_like(now))
            x0 = x0 + ahead * (x0 - self._bounded(done.x0))
        return step.next_spread / step.spread * step.x + step.next_signal * (1 - step.shrink) * x0

    def _bounded(self, x0: Tensor) -> Tensor:
        return x0 if self.bound is None else x0.clamp(-self.bound, self.bound)


def _straight(step: Transition, x0: Tensor, noise: Tensor) -> Tensor:
    """Return where signal and noise lead between both times."""
    return step.x + (step.next_signal - step.signal) * x0 + (step.next_spread - step.spread) * noise
