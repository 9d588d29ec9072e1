"""Train on synthetic, test on real: forecasters with a spread that see no real window before the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.frequency import Frequency
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.forecast.baselines.boosted import BoostedForecaster
from edpipe.evaluation.forecast.baselines.forecaster import normal_forecasts
from edpipe.evaluation.forecast.baselines.ridge import fit_ridge
from edpipe.evaluation.forecast.metrics import WindowScores, window_scores
from edpipe.evaluation.synthesis.linear_score import PENALTY, check_windows
from edpipe.evaluation.synthesis.real_windows import TestWindows

Floats = NDArray[np.float64]
Downstream = Literal["ridge", "boosted"]
DOWNSTREAM: Final[tuple[Downstream, ...]] = ("ridge", "boosted")
# Every fifth window measures the ridge's spread, which the others' coefficients did not see.
_SPREAD_EVERY: Final = 5
# Share of a normal law within one standard deviation.
_WITHIN: Final = 0.6826894921370859
_NO_DATE: Final = np.datetime64("1970-01-01", "us")


@dataclass(frozen=True, slots=True)
class Calendar:
    """What forecasters are told of time: the grid and its season, never a date."""

    frequency: Frequency
    season: int


def downstream_scores(
    kind: Downstream,
    windows: Floats,
    test: TestWindows,
    calendar: Calendar,
    *,
    num_rows: int = 10_000,
    num_trees: int = 50,
    seed: int = 0,
) -> WindowScores:
    """Return scores on the real test of a forecaster that learned from ``windows`` alone.

    Parameters
    ----------
    kind
        ``ridge`` is a ridge regression with a normal spread, ``boosted`` a set of trees a quantile.
    windows
        Windows divided by the mean size of their context. Shape ``(num_windows, length)``.
    test
        Real windows.
    calendar
        Grid and season.
    num_rows, num_trees
        Training rows at most, a step of a window each, and rounds of the trees.
    seed
        Seed of the trees' draws.

    Raises
    ------
    ValueError
        If the kind is unknown or the windows have another length than those of the test.
    """
    check_windows(windows, test.context.shape[1] + test.truth.shape[1])
    if kind == "ridge":
        found = _ridge(windows, test)
    elif kind == "boosted":
        found = _boosted(windows, test, calendar, num_rows=num_rows, num_trees=num_trees, seed=seed)
    else:
        raise ValueError(f"kind must be one of {', '.join(DOWNSTREAM)}; got {kind!r}.")
    return window_scores(found, test.truth)


def _ridge(windows: Floats, test: TestWindows) -> Forecasts:
    context_length = test.context.shape[1]
    context, future = windows[:, :context_length], windows[:, context_length:]
    is_spread = np.arange(len(windows)) % _SPREAD_EVERY == _SPREAD_EVERY - 1
    if not is_spread.any():
        raise ValueError(f"at least {_SPREAD_EVERY} windows are needed; got {len(windows)}.")
    fit = fit_ridge(context[~is_spread], future[~is_spread], PENALTY)
    spread = np.quantile(np.abs(future[is_spread] - fit(context[is_spread])), _WITHIN, axis=0)
    unit = test.scale[:, None]
    return normal_forecasts(test.windows, fit(test.context) * unit, spread * unit)


def _boosted(
    windows: Floats, test: TestWindows, calendar: Calendar, *, num_rows: int, num_trees: int, seed: int
) -> Forecasts:
    """Forecast windows as series of their own, all of which begin at one moment that stands for none."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

    context_length, prediction_length = test.context.shape[1], test.truth.shape[1]
    nothing = Windows(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    learned = _as_series(windows, calendar)
    task = ForecastTask(
        name="windows",
        series=learned,
        context_length=context_length,
        prediction_length=prediction_length,
        season=calendar.season,
        lags=(),
        train_ends=learned.lengths,
        valid=nothing,
        test=nothing,
    )
    num_rows = min(num_rows, windows.shape[0] * prediction_length)
    forecaster = BoostedForecaster(num_rows=num_rows, num_trees=num_trees, seed=seed)
    asked = _as_series(test.context, calendar)
    number = len(test.context)
    at_end = Windows(np.arange(number, dtype=np.int64), np.full(number, context_length, dtype=np.int64))
    # Small trees gain nothing by several threads, and on a busy machine they wait for each other.
    with threadpool_limits(1, user_api="openmp"):
        forecaster.fit(task)
        found = forecaster.predict(asked, at_end)
    scaled = found.values * test.scale[:, None, None]
    return Forecasts.of_quantiles(test.windows, scaled, found.quantile_levels)


def _as_series(windows: Floats, calendar: Calendar) -> SeriesSet:
    names = [str(number) for number in range(len(windows))]
    starts = np.full(len(windows), _NO_DATE)
    return SeriesSet.from_arrays(names, starts, list(windows), calendar.frequency)
