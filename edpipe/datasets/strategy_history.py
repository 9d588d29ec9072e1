"""What a student has answered before an attempt begins, KC by KC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places, StrategyDataset

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AnswerHistory:
    """Running counts of scored and right first attempts of each student and KC.

    Any attempt can be asked for at any time: memory grows with the observations, not with attempts times KCs.
    Build it with :meth:`of`.

    Attributes
    ----------
    student
        Student of each attempt. Shape ``(num_attempts,)``.
    pair_start
        Pairs of student ``s`` and a KC are ``pair_start[s]`` up to ``pair_start[s + 1]``.
    pair_kc
        KC of each pair.
    start
        Observations of pair ``p`` are ``start[p]`` up to ``start[p + 1]``, in the order of attempts.
    attempt, scored, correct
        Row of the attempt, and counts up to and with it. Shape ``(num_observations,)``.
    num_kcs
        Number of KCs.
    """

    student: Ints
    pair_start: Places
    pair_kc: Ints
    start: Places
    attempt: Ints
    scored: Ints
    correct: Ints
    num_kcs: int

    @classmethod
    def of(cls, dataset: StrategyDataset) -> AnswerHistory:
        """Count the observations of a dataset."""
        student = dataset.student
        seen = dataset.observations.filter(pl.col("num_scored") > 0)
        counts = (
            seen.select("kc", "attempt", "num_scored", "num_correct")
            .with_columns(student=pl.Series(student[seen["attempt"].to_numpy()], dtype=pl.Int32))
            .sort("student", "kc", "attempt")
            .with_columns(pl.col("num_scored", "num_correct").cum_sum().over("student", "kc"))
        )
        pair = counts.select("student", "kc").to_numpy()
        is_first = np.ones(len(pair), dtype=bool)
        is_first[1:] = (pair[1:] != pair[:-1]).any(axis=1)
        first = np.flatnonzero(is_first)
        return cls(
            student=student,
            pair_start=np.searchsorted(pair[first, 0], np.arange(dataset.num_students + 1)).astype(np.int64),
            pair_kc=pair[first, 1].astype(np.int32),
            start=np.append(first, len(pair)).astype(np.int64),
            attempt=counts["attempt"].to_numpy(),
            scored=counts["num_scored"].to_numpy(),
            correct=counts["num_correct"].to_numpy(),
            num_kcs=dataset.num_kcs,
        )

    def before(self, rows: Places) -> tuple[Singles, Singles]:
        """Return how many first attempts were scored, and how many right, strictly before each attempt.

        Parameters
        ----------
        rows
            Attempts. Shape ``(n,)``.

        Returns
        -------
        tuple
            Counts, both of shape ``(n, num_kcs)``.
        """
        scored = np.zeros((len(rows), self.num_kcs), dtype=np.float32)
        correct = np.zeros_like(scored)
        _count_before(
            rows,
            self.student,
            self.pair_start,
            self.pair_kc,
            self.start,
            self.attempt,
            self.scored,
            self.correct,
            scored,
            correct,
        )
        return scored, correct


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def _count_before(
    rows: Any,
    student: Any,
    pair_start: Any,
    pair_kc: Any,
    start: Any,
    attempt: Any,
    scored: Any,
    correct: Any,
    scored_before: Any,
    correct_before: Any,
) -> None:
    """Fill in the counts of the last observation of each pair that lies before the row."""
    for place in range(len(rows)):
        row = rows[place]
        owner = student[row]
        for pair in range(pair_start[owner], pair_start[owner + 1]):
            low, high = start[pair], start[pair + 1]
            while low < high:
                middle = (low + high) // 2
                if attempt[middle] < row:
                    low = middle + 1
                else:
                    high = middle
            if low > start[pair]:
                scored_before[place, pair_kc[pair]] = scored[low - 1]
                correct_before[place, pair_kc[pair]] = correct[low - 1]
