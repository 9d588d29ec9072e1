"""Corrected forecasts of the windows that a correction was fitted to, without its having seen them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecasts import Forecasts
from edpipe.evaluation.forecast.calibration import Calibration

Fit = Callable[[Forecasts, NDArray[np.float32]], Calibration | None]


def folds(forecasts: Forecasts) -> NDArray[np.int64]:
    """Return 0 or 1 for each window: the earlier and the later half of each series' windows.

    Where each series has one window, the series are halved instead. Shape ``(n,)``.
    """
    order = np.lexsort((forecasts.origins, forecasts.series))
    _, first, count = np.unique(forecasts.series[order], return_index=True, return_counts=True)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(first, count)
    if count.max() == 1:
        return (forecasts.series > np.median(forecasts.series)).astype(np.int64)
    size = np.empty(len(order), dtype=np.int64)
    size[order] = np.repeat(count, count)
    return (2 * rank >= size).astype(np.int64)


def cross_fitted(forecasts: Forecasts, truth: NDArray[np.float32], fit: Fit) -> Forecasts:
    """Return each half of the windows corrected by what was fitted to the other half.

    So a score on validation windows is one of windows that the correction had not seen. A half whose other
    half holds nothing observed stays as it is.

    Parameters
    ----------
    forecasts
        Before any correction.
    truth
        What came, NaN where unobserved. Shape ``(n, prediction_length)``.
    fit
        Fits a correction; None corrects nothing.
    """
    fold = folds(forecasts)
    values = forecasts.values.copy()
    for number in (0, 1):
        here, there = fold == number, fold != number
        if not here.any() or not np.isfinite(truth[there]).any():
            continue
        correction = fit(forecasts.take(there), truth[there])
        if correction is not None:
            values[here] = correction.apply(forecasts.take(here)).values
    return forecasts.map(values)
