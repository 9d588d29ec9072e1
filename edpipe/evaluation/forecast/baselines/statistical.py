"""Automatic ARIMA and exponential smoothing by statsforecast, fitted to each window's own past."""

from __future__ import annotations

import warnings
from typing import Any, Final, Literal

import numpy as np

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import PERCENTS, Forecasts
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.forecast.baselines.forecaster import Floats, Forecaster, filled_forward, history_of
from edpipe.evaluation.forecast.baselines.peers import require_peer

Kind = Literal["auto_arima", "auto_ets"]
# Central intervals whose ends are every percent from 1 to 99, the median left out.
_INTERVALS: Final = tuple(range(2, 100, 2))
# Longer seasons cost minutes a window; most of what they could give is in one day or week.
NUM_SEASONS: Final = {"auto_arima": 10, "auto_ets": 40}
LEAST_HISTORY: Final = 100


class StatisticalForecaster(Forecaster):
    """Choose orders or components by information criterion, window by window.

    Parameters
    ----------
    kind
        ``auto_arima`` or ``auto_ets``.
    history
        Steps before the origin to fit to; by default 10 seasons for ARIMA and 40 for exponential
        smoothing, at least 100 steps.
    exact
        Compare ARIMA orders by their likelihood, not by sums of squares: minutes a window for hours of
        a day.

    Raises
    ------
    SettingsError
        If statsforecast is not installed.
    """

    def __init__(self, kind: Kind, *, history: int | None = None, exact: bool = False) -> None:
        self.name = kind
        self._kind = kind
        self._history = history
        self._exact = exact
        self._models = require_peer("statsforecast.models", kind)
        self._season = 1
        self._prediction_length = 1

    def fit(self, task: ForecastTask) -> None:
        """Take over the season and the length of the prediction."""
        self._season = task.season
        self._prediction_length = task.prediction_length
        rule = "" if self._kind == "auto_ets" or self._exact else ", orders compared by sums of squares"
        self.limits = f"last {self._most} steps before a window{rule}"

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Fit one model a window; gaps are filled by the season before first."""
        quantiles = np.empty((len(windows), len(PERCENTS), self._prediction_length))
        for number in range(len(windows)):
            known = history_of(series, windows, number, self._most)
            quantiles[number] = self._of_one(filled_forward(known, self._season))
            self._advance(1 / len(windows))
        return Forecasts.of_quantiles(windows, quantiles, PERCENTS)

    @property
    def _most(self) -> int:
        return self._history or max(NUM_SEASONS[self._kind] * self._season, LEAST_HISTORY)

    def _of_one(self, known: Floats) -> Floats:
        if len(known) == 0 or np.ptp(known) == 0:
            value = known[-1] if len(known) else 0.0
            return np.full((len(PERCENTS), self._prediction_length), value)
        # Two seasons are the least that tells a season.
        season = self._season if len(known) > 2 * self._season else 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of optimizers, several a window
            found = self._model(season).forecast(y=known, h=self._prediction_length, level=list(_INTERVALS))
        lows = [np.asarray(found[f"lo-{percent}"]) for percent in reversed(_INTERVALS)]
        highs = [np.asarray(found[f"hi-{percent}"]) for percent in _INTERVALS]
        quantiles = np.stack([*lows, np.asarray(found["mean"]), *highs])
        # A model that did not converge has no intervals; its last value goes on.
        return np.where(np.isfinite(quantiles), quantiles, known[-1])

    def _model(self, season: int) -> Any:
        if self._kind == "auto_ets":
            return self._models.AutoETS(season_length=season)
        return self._models.AutoARIMA(season_length=season, approximation=not self._exact)


def auto_arima(*, history: int | None = None, exact: bool = False) -> StatisticalForecaster:
    """Return the forecaster by automatic ARIMA."""
    return StatisticalForecaster("auto_arima", history=history, exact=exact)


def auto_ets(*, history: int | None = None) -> StatisticalForecaster:
    """Return the forecaster by automatic exponential smoothing."""
    return StatisticalForecaster("auto_ets", history=history)
