# SPDX-License-Identifier: Apache-2.0
"""From noise to values: what every sampler does, and the random ones, DDPM and DDIM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from models.diffusion.noise import normal_like
from models.diffusion.process import Denoise, Estimate, Process
from models.diffusion.transition import Transition, transition

# Called after each step with the number of steps done, the number of all, and the values.
OnStep = Callable[[int, int, Tensor], None]
Variance = Literal["posterior", "forward"]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What stays the same during a call of a sampler: network, process and source of random numbers."""

    denoise: Denoise
    process: Process
    generator: torch.Generator | None


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """The step before, and what it took the clean values to be, guidance included."""

    step: Transition
    x0: Tensor


class Sampler(ABC):
    """A rule that takes noisy values step by step to clean ones.

    Samplers keep nothing between calls and know no network. Gradients flow through them unless the caller
    forbids it.
    """

    def sample(
        self,
        denoise: Denoise,
        process: Process,
        x: Tensor,
        num_steps: int,
        generator: torch.Generator | None = None,
        *,
        start: float | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return clean values.

        Parameters
        ----------
        denoise
            Called with noisy values and their time, shape ``(batch,)``, once a step.
        process
            The process that ``denoise`` was trained for.
        x
            Values at the first time: noise, a sample of a prior, or noised values if ``start`` is given.
            All that follows has its type and device. Shape ``(batch, ...)``.
        num_steps
            Number of steps, at least 1.
        generator
            Source of all random numbers; deterministic samplers draw none.
        start
            Time of ``x`` where it is not the noisiest.
        on_step
            Called after each step.

        Returns
        -------
        Tensor
            Shape ``(batch, ...)``.

        Raises
        ------
        ValueError
            If ``num_steps`` or ``start`` do not fit the process.
        """
        run = Run(denoise, process, generator)
        times = process.times(num_steps, start=start).to(x.device)
        done: Done | None = None
        for index in range(num_steps):
            step = transition(process, x, times[index], times[index + 1])
            estimate = denoise(x, step.time)
            guided = process.guide(estimate, x, step.time)
            x = self.move(run, step, estimate, guided, done)
            done = Done(step, guided.x0)
            if on_step is not None:
                on_step(index + 1, num_steps, x)
        return x

    @abstractmethod
    def move(
        self, run: Run, step: Transition, estimate: Estimate, guided: Estimate, done: Done | None
    ) -> Tensor:
        """Return the values at the cleaner time of ``step``.

        Parameters
        ----------
        run
            What stays the same.
        step
            Values, times and factors.
        estimate, guided
            What the network says, and the same with guidance taken into noise and clean values.
        done
            The step before; None at the first.
        """


class DDPM(Sampler):
    r"""Ancestral sampling, over all steps of a schedule or some of them.

    Draws from the normal law of the values at the cleaner time, given the noisy ones and the estimate.
    Guidance moves the mean by the variance times the gradient at the noisy values: one call of the network a
    step.

    Parameters
    ----------
    variance
        Of the law: "posterior", or "forward", the noise added between both times. The last step is
        without noise in both.

    References
    ----------
    Ho, Jain and Abbeel (2020), "Denoising diffusion probabilistic models".
    """

    def __init__(self, variance: Variance = "posterior") -> None:
        if variance not in get_args(Variance):
            raise ValueError(f"variance must be 'posterior' or 'forward'; got {variance!r}.")
        self.variance = variance

    def move(
        self, run: Run, step: Transition, estimate: Estimate, guided: Estimate, done: Done | None
    ) -> Tensor:
        """Return a draw of the values at the cleaner time."""
        del guided, done
        variance = step.posterior_variance
        if self.variance == "forward":
            variance = step.added_variance * (step.next_spread > 0)
        ratio = (step.next_spread / step.spread).square()
        mean = step.kept * ratio * step.x
        mean = mean + step.next_signal * (step.added_variance / step.spread.square()) * estimate.x0
        if estimate.guidance is not None:
            mean = mean + variance * estimate.guidance
        return mean + variance.sqrt() * normal_like(step.x, run.generator)


class DDIM(Sampler):
    r"""Deterministic steps (``eta`` 0) up to ancestral sampling (``eta`` 1).

    Guidance turns the noise into :math:`\epsilon - s_t g`. Without guidance, ``eta`` 1 gives the numbers of
    :class:`DDPM` from the same generator.

    Parameters
    ----------
    eta
        Share of the posterior's standard deviation that is drawn, in [0, 1].

    References
    ----------
    Song, Meng and Ermon (2021), "Denoising diffusion implicit models".
    """

    def __init__(self, eta: float = 0.0) -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"eta must lie in [0, 1]; got {eta}.")
        self.eta = eta

    def move(
        self, run: Run, step: Transition, estimate: Estimate, guided: Estimate, done: Done | None
    ) -> Tensor:
        """Return the values at the cleaner time."""
        del estimate, done
        if self.eta == 0:
            return step.next_signal * guided.x0 + step.next_spread * guided.noise
        drawn = self.eta**2 * step.posterior_variance
        direction = (step.next_spread.square() - drawn).clamp(min=0).sqrt()
        moved = step.next_signal * guided.x0 + direction * guided.noise
        return moved + drawn.sqrt() * normal_like(step.x, run.generator)
