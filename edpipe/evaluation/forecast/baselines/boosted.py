"""Quantile regression by boosted trees on lagged values: strong where calendars repeat."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.frequency import Ints
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_windows import Windows, future_target, past_target, steps_of, training_windows
from edpipe.evaluation.forecast.baselines.forecaster import Floats, Forecaster

LEVELS: Final = (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99)
NUM_ROWS: Final = 20_000
# Values just before the origin, and whole seasons before each step, that a tree may ask for.
NUM_RECENT: Final = 6
NUM_SEASONS: Final = 4


class BoostedForecaster(Forecaster):
    """One set of trees a quantile level, for all series and steps ahead together.

    A row is one step ahead of one window. It holds the step, its place in the season and in the week, the
    last values, the values a whole number of seasons before that step, the task's lags, and mean and spread
    of the context; values are divided by the mean absolute value of the context. Gaps stay gaps: the trees
    know them.

    Parameters
    ----------
    num_rows
        Training rows, drawn from all windows before the test.
    num_trees
        Boosting rounds.
    seed
        Seed of the draws.
    """

    name = "boosted_trees"

    def __init__(self, *, num_rows: int = NUM_ROWS, num_trees: int = 100, seed: int = 0) -> None:
        self._num_rows = num_rows
        self._num_trees = num_trees
        self._seed = seed
        # scikit-learn has no types.
        self._models: list[Any] = []
        self._columns: Ints = np.empty(0, dtype=np.int64)
        self._task: ForecastTask | None = None
        self._scaling: Scaling | None = None

    def fit(self, task: ForecastTask) -> None:
        """Grow the trees on windows that end before the test."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        random = np.random.default_rng(self._seed)
        self._task = task
        self._scaling = Scaling.fit(task.series, task.test_begins, "context_mean")
        windows = training_windows(
            task.test_begins,
            prediction_length=task.prediction_length,
            min_history=min(task.context_length, int(task.test_begins.max()) - task.prediction_length),
            num_windows=self._num_rows,
            random=random,
        )
        step = random.integers(0, task.prediction_length, self._num_rows)
        inputs, scale, loc = self._inputs(task.series, windows, step[:, None])
        future = future_target(task.series, windows, task.prediction_length)
        target = (future[np.arange(len(step)), step] - loc) / scale
        is_known = ~np.isnan(target)
        # A lag further back than every series reaches tells nothing, and the trees refuse it.
        self._columns = np.flatnonzero(~np.isnan(inputs[is_known, 0]).all(axis=0))
        self._models = []
        for level in LEVELS:
            model = HistGradientBoostingRegressor(
                loss="quantile",
                quantile=level,
                max_iter=self._num_trees,
                learning_rate=0.1,
                min_samples_leaf=40,
                random_state=self._seed,
                early_stopping=False,
            )
            self._models.append(model.fit(inputs[is_known, 0][:, self._columns], target[is_known]))

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Forecast each step of each window; quantiles that cross are put in order."""
        if self._task is None:
            raise ValueError("fit comes before predict.")
        length = self._task.prediction_length
        step = np.broadcast_to(np.arange(length), (len(windows), length))
        inputs, scale, loc = self._inputs(series, windows, step)
        rows = inputs.reshape(-1, inputs.shape[-1])[:, self._columns]
        found = [model.predict(rows).reshape(len(windows), length) for model in self._models]
        quantiles = np.stack(found, axis=1) * scale[:, None, None] + loc[:, None, None]
        return Forecasts.of_quantiles(windows, quantiles, LEVELS)

    def _inputs(self, series: SeriesSet, windows: Windows, step: Ints) -> tuple[Floats, Floats, Floats]:
        """Return inputs of each step asked, ``(n, steps, width)``, and each window's scale and location."""
        task, scaling = self._task, self._scaling
        if task is None or scaling is None:
            raise ValueError("fit comes before predict.")
        if len(scaling.series_scale) != series.num_series:
            known = np.zeros(series.num_series, dtype=np.int64)
            np.maximum.at(known, windows.series, windows.origins)
            scaling = Scaling.fit(series, known, "context_mean")
        past = past_target(series, windows, task.context_length)
        loc, scale = scaling.of_context(past, windows.series)
        unit = scale[:, None, None]
        before = np.broadcast_to(-np.arange(1, NUM_RECENT + 1), (*step.shape, NUM_RECENT))
        recent = _at(series, windows, before)
        seasons = (step // task.season + 1)[..., None] + np.arange(NUM_SEASONS)
        seasonal = _at(series, windows, step[..., None] - seasons * task.season)
        lags = np.array([lag for lag in task.lags if lag > NUM_RECENT], dtype=np.int64)
        pointed = step[..., None] - lags
        lagged = np.where(pointed < 0, _at(series, windows, pointed), np.nan)
        scaled = np.concatenate([recent, seasonal, lagged], axis=-1) / unit
        place = windows.origins[:, None] + step
        start = series.frequency.number(series.starts)[0][windows.series][:, None]
        calendar = [
            step,
            (start + place) % task.season,
            (start + place) // task.season % 7,
        ]
        with np.errstate(invalid="ignore"):
            level = _row_mean(past) / scale
            spread = np.sqrt(_row_mean((past - _row_mean(past)[:, None]) ** 2)) / scale
        whole = np.stack([level, spread], axis=-1)[:, None, :]
        return (
            np.concatenate(
                [
                    np.stack(calendar, axis=-1).astype(np.float64),
                    scaled,
                    np.broadcast_to(whole, (*step.shape, 2)),
                ],
                axis=-1,
            ),
            scale,
            loc,
        )


def _at(series: SeriesSet, windows: Windows, steps: Ints) -> NDArray[np.float64]:
    """Return values at steps that differ from window to window. Shape of ``steps``: ``(n, ...)``."""
    flat = steps.reshape(len(windows), -1)
    owner = np.repeat(windows.series, flat.shape[1])
    places = Windows(owner, np.repeat(windows.origins, flat.shape[1]) + flat.reshape(-1))
    return steps_of(series, places, np.zeros((), dtype=np.int64)).reshape(steps.shape).astype(np.float64)


def _row_mean(values: NDArray[np.floating]) -> Floats:
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1), dtype=np.float64)
