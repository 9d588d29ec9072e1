"""Forecasters side by side on the rolling windows of a task, under one metric."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows
from edpipe.errors import SettingsError
from edpipe.evaluation.forecast.baselines.forecaster import Forecaster
from edpipe.evaluation.forecast.calibration import Calibration
from edpipe.evaluation.forecast.intervals import WindowDraws
from edpipe.evaluation.forecast.metrics import WindowScores, seasonal_naive_error, window_scores
from edpipe.progress import Mode, Track, track

NUM_DRAWS = 1_000
# Fitted on forecasts and truth of validation windows.
FitCalibration = Callable[[Forecasts, NDArray[np.float32]], Calibration]


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """Forecasts and scores of several forecasters on the same windows.

    Attributes
    ----------
    task
        Name of the data.
    windows
        Windows forecast.
    forecasts, scores
        By name of the forecaster.
    seconds
        Wall time to fit and to forecast, by name.
    draws
        Draws for intervals, the same for all.
    """

    task: str
    windows: Windows
    forecasts: dict[str, Forecasts]
    scores: dict[str, WindowScores]
    seconds: dict[str, float]
    draws: WindowDraws

    def table(self) -> pl.DataFrame:
        """Return ``data, model, metric, value, low, high, seconds``: one row a model and metric.

        ``low`` and ``high`` are the 95 % interval, null without draws. A metric that is not defined has
        a null value.
        """
        rows = []
        for name, scores in self.scores.items():
            for metric in scores.tops:
                estimate = self.draws.estimate(scores, metric)
                rows.append((self.task, name, metric, estimate.value, *estimate.interval, self.seconds[name]))
        return _frame(rows, {"data": pl.String, "model": pl.String, "metric": pl.String}, "seconds")

    def differences(self, reference: str) -> pl.DataFrame:
        """Return ``data, model, reference, metric, value, low, high``: each model minus the reference.

        Draws are paired: below 0 with an interval that leaves 0 out, the model is ahead on a loss.

        Raises
        ------
        SettingsError
            If no forecaster has this name.
        """
        if reference not in self.scores:
            raise SettingsError(
                "The reference is not among the forecasters.",
                where="`reference`",
                found=repr(reference),
                expected=", ".join(self.scores),
                next_step="Name one of these.",
            )
        rows = []
        for name, scores in self.scores.items():
            for metric in scores.tops if name != reference else ():
                found = self.draws.difference(scores, self.scores[reference], metric)
                rows.append((self.task, name, reference, metric, found.value, *found.interval))
        keys = dict.fromkeys(("data", "model", "reference", "metric"), pl.String)
        return _frame(rows, keys)

    def by_step(self, metric: str) -> pl.DataFrame:
        """Return ``data, model, step, value`` of one metric at each step ahead, from 1."""
        parts = []
        for name, scores in self.scores.items():
            values = scores.by_step(metric)
            parts.append(
                pl.DataFrame(
                    {
                        "data": [self.task] * len(values),
                        "model": [name] * len(values),
                        "step": np.arange(1, len(values) + 1),
                        "value": values,
                    }
                ).with_columns(pl.col("value").fill_nan(None))
            )
        return pl.concat(parts)


def backtest(
    task: ForecastTask,
    forecasters: Sequence[Forecaster],
    *,
    windows: Windows | None = None,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
    progress: Mode = "auto",
) -> Backtest:
    """Fit each forecaster and score it on the test windows.

    Forecasts below the task's minimum are raised to it, for every forecaster alike.

    Parameters
    ----------
    task
        Series and windows.
    forecasters
        Of distinct names.
    windows
        Windows to score; by default those of the test.
    num_draws, seed
        Draws for intervals.
    progress
        How to show the work.

    Raises
    ------
    ValueError
        If names repeat.
    """
    names = [forecaster.name for forecaster in forecasters]
    if len(set(names)) < len(names):
        raise ValueError(f"forecasters must have distinct names; got {names}.")
    scored = task.test if windows is None else windows
    forecasts, seconds = {}, {}
    with track(f"Backtest of {task.name}", total=len(names), unit="models", mode=progress) as bar:
        for forecaster in forecasters:
            bar.note(forecaster.name)
            told = _Shares(bar)
            forecaster.follow(told.tell)
            begin = time.perf_counter()
            forecaster.fit(task)
            found = forecaster.predict(task.series, scored).at_least(task.minimum)
            seconds[forecaster.name] = time.perf_counter() - begin
            forecaster.follow(None)
            forecasts[forecaster.name] = found
            told.finish()
    return scored_backtest(task, forecasts, seconds, num_draws=num_draws, seed=seed)


def scored_backtest(
    task: ForecastTask,
    forecasts: dict[str, Forecasts],
    seconds: dict[str, float],
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> Backtest:
    """Score forecasts that are there already, of the same windows.

    Parameters
    ----------
    task
        Series and training parts, for the truth and the scaled error.
    forecasts
        By name of the model.
    seconds
        Wall time, by name.
    num_draws, seed
        Draws for intervals.

    Raises
    ------
    ValueError
        If the forecasts are not of the same windows in the same order.
    """
    windows = next(iter(forecasts.values())).windows
    for name, found in forecasts.items():
        same = np.array_equal(found.series, windows.series) and np.array_equal(found.origins, windows.origins)
        if not same:
            raise ValueError(f"{name} forecast other windows than the first model.")
    truth = task.truth(windows)
    naive = seasonal_naive_error(
        [task.series.target(number)[:end] for number, end in enumerate(task.test_begins)], task.season
    )
    return Backtest(
        task.name,
        windows,
        forecasts,
        {name: window_scores(found, truth, naive) for name, found in forecasts.items()},
        seconds,
        WindowDraws(windows, num_draws=num_draws, seed=seed),
    )


class CalibratedForecaster(Forecaster):
    """A forecaster whose spread is corrected by how it did on windows it was not fitted to.

    It is fitted to the training part alone first, forecasts the validation windows, and the correction is
    fitted to those. Then it is fitted again, as for the test, and its forecasts are corrected.

    Parameters
    ----------
    forecaster
        What to correct.
    fit_calibration
        For example ``SpreadFactor.fit`` or ``QuantileOffsets.fit``.
    name
        Name of the corrected forecaster; by default that of ``forecaster`` and ``_calibrated``.
    """

    def __init__(
        self, forecaster: Forecaster, fit_calibration: FitCalibration, *, name: str | None = None
    ) -> None:
        self.name = name or f"{forecaster.name}_calibrated"
        self.calibration: Calibration | None = None
        self._forecaster = forecaster
        self._fit_calibration = fit_calibration

    def fit(self, task: ForecastTask) -> None:
        """Fit to the training part, measure on validation, fit once more."""
        self._forecaster.fit(task.before_validation())
        found = self._forecaster.predict(task.series, task.valid).at_least(task.minimum)
        self.calibration = self._fit_calibration(found, task.truth(task.valid))
        self._forecaster.fit(task)

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Forecast and correct."""
        if self.calibration is None:
            raise ValueError("fit comes before predict.")
        return self.calibration.apply(self._forecaster.predict(series, windows))


class _Shares:
    """One forecaster's part of a bar: shares as they come, and at the end what is left of it."""

    def __init__(self, bar: Track) -> None:
        self._bar = bar
        self._left = 1.0

    def tell(self, share: float) -> None:
        given = min(share, self._left)
        self._left -= given
        self._bar.advance(given)

    def finish(self) -> None:
        self._bar.advance(self._left)
        self._left = 0.0


def _frame(rows: Sequence[tuple[object, ...]], keys: dict[str, type[pl.String]], *more: str) -> pl.DataFrame:
    numbers = dict.fromkeys(("value", "low", "high", *more), pl.Float64)
    frame = pl.DataFrame(rows, schema={**keys, **numbers}, orient="row")
    return frame.with_columns(pl.col(*numbers).fill_nan(None))
