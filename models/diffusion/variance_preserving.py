# SPDX-License-Identifier: Apache-2.0
"""Diffusion in steps that keeps the variance: TSDiff's and DiffuMIN's process."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from models.diffusion.process import Estimate, Process, check_noisiest, expand
from models.diffusion.schedules import NoiseSchedule

Parameterization = Literal["noise", "clean", "velocity"]


class VariancePreserving(Process):
    r"""Diffusion in steps: signal :math:`\sqrt{\bar\alpha_t}` and spread :math:`\sqrt{1 - \bar\alpha_t}`.

    The time is the diffusion step, int64 from 0; -1 is clean.

    Parameters
    ----------
    schedule
        Noise of each step.
    parameterization
        What the network predicts: the noise, the clean values, or the velocity
        :math:`\sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1 - \bar\alpha_t}\, x_0`.

    Raises
    ------
    ValueError
        If the parameterization is unknown, or noise is to be predicted where no signal is left.

    References
    ----------
    Ho, Jain and Abbeel (2020), "Denoising diffusion probabilistic models"; velocity: Salimans and Ho (2022),
    "Progressive distillation for fast sampling of diffusion models".
    """

    def __init__(self, schedule: NoiseSchedule, parameterization: Parameterization = "noise") -> None:
        super().__init__()
        known = get_args(Parameterization)
        if parameterization not in known:
            raise ValueError(f"parameterization must be one of {', '.join(known)}; got {parameterization!r}.")
        if parameterization == "noise" and schedule.ends_without_signal:
            raise ValueError(
                "noise cannot be predicted where the schedule leaves no signal; use 'velocity' or 'clean'."
            )
        self.schedule = schedule
        self.parameterization = parameterization

    @property
    def num_steps(self) -> int:
        """Number of diffusion steps that the network is trained on."""
        return self.schedule.num_steps

    def signal(self, time: Tensor) -> Tensor:
        """Return the factor of the clean values. Shape of ``time``."""
        return self.schedule.signal_at(time)

    def spread(self, time: Tensor) -> Tensor:
        """Return the factor of the noise. Shape of ``time``."""
        return self.schedule.spread_at(time)

    def times(self, num_steps: int, *, start: float | None = None) -> Tensor:
        """Return steps at even distances that begin at the last one, or at ``start``, and end at -1.

        Raises
        ------
        ValueError
            If there are fewer steps than asked for, or ``start`` is none of them.
        """
        first = self.num_steps - 1 if start is None else int(start)
        if not 0 <= first < self.num_steps or (start is not None and first != start):
            raise ValueError(f"start must be a step from 0 to {self.num_steps - 1}; got {start}.")
        if not 1 <= num_steps <= first + 1:
            raise ValueError(f"num_steps must lie in 1 to {first + 1} from step {first}; got {num_steps}.")
        # Whole numbers: rounding floats could give a step twice.
        left = torch.arange(num_steps, -1, -1, device=self.schedule.alpha_bar.device)
        return left * (first + 1) // num_steps - 1

    def draw_times(
        self, batch_size: int, generator: torch.Generator | None = None, *, noisiest: float = 1.0
    ) -> Tensor:
        """Return steps, uniform over the noisiest share of all. Int64, shape ``(batch_size,)``."""
        check_noisiest(noisiest)
        lowest = min(int((1 - noisiest) * self.num_steps), self.num_steps - 1)
        device = self.schedule.alpha_bar.device
        drawn_on = device if generator is None else generator.device
        return torch.randint(lowest, self.num_steps, (batch_size,), generator=generator, device=drawn_on).to(
            device
        )

    def target(self, x0: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return noise, clean values or velocity. Shape ``(batch, ...)``."""
        if self.parameterization == "noise":
            return noise
        if self.parameterization == "clean":
            return x0
        return expand(self.signal(time), x0) * noise - expand(self.spread(time), x0) * x0

    def estimate(self, output: Tensor, x: Tensor, time: Tensor) -> Estimate:
        """Return the clean values and the noise that ``output`` means; ``time`` is not the clean one."""
        signal, spread = expand(self.signal(time), x), expand(self.spread(time), x)
        if self.parameterization == "noise":
            return Estimate(x0=(x - spread * output) / signal, noise=output)
        if self.parameterization == "clean":
            return Estimate(x0=output, noise=(x - signal * output) / spread)
        return Estimate(x0=signal * x - spread * output, noise=spread * x + signal * output)

    def clean_error(self, time: Tensor) -> Tensor:
        """Return the squared error of the clean values for an error 1 of the output. Shape of ``time``."""
        if self.parameterization == "noise":
            return 1 / self.signal_to_noise(time)
        if self.parameterization == "clean":
            return torch.ones_like(self.signal(time))
        return self.spread(time).square()

    def network_time(self, time: Tensor) -> Tensor:
        """Return the step as a float. Shape of ``time``."""
        return time.to(self.schedule.alpha_bar.dtype)
