"""Targets of each student in order of time: which share a request, and which part of the split each is in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edpipe.datasets.columns import Array

Integers = NDArray[np.int64]
# A share of a count that comes out a hair below a whole number is that number.
ROUNDING = 1e-9


def request_starts(student: Integers, history_end: Integers) -> Integers:
    """Return where requests begin: targets of one student that share a history are one.

    Parameters
    ----------
    student, history_end
        Of each target, in order of students and time. Shape ``(num_targets,)``.
    """
    begins = np.ones(len(student), dtype=bool)
    begins[1:] = (np.diff(student) != 0) | (np.diff(history_end) != 0)
    return np.flatnonzero(begins)


def split_requests(student: Integers, starts: Integers, *, valid: float, test: float) -> NDArray[np.int8]:
    """Put the targets of each student into train (0), valid (1) and test (2), in order of time.

    The last share ``test`` of a student's targets is the test, that before it valid. A request is wholly
    where its first target would be, so that nothing of one time is in two parts; the first request of a
    student is always in train.

    Parameters
    ----------
    student
        Of each target, in order. Shape ``(num_targets,)``.
    starts
        Where requests begin. Shape ``(num_requests,)``.
    valid, test
        Shares of the targets of a student.

    Returns
    -------
    numpy.ndarray
        Part of each request. Shape ``(num_requests,)``.
    """
    begins = np.flatnonzero(np.diff(student, prepend=-1) != 0)
    counts = np.diff(begins, append=len(student))
    owner = np.searchsorted(begins, starts, side="right") - 1
    place = starts - begins[owner]
    size = counts[owner]
    in_test = place >= size * (1 - test) - ROUNDING
    in_valid = place >= size * (1 - valid - test) - ROUNDING
    split = np.where(in_test, 2, np.where(in_valid, 1, 0))
    return np.where(place == 0, 0, split).astype(np.int8)


def train_ends(offsets: Integers, student: Integers, history_end: Integers, split: Array) -> Integers:
    """Return where the training rows of each student end: where the history of the first other request does.

    All rows of a student without such a request are training rows.

    Parameters
    ----------
    offsets
        Where the behaviors of each student begin, and the end of the last. Shape ``(num_students + 1,)``.
    student, history_end, split
        Of each request, in order. Shape ``(num_requests,)``.
    """
    ends = offsets[1:].copy()
    others = np.flatnonzero(split != 0)
    # The first of each student, because requests are in order.
    owners, first = np.unique(student[others], return_index=True)
    ends[owners] = history_end[others[first]]
    return ends


def _count_rows(offsets: Integers, ends: Integers, values: Array, counts: Integers) -> None:
    """Add the values of rows before each student's end, those of at least 0, to ``counts``."""
    for student in range(len(ends)):
        for row in range(offsets[student], ends[student]):
            if values[row] >= 0:
                counts[values[row]] += 1


count_rows: Any = njit(cache=True)(_count_rows)
