"""What a student has done before an attempt begins: answers and uses KC by KC, visits of sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places, StrategyDataset

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RunningCounts:
    """Counts by student and code that grow from attempt to attempt, to be asked for at any attempt.

    Memory grows with what was counted, not with attempts times codes. Build it with :meth:`of`.

    Attributes
    ----------
    student
        Student of each attempt. Shape ``(num_attempts,)``.
    pair_start
        Pairs of student ``s`` and a code are ``pair_start[s]`` up to ``pair_start[s + 1]``.
    pair_code
        Code of each pair.
    start
        Counts of pair ``p`` are ``start[p]`` up to ``start[p + 1]``, in the order of attempts.
    attempt
        Row of the attempt. Shape ``(num_counts,)``.
    counts
        Counts up to and with the attempt. Shape ``(num_counts, width)``.
    num_codes
        Codes count from 0 up to this.
    """

    student: Ints
    pair_start: Places
    pair_code: Ints
    start: Places
    attempt: Ints
    counts: Ints
    num_codes: int

    @classmethod
    def of(
        cls, student: Ints, attempt: Ints, code: Ints, values: Sequence[Ints], num_codes: int
    ) -> RunningCounts:
        """Count ``values`` of attempts and codes; ``student`` is that of every attempt, in rising order."""
        names = [f"value_{number}" for number in range(len(values))]
        owner = student[attempt]
        frame = pl.DataFrame(
            {"student": owner, "code": code, "attempt": attempt, **dict(zip(names, values, strict=True))}
        )
        frame = frame.sort("student", "code", "attempt").with_columns(
            pl.col(names).cum_sum().over("student", "code")
        )
        pairs = frame.select("student", "code").to_numpy()
        is_first = np.ones(len(pairs), dtype=bool)
        is_first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        first = np.flatnonzero(is_first)
        num_students = int(student.max(initial=-1)) + 1
        return cls(
            student=student,
            pair_start=np.searchsorted(pairs[first, 0], np.arange(num_students + 1)).astype(np.int64),
            pair_code=pairs[first, 1].astype(np.int32),
            start=np.append(first, len(pairs)).astype(np.int64),
            attempt=frame["attempt"].to_numpy().astype(np.int32),
            counts=np.ascontiguousarray(frame.select(names).to_numpy().astype(np.int32)),
            num_codes=num_codes,
        )

    def before(self, rows: Places) -> Singles:
        """Return the counts strictly before each attempt. Shape ``(width, len(rows), num_codes)``."""
        found = np.zeros((self.counts.shape[1], len(rows), self.num_codes), dtype=np.float32)
        _count_before(
            rows,
            self.student,
            self.pair_start,
            self.pair_code,
            self.start,
            self.attempt,
            self.counts,
            found,
        )
        return found


def answer_history(dataset: StrategyDataset) -> RunningCounts:
    """Return running counts of first attempts of each KC: how many are known, how many were right."""
    seen = dataset.observations.filter(pl.col("num_scored") > 0)
    return RunningCounts.of(
        dataset.student,
        seen["attempt"].to_numpy(),
        seen["kc"].to_numpy(),
        [seen["num_scored"].to_numpy(), seen["num_correct"].to_numpy()],
        dataset.num_kcs,
    )


def use_history(dataset: StrategyDataset, sections: Ints) -> RunningCounts:
    """Return running counts of steps that used each KC, in sections that have a code of 0 or more.

    Parameters
    ----------
    dataset
        Attempts.
    sections
        Code of each section of the dataset, below 0 for those to pass over.
        Shape ``(dataset.num_sections,)``.
    """
    of_attempt = sections[dataset.section]
    seen = dataset.observations.filter(pl.Series(of_attempt[dataset.observations["attempt"].to_numpy()] >= 0))
    return RunningCounts.of(
        dataset.student,
        seen["attempt"].to_numpy(),
        seen["kc"].to_numpy(),
        [seen["num_steps"].to_numpy()],
        dataset.num_kcs,
    )


def visit_history(dataset: StrategyDataset, sections: Ints, num_sections: int) -> RunningCounts:
    """Return running counts of attempts in each section, by the codes of :func:`use_history`."""
    of_attempt = sections[dataset.section]
    attempt = np.flatnonzero(of_attempt >= 0).astype(np.int32)
    ones = np.ones(len(attempt), dtype=np.int32)
    return RunningCounts.of(dataset.student, attempt, of_attempt[attempt], [ones], num_sections)


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]  # numba's types vary by version
def _count_before(
    rows: Any,
    student: Any,
    pair_start: Any,
    pair_code: Any,
    start: Any,
    attempt: Any,
    counts: Any,
    found: Any,
) -> None:
    """Fill in the counts of the last attempt of each pair that lies before the row."""
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
                for column in range(counts.shape[1]):
                    found[column, place, pair_code[pair]] = counts[low - 1, column]
