"""Windows of random series."""

from __future__ import annotations

import math

import torch

from models.batches import WindowBatch


def window_batch(
    batch: int = 4,
    context: int = 12,
    prediction: int = 4,
    lags: tuple[int, ...] = (),
    *,
    missing: float = 0.0,
    num_calendar: int = 0,
    seed: int = 0,
) -> WindowBatch:
    """Noisy seasonal windows with a level of their own; ``missing`` is the share of values not observed.

    Lags are those of the series itself and known everywhere but in the gaps. Gaps hold absurd values.
    """
    random = torch.Generator().manual_seed(seed)
    longest = max(lags, default=0)
    length = context + prediction
    time = torch.arange(longest + length)
    phase = 4 * torch.rand(batch, 1, generator=random)
    level = 2 + 5 * torch.rand(batch, 1, generator=random)
    wave = torch.sin(2 * math.pi * (time + phase) / 4)
    noise = torch.randn(batch, len(time), generator=random)
    series = level * (1.5 + wave + 0.1 * noise)
    known = torch.rand(series.shape, generator=random) >= missing
    series = series.where(known, 1e6)
    shifted = [slice(longest - lag, longest - lag + length) for lag in lags]
    target, observed = series[:, longest:], known[:, longest:]
    past = observed[:, :context]
    total = (target[:, :context].abs() * past).sum(1)
    return WindowBatch(
        target=target,
        observed=observed,
        lags=torch.stack([series[:, part] for part in shifted], -1)
        if lags
        else target.new_zeros(batch, length, 0),
        lags_observed=torch.stack([known[:, part] for part in shifted], -1)
        if lags
        else torch.zeros(batch, length, 0, dtype=torch.bool),
        loc=torch.zeros(batch),
        scale=total / past.sum(1).clamp(min=1),
        calendar=torch.rand(batch, length, num_calendar, generator=random),
        series=torch.arange(batch),
    )
