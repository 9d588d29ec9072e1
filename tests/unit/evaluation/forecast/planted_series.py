"""Series whose law is known, and the task of forecasting them."""

from __future__ import annotations

import numpy as np

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series import SeriesSet

START = np.datetime64("2024-01-01")


def seasonal_task(
    *, num_series: int = 6, length: int = 300, noise: float = 0.3, seed: int = 0, num_windows: int = 3
) -> ForecastTask:
    """A week's pattern of each series, times its own level, plus normal noise; 7 steps to forecast."""
    random = np.random.default_rng(seed)
    levels = 10.0 ** random.uniform(0, 3, num_series)
    pattern = 3 + random.normal(size=(num_series, 7))
    steps = np.arange(length)
    targets = [
        level * (shape[steps % 7] + noise * random.normal(size=length))
        for level, shape in zip(levels, pattern, strict=True)
    ]
    series = SeriesSet.from_arrays(
        [f"s{number}" for number in range(num_series)], np.full(num_series, START), targets, "daily"
    )
    return ForecastTask.rolling(
        "planted", series, context_length=28, prediction_length=7, num_windows=num_windows
    )


def with_changed_future(task: ForecastTask) -> SeriesSet:
    """The same series with nonsense from the first test step on."""
    targets = []
    for number, begin in enumerate(task.test_begins):
        values = task.series.target(number).copy()
        values[begin:] = -1e6
        targets.append(values)
    return SeriesSet.from_arrays(task.series.ids, task.series.starts, targets, task.series.frequency)
