"""Ratios of sums over attempts with intervals from drawing whole students again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from edpipe.evaluation.bootstrap import percentile_interval, student_weights

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A number and what it would be with other students.

    Attributes
    ----------
    value
        NaN where nothing was asked.
    draws
        One a draw of students; NaN where a draw asks nothing. Shape ``(num_draws,)``.
    """

    value: float
    draws: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % percentile interval; NaN without draws."""
        return percentile_interval(self.draws)


class StudentDraws:
    """Draws of the students of one part of a split, the same for every model, metric and subset.

    Differences between models or groups are therefore paired draw by draw.

    Parameters
    ----------
    student
        Student of each attempt. Shape ``(n,)``.
    num_draws
        Draws; 0 gives values without intervals.
    seed
        Seed of the draws.
    """

    def __init__(self, student: NDArray[np.integer], *, num_draws: int, seed: int) -> None:
        keys, codes = np.unique(student, return_inverse=True)
        self.code = codes.astype(np.int64)
        self.num_students = len(keys)
        drawn = student_weights(len(keys), num_draws, np.random.default_rng(seed))
        self._weights: Floats = drawn.astype(np.float64)

    @property
    def num_draws(self) -> int:
        """Number of draws."""
        return int(self._weights.shape[1])

    def ratio(self, top: Floats, bottom: Floats, mask: Mask | None = None) -> Estimate:
        """Return the sum of ``top`` over the sum of ``bottom``, over the attempts of the mask."""
        values, draws = self.by_group(top, bottom, np.zeros(len(top), dtype=np.int64), 1, mask)
        return Estimate(float(values[0]), draws[0])

    def by_group(
        self, top: Floats, bottom: Floats, group: NDArray[np.int64], num_groups: int, mask: Mask | None = None
    ) -> tuple[Floats, Floats]:
        """Return the ratio in each group and its draws; attempts with a negative group do not count.

        Parameters
        ----------
        top, bottom, group
            Of each attempt. Shape ``(n,)``.
        num_groups
            Groups count from 0 to below it.
        mask
            Attempts that count; by default all.

        Returns
        -------
        tuple
            Shapes ``(num_groups,)`` and ``(num_groups, num_draws)``; NaN where nothing is asked.
        """
        chosen = np.flatnonzero((group >= 0) if mask is None else (group >= 0) & mask)
        place = (group[chosen], self.code[chosen])
        shape = (num_groups, self.num_students)
        tops = csr_matrix((top[chosen], place), shape=shape)
        bottoms = csr_matrix((bottom[chosen], place), shape=shape)
        total = np.asarray(bottoms.sum(axis=1)).ravel()
        value = _divided(np.asarray(tops.sum(axis=1)).ravel(), total)
        return value, _divided(tops @ self._weights, bottoms @ self._weights)

    def mean_of_groups(
        self, top: Floats, bottom: Floats, group: NDArray[np.int64], mask: Mask | None = None
    ) -> Estimate:
        """Return the mean over groups of the ratio in each, groups where nothing is asked left out."""
        values, draws = self.by_group(top, bottom, group, int(group.max(initial=0)) + 1, mask)
        return Estimate(float(mean_defined(values[:, None])[0]), mean_defined(draws))


def mean_defined(values: Floats) -> Floats:
    """Return the mean of each column over the rows that are not NaN; NaN where all are."""
    is_defined = ~np.isnan(values)
    return _divided(np.where(is_defined, values, 0).sum(axis=0), is_defined.sum(axis=0).astype(np.float64))


def _divided(top: Floats, bottom: Floats) -> Floats:
    found: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
    return found
