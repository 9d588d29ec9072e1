"""What every forecaster can do, and pieces that several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import PERCENTS, Forecasts
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows

Floats = NDArray[np.float64]
# Standard normal quantiles of every percent.
NORMAL_PERCENTS: Final[Floats] = np.asarray(ndtri(np.array(PERCENTS)), dtype=np.float64)


class Forecaster(ABC):
    """Learn from a task's training and validation steps, then forecast windows of any series.

    A forecast depends on values before its origin only. ``limits`` says in words what was held short to
    save time, where something was.
    """

    name: str
    limits: str = ""
    _tell: Callable[[float], None] | None = None

    def follow(self, tell: Callable[[float], None] | None) -> None:
        """Tell from now on, in shares of the whole work, what was done since the last call.

        Those that take long do; the shares of one fit and one forecast add up to at most 1.
        """
        self._tell = tell

    def _advance(self, share: float) -> None:
        if self._tell is not None:
            self._tell(share)

    @abstractmethod
    def fit(self, task: ForecastTask) -> None:
        """Learn from steps before the test; those of validation serve to choose and to measure spreads."""

    @abstractmethod
    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Forecast each window.

        Parameters
        ----------
        series
            Series with the history of each window. What lies at or beyond an origin is not read.
        windows
            Where to forecast.
        """


def history_of(series: SeriesSet, windows: Windows, number: int, most: int | None = None) -> Floats:
    """Return what is known at one window's origin, NaN where unobserved, at most the last ``most`` steps."""
    origin = int(windows.origins[number])
    values = series.target(int(windows.series[number]))[:origin].astype(np.float64)
    return values if most is None else values[-most:]


def filled_forward(values: Floats, season: int) -> Floats:
    """Return values with each gap filled by the value one season before, or else the last known one.

    What lies before the first known value takes that value; all 0 if nothing is known. The gaps of
    several rows are filled row by row. Shape ``(..., length)``.
    """
    found = np.array(values, dtype=np.float64)
    for step in range(found.shape[-1]):
        gap = np.isnan(found[..., step])
        if gap.any():
            if step >= season:
                found[..., step] = np.where(gap, found[..., step - season], found[..., step])
            if step >= 1:
                still = np.isnan(found[..., step])
                found[..., step] = np.where(still, found[..., step - 1], found[..., step])
    for step in range(found.shape[-1] - 2, -1, -1):
        found[..., step] = np.where(np.isnan(found[..., step]), found[..., step + 1], found[..., step])
    return np.nan_to_num(found, nan=0.0)


def normal_forecasts(windows: Windows, mean: Floats, spread: Floats) -> Forecasts:
    """Return normal laws as quantiles of every percent.

    Parameters
    ----------
    windows
        Where.
    mean, spread
        Mean and standard deviation of each step. Shape ``(n, prediction_length)``.
    """
    quantiles = mean[:, None, :] + spread[:, None, :] * NORMAL_PERCENTS[:, None]
    return Forecasts.of_quantiles(windows, quantiles, PERCENTS)
