"""Linear Predictive Score: what a ridge regression learns from synthetic windows for real ones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecasts import Forecasts
from edpipe.evaluation.forecast.baselines.ridge import fit_ridge
from edpipe.evaluation.forecast.metrics import WindowScores, window_scores
from edpipe.evaluation.synthesis.real_windows import TestWindows

Floats = NDArray[np.float64]
PENALTY: Final = 1.0


def linear_forecasts(windows: Floats, test: TestWindows, *, penalty: float = PENALTY) -> Forecasts:
    """Return the point forecasts of a ridge regression that learned from ``windows`` alone.

    Parameters
    ----------
    windows
        Windows divided by the mean size of their context. Shape ``(num_windows, length)``.
    test
        Real windows; their context has the length that is left once the truth's is taken away.
    penalty
        Of the squared weights, above 0.

    Raises
    ------
    ValueError
        If the windows have another length than those of the test.
    """
    context_length = test.context.shape[1]
    check_windows(windows, context_length + test.truth.shape[1])
    fit = fit_ridge(windows[:, :context_length], windows[:, context_length:], penalty)
    return Forecasts.of_points(test.windows, fit(test.context) * test.scale[:, None])


def linear_scores(windows: Floats, test: TestWindows, *, penalty: float = PENALTY) -> WindowScores:
    """Return the scores of these forecasts; their ``crps`` is the Linear Predictive Score.

    Of a point forecast it equals the normalized deviation, the sum of absolute errors over the sum of
    absolute values. Lower is better.
    """
    return window_scores(linear_forecasts(windows, test, penalty=penalty), test.truth)


def linear_score(windows: Floats, test: TestWindows, *, penalty: float = PENALTY) -> float:
    """Return the Linear Predictive Score."""
    return linear_scores(windows, test, penalty=penalty).value("crps")


def check_windows(windows: Floats, length: int) -> None:
    """Refuse windows of another length or with values that are not finite."""
    if windows.ndim != 2 or windows.shape[1] != length:
        raise ValueError(f"windows must have shape (num_windows, {length}); got {windows.shape}.")
    if not np.isfinite(windows).all():
        raise ValueError(f"{int((~np.isfinite(windows)).sum())} values of windows are not finite.")
