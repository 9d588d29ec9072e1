"""What is to be forecast from what: series, windows of each part, and what training may see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.frequency import Ints
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows, WindowShape, all_windows, future_target, rolling_windows
from edpipe.errors import TrainingError


@dataclass(frozen=True, slots=True, eq=False)
class ForecastTask:
    """Series with a training part, validation windows and test windows, in this order of time.

    Attributes
    ----------
    name
        Name of the data.
    series
        All series, test steps included.
    context_length, prediction_length
        Steps a forecaster sees at least, and steps to forecast.
    season
        Steps after which the usual pattern comes back, for the seasonal naive and the scaled error.
    lags
        Lags in steps, for models that use them.
    train_ends
        First step of each series that training may not see. Shape ``(num_series,)``.
    valid, test
        Rolling windows; those of validation end where the test begins.
    minimum
        Least possible value, 0 for counts; None if there is none.
    """

    name: str
    series: SeriesSet
    context_length: int
    prediction_length: int
    season: int
    lags: tuple[int, ...]
    train_ends: Ints
    valid: Windows
    test: Windows
    minimum: float | None = None

    @classmethod
    def rolling(
        cls,
        name: str,
        series: SeriesSet,
        *,
        context_length: int,
        prediction_length: int,
        num_windows: int,
        season: int | None = None,
        lags: tuple[int, ...] | None = None,
        minimum: float | None = None,
        num_valid_windows: int | None = None,
    ) -> ForecastTask:
        """Cut test windows from the end of each series, validation windows before them.

        Parameters
        ----------
        name, series, context_length, prediction_length, minimum
            See the class.
        num_windows
            Test windows of each series.
        season, lags
            By default those of the frequency.
        num_valid_windows
            Validation windows of each series; by default as many as for the test.

        Raises
        ------
        TrainingError
            If a series is too short to leave a training part of one window.
        """
        num_valid = num_windows if num_valid_windows is None else num_valid_windows
        test_begin = series.lengths - num_windows * prediction_length
        train_ends = test_begin - num_valid * prediction_length
        short = np.flatnonzero(train_ends < context_length + prediction_length)
        if len(short):
            needed = context_length + prediction_length * (1 + num_windows + num_valid)
            raise TrainingError(
                "Series are too short for this split.",
                where=f"`{name}`: {len(short)} of {series.num_series} series, first {series.ids[short[0]]!r}",
                found=f"{int(series.lengths[short[0]])} steps",
                expected=f"at least {needed} steps",
                next_step="Shorten the context or the prediction, or take fewer windows.",
            )
        return cls(
            name=name,
            series=series,
            context_length=context_length,
            prediction_length=prediction_length,
            season=season or series.frequency.season,
            lags=series.frequency.lags if lags is None else lags,
            train_ends=train_ends,
            valid=rolling_windows(test_begin, prediction_length=prediction_length, num_windows=num_valid),
            test=rolling_windows(
                series.lengths, prediction_length=prediction_length, num_windows=num_windows
            ),
            minimum=minimum,
        )

    @property
    def test_begins(self) -> Ints:
        """First test step of each series. Shape ``(num_series,)``."""
        begins = self.series.lengths.copy()
        np.minimum.at(begins, self.test.series, self.test.origins)
        return begins

    @property
    def shape(self) -> WindowShape:
        """Shape of this task's windows."""
        return WindowShape(self.context_length, self.prediction_length, self.lags)

    def truth(self, windows: Windows) -> NDArray[np.float32]:
        """Return what came, NaN where unobserved. Shape ``(num_windows, prediction_length)``."""
        return future_target(self.series, windows, self.prediction_length)

    def calibration_windows(self, *, stride: int = 1) -> Windows:
        """Return every window whose future lies in the validation steps, overlapping ones included.

        More of them than rolling windows, so spreads can be measured by step where validation is short.
        """
        return all_windows(
            self.test_begins,
            prediction_length=self.prediction_length,
            min_history=self.context_length,
            begins=self.train_ends,
            stride=stride,
        )

    def with_validation_in_training(self) -> ForecastTask:
        """Return the task once nothing is left to choose: training ends where the test begins."""
        return replace(self, train_ends=self.test_begins)

    def before_validation(self) -> ForecastTask:
        """Return the task as it stood before the validation windows, which become its test.

        As many windows before them become its validation, fewer (but one) where the shortest series would
        keep no training part. Whatever a forecaster does with this task, it has not seen the validation
        windows.
        """
        length = self.prediction_length
        room = int(self.train_ends.min()) - self.context_length - length
        rolling = -(-len(self.valid) // max(len(np.unique(self.valid.series)), 1))
        number = max(min(rolling, room // length), 1)
        ends = self.train_ends - number * length
        valid = rolling_windows(self.train_ends, prediction_length=length, num_windows=number)
        return replace(self, train_ends=ends, valid=valid, test=self.valid)
