"""Worlds of series whose law is known, and tasks on them."""

from __future__ import annotations

import numpy as np

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.synthesis.real_windows import Pieces

START = np.datetime64("2024-01-01")
CONTEXT, PREDICTION = 8, 4
LENGTH = CONTEXT + PREDICTION
LEVEL = 10.0


def ar1(shape, random, *, kept=0.8, level=LEVEL):
    """Stationary autoregression around a level far above its spread, so that sizes of contexts are alike."""
    noise = random.normal(size=shape)
    values = np.empty(shape)
    values[..., 0] = noise[..., 0] / np.sqrt(1 - kept**2)
    for step in range(1, shape[-1]):
        values[..., step] = kept * values[..., step - 1] + noise[..., step]
    return level + values


def ar1_task(*, num_series=12, length=150, num_windows=4, seed=0) -> ForecastTask:
    random = np.random.default_rng(seed)
    series = SeriesSet.from_arrays(
        [f"s{number}" for number in range(num_series)],
        np.full(num_series, START),
        list(ar1((num_series, length), random)),
        "daily",
    )
    return ForecastTask.rolling(
        "ar1",
        series,
        context_length=CONTEXT,
        prediction_length=PREDICTION,
        num_windows=num_windows,
        season=1,
    )


def ar1_windows(number, seed):
    """Fresh windows of the same law, divided by the mean size of their context."""
    values = ar1((number, LENGTH), np.random.default_rng([seed, 7]))
    return values / np.abs(values[:, :CONTEXT]).mean(axis=1, keepdims=True)


def pieces(values) -> Pieces:
    """Pieces that share no step, each of a series of its own."""
    each = np.arange(len(values), dtype=np.int64)
    return Pieces(Windows(each, np.zeros_like(each)), values, each)
