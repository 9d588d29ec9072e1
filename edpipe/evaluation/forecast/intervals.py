"""Intervals of forecast scores by drawing series, or windows, again; paired between models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.bootstrap import percentile_interval, student_weights
from edpipe.evaluation.forecast.metrics import WindowScores

Floats = NDArray[np.float64]
# With fewer series a draw of series says too little; their windows are drawn instead.
MIN_SERIES: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class ScoreEstimate:
    """A score and what it would be with other series or windows.

    Attributes
    ----------
    value
        NaN where nothing was asked.
    draws
        One a draw. Shape ``(num_draws,)``.
    """

    value: float
    draws: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % percentile interval; NaN without draws."""
        return percentile_interval(self.draws)


class WindowDraws:
    """Draws of the windows of one backtest, the same for every model and metric.

    Windows of one series are alike, so whole series are drawn where there are at least ``MIN_SERIES``;
    otherwise single windows are, and the interval holds for these series only.

    Parameters
    ----------
    windows
        Windows that are scored.
    num_draws
        Draws; 0 gives values without intervals.
    seed
        Seed of the draws.
    """

    def __init__(self, windows: Windows, *, num_draws: int, seed: int) -> None:
        distinct, codes = np.unique(windows.series, return_inverse=True)
        self.is_by_series = len(distinct) >= MIN_SERIES
        self._cluster = codes if self.is_by_series else np.arange(len(windows))
        self._num_clusters = len(distinct) if self.is_by_series else len(windows)
        drawn = student_weights(self._num_clusters, num_draws, np.random.default_rng(seed))
        self._weights: Floats = drawn.astype(np.float64)  # (num_clusters, num_draws)

    def estimate(self, scores: WindowScores, metric: str) -> ScoreEstimate:
        """Return one metric with its draws."""
        top, bottom = (self._by_cluster(sums[metric]) for sums in (scores.tops, scores.bottoms))
        below = bottom @ self._weights
        draws = np.divide(top @ self._weights, below, out=np.full(len(below), np.nan), where=below > 0)
        return ScoreEstimate(scores.value(metric), draws)

    def difference(self, first: WindowScores, second: WindowScores, metric: str) -> ScoreEstimate:
        """Return the score of ``first`` minus that of ``second`` on the same windows, draw by draw."""
        one, other = self.estimate(first, metric), self.estimate(second, metric)
        return ScoreEstimate(one.value - other.value, one.draws - other.draws)

    def _by_cluster(self, sums: Floats) -> Floats:
        found = np.bincount(self._cluster, weights=sums.sum(axis=1), minlength=self._num_clusters)
        return found.astype(np.float64)
