"""Ridge regression from a context to all steps ahead, with normal residuals of measured width."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.frequency import Ints
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_windows import (
    Windows,
    future_target,
    past_target,
    rolling_windows,
    training_windows,
)
from edpipe.evaluation.forecast.baselines.forecaster import (
    Floats,
    Forecaster,
    filled_forward,
    normal_forecasts,
)
from edpipe.evaluation.forecast.metrics import mean_weighted_quantile_loss

Width = Literal["none", "common", "local"]
PENALTY: Final = 1.0
NUM_WINDOWS: Final = 10_000
# Windows of the same series, before the origin, from which the local width is measured.
LOCAL_WINDOWS: Final = 5
# The common width counts as much as this many local windows.
LOCAL_PRIOR: Final = 2.0
# Share of a normal law within one standard deviation, and one standard deviation in mean absolute values.
_WITHIN: Final = 0.6826894921370859
_OF_MEAN: Final = 1.2533141373155003
# Windows of each series to choose on: one window of two days cannot tell what a week needs.
_CHOICE_WINDOWS: Final = 4
# At most this many windows measure the common width.
_MOST_RESIDUALS: Final = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class RidgeFit:
    """Coefficients in the scaled space; the intercept is not penalized.

    Attributes
    ----------
    weights
        Shape ``(context_length, prediction_length)``.
    intercept
        Shape ``(prediction_length,)``.
    """

    weights: Floats
    intercept: Floats

    def __call__(self, context: Floats) -> Floats:
        """Return the mean of each step ahead. Shape ``(n, prediction_length)``."""
        return np.asarray(context @ self.weights + self.intercept)


def fit_ridge(context: Floats, future: Floats, penalty: float = PENALTY) -> RidgeFit:
    """Minimize squared errors plus ``penalty`` times the squared weights.

    Parameters
    ----------
    context
        Shape ``(n, context_length)``.
    future
        Shape ``(n, prediction_length)``.
    penalty
        Above 0.
    """
    center, center_future = context.mean(axis=0), future.mean(axis=0)
    inputs = context - center
    gram = inputs.T @ inputs
    gram[np.diag_indices_from(gram)] += penalty
    weights = np.linalg.solve(gram, inputs.T @ (future - center_future))
    return RidgeFit(weights, center_future - center @ weights)


def with_more_validation(task: ForecastTask, num_windows: int) -> ForecastTask:
    """Return the task with at least ``num_windows`` validation windows a series, taken from training.

    Fewer where the shortest series would keep no training part.
    """
    room = int(task.test_begins.min()) - task.context_length - 2 * task.prediction_length
    number = min(num_windows, room // task.prediction_length)
    if number * task.series.num_series <= len(task.valid):
        return task
    begins = task.test_begins
    valid = rolling_windows(begins, prediction_length=task.prediction_length, num_windows=number)
    return replace(task, train_ends=begins - number * task.prediction_length, valid=valid)


class RidgeForecaster(Forecaster):
    """Linear forecast of windows divided by the mean absolute value of their context.

    The context is chosen on the validation windows, and on as many before them as make four of each
    series where it is long enough. The spread is normal, without drift; its width at
    each step comes from residuals on validation steps, which the coefficients did not see. With
    ``width="local"`` each window widens or narrows it by how well the same coefficients did on the
    windows just before its origin.

    After that the coefficients are fitted once more with the validation steps.

    Parameters
    ----------
    contexts
        Context lengths to choose from; by default 3, 5, 7 and 13 seasons of the task and its own context.
    width
        ``none`` gives the mean alone, ``common`` one width a step, ``local`` see above.
    num_windows
        Training windows.
    seed
        Seed of their draw.
    """

    def __init__(
        self,
        contexts: tuple[int, ...] | None = None,
        *,
        width: Width = "local",
        num_windows: int = NUM_WINDOWS,
        seed: int = 0,
    ) -> None:
        self.name = {"none": "ridge_point", "common": "ridge_common_width", "local": "ridge"}[width]
        self.chosen_context = 0
        self._contexts = contexts
        self._width = width
        self._num_windows = num_windows
        self._seed = seed
        self._spread: Floats = np.empty(0)
        self._scaling: Scaling | None = None
        self._season = 1

    def fit(self, task: ForecastTask) -> None:
        """Choose the context, measure the width, fit the coefficients."""
        self._season = task.season
        task = with_more_validation(task, _CHOICE_WINDOWS)
        truth = task.truth(task.valid)
        scaling = Scaling.fit(task.series, task.train_ends, "context_mean")
        best = np.inf
        for context in self._candidates(task):
            fit = self._coefficients(task, task.train_ends, scaling, context)
            spread = self._residual_spread(task, fit, scaling, context)
            found = self._forecast(task.series, task.valid, fit, scaling, context, spread)
            loss = mean_weighted_quantile_loss(found, truth)
            if loss < best:
                best = loss
                self.chosen_context, self._spread = context, spread
        self._scaling = Scaling.fit(task.series, task.test_begins, "context_mean")
        self._fit = self._coefficients(task, task.test_begins, self._scaling, self.chosen_context)

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Forecast each window; series that are new are scaled by their own past."""
        if self._scaling is None:
            raise ValueError("fit comes before predict.")
        scaling = self._scaling
        if len(scaling.series_scale) != series.num_series:
            first = np.zeros(series.num_series, dtype=np.int64)
            np.maximum.at(first, windows.series, windows.origins)
            scaling = Scaling.fit(series, first, "context_mean")
        return self._forecast(series, windows, self._fit, scaling, self.chosen_context, self._spread)

    def _candidates(self, task: ForecastTask) -> list[int]:
        asked = self._contexts or (
            *(task.season * number for number in (3, 5, 7, 13)),
            task.context_length,
        )
        longest = int(task.train_ends.max()) - task.prediction_length
        usable = sorted({context for context in asked if 1 <= context <= longest})
        return usable or [max(longest, 1)]

    def _coefficients(self, task: ForecastTask, ends: Ints, scaling: Scaling, context: int) -> RidgeFit:
        windows = training_windows(
            ends,
            prediction_length=task.prediction_length,
            min_history=context,
            num_windows=self._num_windows,
            random=np.random.default_rng(self._seed),
        )
        inputs, _ = self._inputs(task.series, windows, scaling, context)
        future = self._future(task, windows, scaling, context)
        is_known = ~np.isnan(future).any(axis=1)
        if not is_known.any():
            raise ValueError("no training window has a future without gaps.")
        return fit_ridge(inputs[is_known], future[is_known])

    def _residual_spread(self, task: ForecastTask, fit: RidgeFit, scaling: Scaling, context: int) -> Floats:
        """Return the width of scaled residuals on validation steps. Shape ``(prediction_length,)``.

        The distance within which 68.3 % of them lie: a standard deviation for a normal law, and not
        ruled by the few series whose scale is small.
        """
        windows = task.calibration_windows()
        stride = -(-len(windows) // _MOST_RESIDUALS)
        windows = windows.take(np.arange(0, len(windows), stride))
        residual = self._residuals(task.series, windows, fit, scaling, context, task.prediction_length)
        is_known = ~np.isnan(residual).all(axis=0)
        found = np.zeros(residual.shape[1])
        found[is_known] = np.nanquantile(np.abs(residual[:, is_known]), _WITHIN, axis=0)
        return found

    def _residuals(
        self,
        series: SeriesSet,
        windows: Windows,
        fit: RidgeFit,
        scaling: Scaling,
        context: int,
        prediction_length: int,
    ) -> Floats:
        inputs, scale = self._inputs(series, windows, scaling, context)
        return np.asarray(future_target(series, windows, prediction_length) / scale[:, None] - fit(inputs))

    def _inputs(
        self, series: SeriesSet, windows: Windows, scaling: Scaling, context: int
    ) -> tuple[Floats, Floats]:
        """Return scaled contexts without gaps, and the scale of each."""
        past = past_target(series, windows, context).astype(np.float64)
        _, scale = scaling.of_context(past, windows.series)
        if np.isnan(past).any():
            past = filled_forward(past, self._season)
        return past / scale[:, None], scale

    def _future(self, task: ForecastTask, windows: Windows, scaling: Scaling, context: int) -> Floats:
        past = past_target(task.series, windows, context)
        _, scale = scaling.of_context(past, windows.series)
        return np.asarray(task.truth(windows) / scale[:, None], dtype=np.float64)

    def _forecast(
        self,
        series: SeriesSet,
        windows: Windows,
        fit: RidgeFit,
        scaling: Scaling,
        context: int,
        spread: Floats,
    ) -> Forecasts:
        inputs, scale = self._inputs(series, windows, scaling, context)
        mean = fit(inputs) * scale[:, None]
        if self._width == "none":
            return Forecasts.of_points(windows, mean)
        width = scale[:, None] * spread
        if self._width == "local":
            width = width * self._local_factor(series, windows, fit, scaling, context, spread)[:, None]
        return normal_forecasts(windows, mean, width)

    def _local_factor(
        self,
        series: SeriesSet,
        windows: Windows,
        fit: RidgeFit,
        scaling: Scaling,
        context: int,
        spread: Floats,
    ) -> NDArray[np.float64]:
        """Return how much wider residuals before each origin were than usual. Shape ``(n,)``."""
        length = len(spread)
        total = np.full(len(windows), LOCAL_PRIOR)
        count = np.full(len(windows), LOCAL_PRIOR)
        for number in range(1, LOCAL_WINDOWS + 1):
            origins = windows.origins - number * length
            chosen = np.flatnonzero(origins >= context)
            if len(chosen):
                before = Windows(windows.series[chosen], origins[chosen])
                residual = self._residuals(series, before, fit, scaling, context, length)
                ratio = np.abs(residual) / np.maximum(spread, 1e-12) * _OF_MEAN
                known = ~np.isnan(ratio)
                total[chosen] += np.where(known, ratio, 0.0).sum(axis=1) / length
                count[chosen] += known.sum(axis=1) / length
        return np.asarray(total / count)
