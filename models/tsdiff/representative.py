# SPDX-License-Identifier: Apache-2.0
"""The one diffusion step whose loss stands for the likelihood of a window."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from models.batches import WindowBatch
from models.diffusion import loss_by_step
from models.tsdiff.guided import frozen
from models.tsdiff.tsdiff import TSDiff


@torch.no_grad()
def stepwise_losses(
    model: TSDiff, batches: Iterable[WindowBatch], generator: torch.Generator | None = None
) -> Tensor:
    """Return the loss at each diffusion step, the mean over all observed values.

    Every window is noised once for each step. Shape ``(num_diffusion_steps,)``.

    Raises
    ------
    ValueError
        If nothing is observed.
    """
    times = model.process.times(model.process.num_steps)[:-1].flip(0)
    total, count = torch.zeros(len(times), dtype=torch.float64), 0
    with frozen(model):
        for batch in batches:
            model.check(batch)
            values, observed = batch.scaled()
            losses = loss_by_step(model.output, model.process, values, times, generator, mask=observed)
            total += losses.double().cpu() * int(observed.sum())
            count += int(observed.sum())
    if count == 0:
        raise ValueError("losses by step need windows of which something is observed.")
    return total / count


def representative_step(
    model: TSDiff, batches: Iterable[WindowBatch], generator: torch.Generator | None = None
) -> int:
    """Return the diffusion step whose loss is nearest to the mean loss over all steps.

    Parameters
    ----------
    model
        Unconditional model.
    batches
        Windows that the model should explain, about a thousand; their observed values are read.
    generator
        Source of the noise.

    References
    ----------
    Kollovieh et al. (2023), "Predict, refine, synthesize: self-guiding diffusion models for probabilistic
    time series forecasting", section 3.2.
    """
    losses = stepwise_losses(model, batches, generator)
    return int((losses - losses.mean()).square().argmin())
