# SPDX-License-Identifier: Apache-2.0
"""Training times from easy to hard: high noise first, all noise in the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffusion.process import Process


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Draws of times that begin with the noisiest and take in cleaner ones evenly.

    At high noise the best answer is close to the mean of the data; fine detail, the hard part, stands at low
    noise. Once warmed up, times are uniform, as without a curriculum.

    Attributes
    ----------
    warmup_steps
        Training steps until all times are drawn; 0 is no curriculum.
    first_share
        Noisiest share of all times that the first training step draws from, in (0, 1].
    """

    warmup_steps: int
    first_share: float = 0.25

    def __post_init__(self) -> None:
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be at least 0; got {self.warmup_steps}.")
        if not 0 < self.first_share <= 1:
            raise ValueError(f"first_share must lie in (0, 1]; got {self.first_share}.")

    def share(self, training_step: int) -> float:
        """Return the noisiest share of all times that a training step, from 0, draws from."""
        if training_step >= self.warmup_steps:
            return 1.0
        return self.first_share + (1 - self.first_share) * max(training_step, 0) / self.warmup_steps

    def draw_times(
        self,
        process: Process,
        batch_size: int,
        training_step: int,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the times of a batch. Shape ``(batch_size,)``."""
        return process.draw_times(batch_size, generator, noisiest=self.share(training_step))
