"""Figures with an interval by drawing groups of rows again: neighboring windows are not independent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.evaluation.bootstrap import percentile_interval, student_weights
from edpipe.evaluation.metrics import auc, auc_from_counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
# With fewer groups a draw of groups says too little; rows are drawn instead.
MIN_GROUPS: Final = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure and the ends of its 95 % interval, NaN where there is none."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    def words(self, *, is_share: bool = False) -> str:
        """Return the figure with its interval, as percents where it is a share."""
        unit = 100 if is_share else 1
        digits = 0 if is_share else 2
        value, low, high = (f"{unit * number:.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value} % ({low} to {high} %)" if is_share else f"{value} ({low} to {high})"


def ratio_measured(
    top: Floats, bottom: Floats, groups: Ints, *, num_draws: int, random: np.random.Generator
) -> Measured:
    """Return a ratio of two sums over rows; with ones below, a mean.

    Parameters
    ----------
    top, bottom
        What each row adds above and below. Shape ``(num_rows,)``.
    groups
        Rows of one group are drawn together. Shape ``(num_rows,)``.
    num_draws
        Draws; 0 gives no interval.
    random
        Source of the draws.
    """
    codes, number = _drawn_together(groups)
    sums = [np.bincount(codes, weights=part, minlength=number) for part in (top, bottom)]
    weights = student_weights(number, num_draws, random)
    above, below = (part @ weights for part in sums)
    draws = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    total = float(bottom.sum())
    value = float(top.sum()) / total if total > 0 else float("nan")
    return Measured(value, *percentile_interval(draws))


def mean_measured(values: Floats, groups: Ints, *, num_draws: int, random: np.random.Generator) -> Measured:
    """Return a mean over rows. Shapes ``(num_rows,)``."""
    return ratio_measured(values, np.ones(len(values)), groups, num_draws=num_draws, random=random)


def auc_measured(
    is_first: Mask, score: Floats, groups: Ints, *, num_draws: int, random: np.random.Generator
) -> Measured:
    """Return how often a row of the first kind scores above one of the other; equal scores count one half.

    Groups are drawn within each kind, as many as there are.

    Parameters
    ----------
    is_first
        True for the first kind. Shape ``(num_rows,)``.
    score, groups
        Of each row. Shape ``(num_rows,)``.
    num_draws
        Draws; 0 gives no interval.
    random
        Source of the draws.
    """
    value = auc(is_first, score)
    if not num_draws or is_first.all() or not is_first.any():
        return Measured(value)
    _, level = np.unique(score, return_inverse=True)
    counts = []
    for kind in (is_first, ~is_first):
        codes, number = _drawn_together(groups[kind])
        weights = student_weights(number, num_draws, random).astype(np.float64)
        of_level = np.zeros((int(level.max()) + 1, num_draws))
        np.add.at(of_level, level[kind], weights[codes])
        counts.append(of_level)
    return Measured(value, *percentile_interval(auc_from_counts(*counts)))


def _drawn_together(groups: Ints) -> tuple[Ints, int]:
    """Return the number of each row's group from 0, and how many there are."""
    distinct, codes = np.unique(groups, return_inverse=True)
    if len(distinct) < MIN_GROUPS:
        return np.arange(len(groups), dtype=np.int64), len(groups)
    return codes.astype(np.int64), len(distinct)
