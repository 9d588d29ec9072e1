"""Scores of forecasts against what came, as ratios of sums over windows.

Each score is a sum over windows divided by another, so that subsets and draws of windows cost one weighted
sum each. Steps without an observation count in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecasts import Forecasts
from edpipe.errors import ContractError

Floats = NDArray[np.float64]

DECILES: Final = tuple(number / 10 for number in range(1, 10))
INTERVALS: Final = (50, 80, 90)
METRICS: Final = (
    "crps",
    "crps_exact",
    *(f"coverage_{percent}" for percent in INTERVALS),
    *(f"width_{percent}" for percent in INTERVALS),
    "normalized_deviation",
    "mase",
)


@dataclass(frozen=True, slots=True, eq=False)
class WindowScores:
    """What each step of each window adds to the sum above and below of each metric.

    - ``crps``: mean weighted quantile loss over the nine deciles, twice the sum of pinball losses divided
      by the sum of absolute values.
    - ``crps_exact``: continuous ranked probability score of all samples or quantiles, divided likewise.
    - ``coverage_50`` and so on: share of steps inside the central interval, its ends included.
    - ``width_50`` and so on: width of the interval divided by the mean absolute value.
    - ``normalized_deviation``: absolute error of the median divided by the absolute value.
    - ``mase``: absolute error of the median divided by that of the seasonal naive one step ahead in
      training; windows of series where that is zero or unknown do not count.

    Attributes
    ----------
    tops, bottoms
        By metric. Shape ``(num_windows, prediction_length)``.
    series
        Number of each window's series. Shape ``(num_windows,)``.
    """

    tops: dict[str, Floats]
    bottoms: dict[str, Floats]
    series: NDArray[np.int64]

    def value(self, metric: str) -> float:
        """Return one metric over all windows and steps; NaN where nothing was asked."""
        return _ratio(self.tops[metric].sum(), self.bottoms[metric].sum())

    def by_step(self, metric: str) -> Floats:
        """Return one metric at each step ahead. Shape ``(prediction_length,)``."""
        bottom = self.bottoms[metric].sum(axis=0)
        top = self.tops[metric].sum(axis=0)
        found: Floats = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
        return found

    def values(self) -> dict[str, float]:
        """Return every metric over all windows and steps."""
        return {metric: self.value(metric) for metric in self.tops}


def window_scores(
    forecasts: Forecasts, truth: NDArray[np.floating], naive_error: Floats | None = None
) -> WindowScores:
    """Score each step of each window.

    Parameters
    ----------
    forecasts
        Of ``n`` windows.
    truth
        What came, NaN where unobserved. Shape ``(n, prediction_length)``.
    naive_error
        Mean absolute error of the seasonal naive on each series, from :func:`seasonal_naive_error`.
        Shape ``(num_series,)``. Without it ``mase`` is NaN.

    Raises
    ------
    ContractError
        If no step is observed.
    ValueError
        If shapes do not fit.
    """
    observed, actual = _checked(forecasts, truth)
    magnitude = np.where(observed, np.abs(actual), 0.0)
    count = observed.astype(np.float64)
    deciles = forecasts.quantile(DECILES).astype(np.float64)
    absolute = np.abs(actual - deciles[:, 4]) * count
    tops = {
        "crps": 2 * pinball(deciles, actual, DECILES).mean(axis=1) * count,
        "crps_exact": step_crps(forecasts, actual) * count,
        "normalized_deviation": absolute,
    }
    bottoms = dict.fromkeys(tops, magnitude)
    for percent in INTERVALS:
        low, high = central_interval(forecasts, percent)
        tops[f"coverage_{percent}"] = ((low <= actual) & (actual <= high)) * count
        bottoms[f"coverage_{percent}"] = count
        tops[f"width_{percent}"] = (high - low) * count
        bottoms[f"width_{percent}"] = magnitude
    unit = np.full(len(forecasts), np.nan) if naive_error is None else naive_error[forecasts.series]
    is_known = (unit > 0)[:, None]
    tops["mase"] = np.where(is_known, absolute / np.where(is_known, unit[:, None], 1.0), 0.0)
    bottoms["mase"] = np.where(is_known, count, 0.0)
    return WindowScores(
        {metric: tops[metric] for metric in METRICS},
        {metric: bottoms[metric] for metric in METRICS},
        forecasts.series,
    )


def mean_weighted_quantile_loss(
    forecasts: Forecasts, truth: NDArray[np.floating], levels: Sequence[float] = DECILES
) -> float:
    """Return the CRPS of the published tables: sums over all windows and steps, then the mean over levels."""
    observed, actual = _checked(forecasts, truth)
    loss = pinball(forecasts.quantile(levels).astype(np.float64), actual, levels).mean(axis=1)
    return _ratio(2 * float((loss * observed).sum()), float((np.abs(actual) * observed).sum()))


def pinball(quantiles: Floats, actual: Floats, levels: Sequence[float]) -> Floats:
    """Return the pinball loss. Shape ``(n, num_levels, prediction_length)``.

    Parameters
    ----------
    quantiles
        Shape ``(n, num_levels, prediction_length)``.
    actual
        Shape ``(n, prediction_length)``.
    levels
        Shape ``(num_levels,)``.
    """
    error = actual[:, None] - quantiles
    level = np.asarray(levels)[:, None]
    return np.maximum(level * error, (level - 1) * error)


def sample_crps(samples: NDArray[np.floating], actual: Floats, *, fair: bool = False) -> Floats:
    """Return the CRPS of an ensemble, E|X - y| - E|X - X'| / 2, from sorted samples.

    Parameters
    ----------
    samples
        Shape ``(n, num_samples, prediction_length)``.
    actual
        Shape ``(n, prediction_length)``.
    fair
        Estimate the score of the law that the samples come from, without the bias of a small ensemble;
        needs two samples.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, prediction_length)``.
    """
    ordered = np.sort(samples.astype(np.float64), axis=1)
    num_samples = ordered.shape[1]
    error = np.abs(ordered - actual[:, None]).mean(axis=1)
    weight = 2 * np.arange(1, num_samples + 1) - num_samples - 1
    total = np.einsum("i,nih->nh", weight, ordered)  # half the sum over all pairs
    pairs = num_samples * (num_samples - 1 if fair else num_samples)
    return np.asarray(error - total / max(pairs, 1))


def step_crps(forecasts: Forecasts, actual: Floats) -> Floats:
    """Return the CRPS of each step: exact for samples; for quantiles the integral over the known levels.

    Shape ``(n, prediction_length)``.
    """
    if forecasts.samples is not None:
        return sample_crps(forecasts.samples, actual)
    levels = np.array(forecasts.quantile_levels)
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    loss = pinball(forecasts.values.astype(np.float64), actual, forecasts.quantile_levels)
    return np.asarray(2 * np.einsum("i,nih->nh", np.diff(edges), loss))


def central_interval(forecasts: Forecasts, percent: float) -> tuple[Floats, Floats]:
    """Return both ends of the central interval. Shape ``(n, prediction_length)`` each."""
    tail = (100 - percent) / 200
    found = forecasts.quantile([tail, 1 - tail]).astype(np.float64)
    return found[:, 0], found[:, 1]


def pit(forecasts: Forecasts, truth: NDArray[np.floating], random: np.random.Generator) -> Floats:
    """Return the probability that each forecast gave to values below what came.

    Uniform in [0, 1] if forecasts are calibrated. Between neighboring samples, and among equal ones, the
    place is drawn; NaN where unobserved. Shape ``(n, prediction_length)``.
    """
    observed, actual = _checked(forecasts, truth)
    draw = random.random(actual.shape)
    values = forecasts.values.astype(np.float64)
    below = (values < actual[:, None]).sum(axis=1)
    equal = (values == actual[:, None]).sum(axis=1)
    rank = below + draw * (equal + 1)
    if forecasts.samples is not None:
        found = rank / (values.shape[1] + 1)
    else:
        edges = np.concatenate([[0.0], forecasts.quantile_levels, [1.0]])
        found = np.interp(rank, np.arange(len(edges)), edges)
    return np.where(observed, found, np.nan)


def seasonal_naive_error(targets: Sequence[NDArray[np.floating]], season: int) -> Floats:
    """Return each series' mean absolute change over one season, NaN where no pair is observed.

    Parameters
    ----------
    targets
        Training parts of the series.
    season
        Steps between the two values compared.
    """
    found = np.full(len(targets), np.nan)
    for number, values in enumerate(targets):
        change = np.abs(values[season:].astype(np.float64) - values[:-season])
        known = change[~np.isnan(change)]
        if len(known):
            found[number] = known.mean()
    return found


def _checked(forecasts: Forecasts, truth: NDArray[np.floating]) -> tuple[NDArray[np.bool_], Floats]:
    """Return which steps are observed, and the values with 0 elsewhere."""
    shape = (len(forecasts), forecasts.prediction_length)
    if truth.shape != shape:
        raise ValueError(f"truth must have shape {shape}; got {truth.shape}.")
    observed = ~np.isnan(truth)
    if not observed.any():
        raise ContractError(
            "There is nothing to score.",
            where="truth",
            found=f"{len(forecasts)} windows without an observed step",
            expected="at least one observed step",
            next_step="Choose windows that lie inside the series.",
        )
    return observed, np.where(observed, truth, 0.0).astype(np.float64)


def _ratio(top: float, bottom: float) -> float:
    return float(top) / float(bottom) if bottom > 0 else float("nan")
