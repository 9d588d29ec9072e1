"""Forecasts that repeat what was: the last value, and the value one season before."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import PERCENTS, Forecasts
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.forecast.baselines.forecaster import Floats, Forecaster, filled_forward, history_of

Spread = Literal["none", "residuals"]
# Residuals of steps longer ago say less of the present, and cost time.
MOST_HISTORY: Final = 2_000
# With fewer residuals the spread of one distance is taken from all distances together.
_FEWEST: Final = 8


class RepeatForecaster(Forecaster):
    """Repeat an earlier value of the same series, without drift.

    The spread comes from how much the series changed over the same distance before the origin, rises and
    falls alike: the forecast is the median, and the quantiles are those of the absolute changes on both
    sides.

    Parameters
    ----------
    season
        Steps of one season, whose last values are repeated; 1 repeats the last value.
    spread
        ``none`` gives the point alone.
    """

    def __init__(self, season: int | None = None, *, spread: Spread = "residuals") -> None:
        self._asked_season = season
        self._spread = spread
        self._season = season or 1
        self._prediction_length = 0
        kind = "last_value" if season == 1 else "seasonal_naive"
        self.name = kind if spread == "residuals" else f"{kind}_point"

    def fit(self, task: ForecastTask) -> None:
        """Take over the length of the prediction, and the season unless one was given."""
        self._season = self._asked_season or task.season
        self._prediction_length = task.prediction_length

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Repeat the last season before each origin."""
        steps = np.arange(self._prediction_length)
        distance = (steps // self._season + 1) * self._season
        place = self._season - distance + steps  # in the last season before the origin
        points = np.empty((len(windows), len(steps)))
        spreads = np.zeros((len(windows), len(PERCENTS), len(steps)))
        for number in range(len(windows)):
            known = history_of(series, windows, number, MOST_HISTORY)
            filled = filled_forward(known, self._season) if np.isnan(known).any() else known
            filled = _padded(filled, self._season)
            points[number] = filled[len(filled) - self._season + place]
            if self._spread == "residuals":
                spreads[number] = _changes(known, distance)
        if self._spread == "none":
            return Forecasts.of_points(windows, points)
        return Forecasts.of_quantiles(windows, points[:, None, :] + spreads, PERCENTS)


def last_value(*, spread: Spread = "residuals") -> RepeatForecaster:
    """Return the forecaster that repeats the last value."""
    return RepeatForecaster(1, spread=spread)


def seasonal_naive(season: int | None = None, *, spread: Spread = "residuals") -> RepeatForecaster:
    """Return the forecaster that repeats the last season, by default that of the task."""
    return RepeatForecaster(season, spread=spread)


def _padded(values: Floats, length: int) -> Floats:
    """Return the values with the first repeated before them until they are as long; 0 if there is none."""
    missing = length - len(values)
    if missing <= 0:
        return values
    return np.concatenate([np.full(missing, values[0] if len(values) else 0.0), values])


def _changes(values: Floats, distance: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """Return quantiles of changes over each distance, as likely up as down. Shape ``(99, len(distance))``."""
    levels = np.array(PERCENTS)
    outer = np.abs(2 * levels - 1)
    sign = np.sign(2 * levels - 1)
    found = np.zeros((len(levels), len(distance)))
    for lag in np.unique(distance):
        change = np.abs(values[lag:] - values[:-lag]) if lag < len(values) else np.empty(0)
        change = change[~np.isnan(change)]
        if len(change) < _FEWEST:
            change = np.abs(np.diff(values))
            change = change[~np.isnan(change)] * np.sqrt(lag)
        if len(change):
            found[:, distance == lag] = (sign * np.quantile(change, outer))[:, None]
    return found
