# SPDX-License-Identifier: Apache-2.0
"""Windows drawn from an unconditional model without any observation, and how well it knows given ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from models.batches import WindowBatch
from models.diffusion import DDIM, Sampler, normal_like, window_losses
from models.tsdiff.guided import frozen
from models.tsdiff.model import VALIDATION_SEED
from models.tsdiff.tsdiff import TSDiff


@torch.no_grad()
def draw_windows(
    model: TSDiff,
    num_windows: int,
    num_steps: int,
    generator: torch.Generator | None = None,
    *,
    sampler: Sampler | None = None,
    length: int | None = None,
    center: Tensor | None = None,
    rows_at_once: int = 512,
    on_windows: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw whole windows of the series as the network sees them: centered and divided by their scale.

    The lags are drawn with the series and dropped.

    Parameters
    ----------
    model
        Unconditional model.
    num_windows
        How many, at least 1.
    num_steps
        Calls of the network for a window, at least 1.
    generator
        Source of all noise; torch's global state where None.
    sampler
        DDIM where None.
    length
        Steps of a window, by default those of training; the network takes any number, but has learned from
        no other.
    center
        Mean of each channel over scaled windows: paths start around it, times the signal left at the
        noisiest step, as the noisiest windows do in training. Nothing changes where a schedule ends without
        signal. Shape ``(channels,)``.
    rows_at_once
        Windows that are computed together; a bound of memory. Other numbers are drawn for another bound.
    on_windows
        Called with the number of windows done, part by part.

    Returns
    -------
    Tensor
        Shape ``(num_windows, length)``.

    Raises
    ------
    ValueError
        If a number is below 1, or ``center`` has another shape.
    """
    if min(num_windows, num_steps, rows_at_once, 1 if length is None else length) < 1:
        found = f"{num_windows}, {num_steps}, {rows_at_once}, {length}"
        raise ValueError(f"num_windows, num_steps, rows_at_once, length must be at least 1; got {found}.")
    if center is not None and center.shape != (model.channels,):
        raise ValueError(f"center must have shape {(model.channels,)}; got {tuple(center.shape)}.")
    drawn = []
    with frozen(model):
        for first in range(0, num_windows, rows_at_once):
            rows = min(rows_at_once, num_windows - first)
            x = model.start(rows, length, generator)
            if center is not None:
                signal = model.process.signal(model.process.times(num_steps)[0])
                x = x + signal.to(x) * center.to(x)
            clean = (sampler or DDIM()).sample(model.denoise, model.process, x, num_steps, generator)
            drawn.append(clean[..., 0])
            if on_windows is not None:
                on_windows(rows)
    return torch.cat(drawn)


@torch.no_grad()
def series_losses(model: TSDiff, batch: WindowBatch) -> Tensor:
    """Return the denoising loss of each window's own series; of its lags nothing is counted.

    A fixed function of each window, the mean over fixed times and noise: what a model has seen in training
    tends to be denoised better than what it has not. Shape ``(batch,)``.
    """
    model.check(batch)
    process = model.process
    times = process.times(model.validation_times)[:-1].to(batch.target.device)
    like = batch.target.new_empty(len(times), batch.target.shape[1], model.channels)
    noise = normal_like(like, torch.Generator().manual_seed(VALIDATION_SEED))
    x0, observed = batch.repeat(len(times)).scaled()
    counted = torch.zeros_like(observed)
    counted[..., 0] = observed[..., 0]
    with frozen(model):
        losses = window_losses(
            model.output,
            process,
            x0,
            times.repeat(len(batch)),
            noise.repeat(len(batch), 1, 1),
            mask=counted,
        )
    return losses.view(len(batch), len(times)).mean(dim=1)
