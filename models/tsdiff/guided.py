# SPDX-License-Identifier: Apache-2.0
"""Paths of windows of which anything may be known: forecasts, filled gaps, what-if questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.batches import WindowBatch
from models.diffusion import DDIM, Sampler, normal_like
from models.tsdiff.base_forecast import base_paths, windows_around
from models.tsdiff.conditions import Condition, GuidanceKind, observed_condition
from models.tsdiff.guidance import SelfGuidance, spread_levels
from models.tsdiff.tsdiff import TSDiff


@torch.no_grad()
def guided_sample(
    model: TSDiff,
    batch: WindowBatch,
    num_samples: int,
    num_steps: int,
    generator: torch.Generator | None = None,
    *,
    kind: GuidanceKind = "quantile",
    guidance_scale: float = 4.0,
    is_mean: bool = False,
    conditions: Sequence[Condition] = (),
    sampler: Sampler | None = None,
    base: Tensor | None = None,
    start: int | None = None,
    is_antithetic: bool = False,
    is_centered: bool = False,
    is_observed_kept: bool = True,
    largest_move: float | None = 10.0,
    num_iterations: int = 5,
    noise_variance: float = 1e-3,
    rows_at_once: int = 512,
) -> Tensor:
    """Draw whole windows given what is observed of them, whatever the pattern of gaps.

    Path ``i`` of ``n`` is pulled to the quantile level ``i / (n + 1)`` where conditions are of kind
    ``quantile``, so that the paths are spread on purpose.

    Parameters
    ----------
    model
        Unconditional model.
    batch
        Windows. What is not observed, the future above all, is not read.
    num_samples
        Paths of each window, at least 1.
    num_steps
        Calls of the network, at least 1.
    generator
        Source of all noise; torch's global state where None.
    kind, guidance_scale, is_mean
        How the observed values guide, see :class:`~models.tsdiff.conditions.Condition`. The scale that fits
        depends on the data and on the sampler, and is to be chosen on validation windows.
    conditions
        What else is known: of the same windows, in the same order.
    sampler
        DDIM where None.
    base, start
        Forecast to begin from instead of from noise alone, in the unit of ``target``: points, shape
        ``(batch, prediction_length)``, or paths, shape ``(batch, num_samples, prediction_length)``. It is
        noised to the diffusion step ``start``; the lower that is, the more of it stays.
    is_antithetic
        Whether the second half of the paths starts from the first half's noise with the sign turned.
    is_centered
        Whether paths start around the mean of what is observed, times the signal left at the noisiest step,
        as the noisiest windows do in training. Right where the future is near that mean; nothing changes
        where a schedule ends without signal.
    is_observed_kept
        Whether observed values are returned as they are; otherwise as the paths meet them.
    largest_move
        How far a step may move clean values past what is known, in multiples of how far they are off; see
        :class:`~models.tsdiff.guidance.SelfGuidance`.
    num_iterations, noise_variance
        Of the kind ``covariance``, see :func:`~models.diffusion.covariance_guidance`.
    rows_at_once
        Paths that are computed together; a bound of memory. Deterministic samplers give the same numbers
        whatever it is, up to rounding.

    Returns
    -------
    Tensor
        Paths in the unit of ``target``. Shape ``(batch, num_samples, length)``.

    Raises
    ------
    ValueError
        If a number is below 1, a condition is of another number of windows, or only one of ``base`` and
        ``start`` is given.
    """
    if min(num_samples, num_steps, rows_at_once) < 1:
        found = f"{num_samples}, {num_steps}, {rows_at_once}"
        raise ValueError(f"num_samples, num_steps and rows_at_once must be at least 1; got {found}.")
    for condition in conditions:
        if len(condition.values) != len(batch):
            raise ValueError(
                f"a condition is of {len(condition.values)} windows; the batch has {len(batch)}."
            )
    if (base is None) != (start is None):
        raise ValueError("base and start belong together; only one of them is given.")
    model.check(batch)
    observed = observed_condition(batch, kind=kind, guidance_scale=guidance_scale, is_mean=is_mean)
    every = [condition.repeat(num_samples) for condition in (observed, *conditions)]
    levels = spread_levels(num_samples).to(batch.target.device).repeat(len(batch))
    noisy = _noise(model, batch, num_samples, generator, is_antithetic=is_antithetic)
    if base is not None and start is not None:
        forecast = base_paths(batch, base, model.config.prediction_length, num_samples)
        time = torch.full(noisy.shape[:1], start, device=noisy.device)
        noisy = model.process.add_noise(windows_around(batch, forecast)[0], time, noisy)
    elif is_centered:
        noisiest = model.process.times(num_steps)[0]
        center = observed.values.sum(1) / observed.known.sum(1).clamp(min=1)
        center = (model.process.signal(noisiest) * center).repeat_interleave(num_samples)
        noisy = noisy + center.view(-1, 1, 1)
    paths = []
    with frozen(model):
        for first in range(0, len(noisy), rows_at_once):
            rows = slice(first, first + rows_at_once)
            guidance = SelfGuidance(
                model,
                [condition.rows(rows) for condition in every],
                quantile_levels=levels[rows],
                largest_move=largest_move,
                noise_variance=noise_variance,
                num_iterations=num_iterations,
            )
            drawn = (sampler or DDIM()).sample(
                guidance, model.process, noisy[rows], num_steps, generator, start=start
            )
            paths.append(drawn[..., 0])
    whole = batch.unscale(torch.cat(paths).view(len(batch), num_samples, -1))
    if is_observed_kept:
        whole = torch.where(batch.observed.unsqueeze(1), batch.target.unsqueeze(1), whole)
    return whole


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation, without gradients of its weights, and back afterwards."""
    was_training = model.training
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        model.eval().requires_grad_(requires_grad=False)
        yield
    finally:
        model.train(was_training)
        for weight in learned:
            weight.requires_grad_()


def _noise(
    model: TSDiff,
    batch: WindowBatch,
    num_samples: int,
    generator: torch.Generator | None,
    *,
    is_antithetic: bool,
) -> Tensor:
    """Return white noise, all paths of a window in a row. Shape ``(rows, length, channels)``."""
    drawn = -(-num_samples // 2) if is_antithetic else num_samples
    length = batch.target.shape[1]
    noise = normal_like(batch.target.new_empty(len(batch), drawn, length, model.channels), generator)
    if is_antithetic:
        noise = torch.cat([noise, -noise], dim=1)[:, :num_samples]
    return noise.flatten(0, 1)
