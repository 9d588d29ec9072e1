"""Series by their level in training, in thirds: whether small series are served as well as large ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series_windows import Windows

LEVELS: Final = ("low", "middle", "high")


def level_masks(task: ForecastTask, windows: Windows) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield, for each third of the series by their mean in training, which windows are of it.

    Nothing is yielded where there are fewer than three series. Ties are broken by their order.

    Yields
    ------
    tuple of str and array
        Name of the subset, ``level:low`` and so on, and a mask of shape ``(num_windows,)``.
    """
    series = task.series
    if series.num_series < len(LEVELS):
        return
    ends = task.train_ends.tolist()
    means = np.array([_mean(series.target(number)[:end]) for number, end in enumerate(ends)])
    third = np.empty(series.num_series, dtype=np.int64)
    third[np.argsort(means, kind="stable")] = np.arange(series.num_series) * len(LEVELS) // series.num_series
    for number, name in enumerate(LEVELS):
        mask = third[windows.series] == number
        if mask.any():
            yield f"level:{name}", mask


def _mean(values: NDArray[np.floating]) -> float:
    """Return the mean of what was observed; 0 where nothing was."""
    observed = values[np.isfinite(values)]
    return float(observed.mean()) if len(observed) else 0.0
