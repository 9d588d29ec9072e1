"""Vectors of students from what they did so far: for students that training never met."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

# Moments of a training student's history that the map is fitted on.
MOMENTS = 8
# Strength of the L2 penalty of the map. Of 0.01 to 100, measured on planted groups by the groups of the
# nearest training students, 0.01 and 0.1 were best: .96 right with the map, .58 without it.
PENALTY = 0.1


def fold_in(
    observations: pl.DataFrame,
    first: Places,
    stop: Places,
    *,
    kcs: Float32,
    kc_mean: Float,
    shrinkage: float,
    mastery_exponent: float = 1.0,
) -> Float32:
    r"""Sum the vectors of KCs met in attempts ``first`` up to, not including, ``stop``.

    .. math:: f = \sum_k n_k \Bigl(\frac{c_k + \kappa \bar m_k}{n_k + \kappa}\Bigr)^\alpha e_k

    set to length 1, for :math:`n_k` known first attempts, :math:`c_k` of them right.

    Parameters
    ----------
    observations
        ``attempt, kc, num_scored, num_correct``, ordered by attempt.
    first, stop
        Attempts of one student each. Shape ``(n,)``.
    kcs
        Vectors of KCs. Shape ``(num_kcs, dim)``.
    kc_mean
        Mean mastery of KCs. Shape ``(num_kcs,)``.
    shrinkage
        Answers :math:`\kappa` that the mean of a KC weighs as.
    mastery_exponent
        :math:`\alpha`, as in the weights of the graph; 0 leaves mastery out.

    Returns
    -------
    ndarray
        Zeros where there is no known answer. Shape ``(n, dim)``.
    """
    attempt = observations["attempt"].to_numpy()
    order = np.lexsort((stop, first))
    ordered = _fold(
        np.searchsorted(attempt, first[order]),
        np.searchsorted(attempt, stop[order]),
        observations["kc"].to_numpy(),
        observations["num_scored"].to_numpy(),
        observations["num_correct"].to_numpy(),
        kc_mean,
        kcs,
        shrinkage,
        mastery_exponent,
    )
    found = np.empty_like(ordered)
    found[order] = ordered
    return unit_length(found)


@njit(cache=True, nogil=True)
def _fold(
    begin: Places,
    end: Places,
    kc: Int32,
    scored: Int32,
    correct: Int32,
    kc_mean: Float,
    vectors: Float32,
    shrinkage: float,
    exponent: float,
) -> Float:
    """Go through each student's observations once; requests stand by student and moment."""
    num_kcs, dim = vectors.shape
    found = np.zeros((len(begin), dim))
    num_scored = np.zeros(num_kcs)
    num_correct = np.zeros(num_kcs)
    total = np.zeros(dim)
    at = 0
    for request in range(len(begin)):
        if request == 0 or begin[request] != begin[request - 1]:
            for place in range(begin[request - 1] if request else 0, at):
                num_scored[kc[place]] = 0
                num_correct[kc[place]] = 0
            total[:] = 0
            at = begin[request]
        while at < end[request]:
            code = kc[at]
            before = _weight(num_scored[code], num_correct[code], kc_mean[code], shrinkage, exponent)
            num_scored[code] += scored[at]
            num_correct[code] += correct[at]
            change = _weight(num_scored[code], num_correct[code], kc_mean[code], shrinkage, exponent) - before
            if change != 0:
                for column in range(dim):
                    total[column] += change * vectors[code, column]
            at += 1
        found[request] = total
    return found


@njit(inline="always")
def _weight(scored: float, correct: float, mean: float, shrinkage: float, exponent: float) -> float:
    weight: float = scored * ((correct + shrinkage * mean) / (scored + shrinkage)) ** exponent
    return weight


def with_fold_map(
    observations: pl.DataFrame,
    student: Int32,
    rows: Places,
    students: Float32,
    *,
    kcs: Float32,
    kc_mean: Float,
    shrinkage: float,
    mastery_exponent: float = 1.0,
) -> tuple[Float32, Float | None]:
    """Return the vectors of students, steadied, and the map that new ones are put beside them by.

    Walks are a sample, so the vectors of students with equal histories differ by chance. The mean of what was
    learned and of what the map makes of the whole history has half of that noise.

    Parameters
    ----------
    observations
        Observations of the training attempts alone, ordered by attempt.
    student
        Student of each attempt of the dataset, rising. Shape ``(num_attempts,)``.
    rows
        Training attempts, rising. Shape ``(n,)``.
    students
        Learned vectors. Shape ``(num_students, dim)``.
    kcs, kc_mean, shrinkage, mastery_exponent
        As for :func:`fold_in`.

    Returns
    -------
    tuple
        Vectors of length 1, and the map; None and the vectors as they are where no answer is known.
    """
    owner, first, stop = moments(student, rows)
    folded = fold_in(
        observations,
        first,
        stop,
        kcs=kcs,
        kc_mean=kc_mean,
        shrinkage=shrinkage,
        mastery_exponent=mastery_exponent,
    )
    is_known = folded.any(axis=1) & students[owner].any(axis=1)
    if not is_known.any():
        return students, None
    fold_map = fit_fold_map(folded[is_known], students[owner[is_known]])
    last = np.flatnonzero(np.append(owner[1:] != owner[:-1], True) & is_known)
    found = students.copy()
    found[owner[last]] = unit_length(students[owner[last]] + apply_fold_map(folded[last], fold_map))
    return found, fold_map


def fit_fold_map(folded: Float32, learned: Float32) -> Float:
    """Fit the linear map that takes folded vectors to where training put the same students.

    Sums of KC vectors lie in a narrow cone; learned vectors of students do not. Moments early in a history
    are among the rows, so the map keeps near the middle what little is known about.

    Parameters
    ----------
    folded
        Vectors from :func:`fold_in` at several moments of training histories. Shape ``(n, dim)``.
    learned
        The learned vector of the student of each. Shape ``(n, dim)``.

    Returns
    -------
    ndarray
        Ridge regression; the last row is added to all. Shape ``(dim + 1, dim)``.
    """
    inputs = np.hstack([folded.astype(np.float64), np.ones((len(folded), 1))])
    penalty = np.diag([*np.full(folded.shape[1], PENALTY), PENALTY * 1e-3])
    found: Float = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ learned.astype(np.float64))
    return found


def apply_fold_map(folded: Float32, fold_map: Float) -> Float32:
    """Map folded vectors and set them to length 1; zeros stay zeros. Shape ``(n, dim)``."""
    mapped = folded.astype(np.float64) @ fold_map[:-1] + fold_map[-1]
    return unit_length(mapped * folded.any(axis=1, keepdims=True))


def moments(student: Int32, rows: Places, num_moments: int = MOMENTS) -> tuple[Int32, Places, Places]:
    """Choose moments in the history of each student of the given attempts, the end of it among them.

    Parameters
    ----------
    student
        Student of each attempt of the dataset, rising. Shape ``(num_attempts,)``.
    rows
        Training attempts, rising. Shape ``(n,)``.
    num_moments
        Most moments of a student.

    Returns
    -------
    tuple
        Students, and of each moment the student's first attempt and the attempt before which it lies.
    """
    of_row = student[rows]
    codes, begin = np.unique(of_row, return_index=True)
    count = np.diff(np.append(begin, len(rows)))
    share = np.arange(1, num_moments + 1) / num_moments
    # The number of attempts done at each moment. (student, moment)
    done = np.ceil(count[:, None] * share).astype(np.int64)
    is_new = np.concatenate([np.full((len(codes), 1), True), np.diff(done, axis=1) > 0], axis=1)
    owner = np.nonzero(is_new)[0]
    stop = rows[(begin[:, None] + done - 1)[is_new]] + 1
    return codes[owner].astype(np.int32), np.searchsorted(student, codes)[owner], stop


def unit_length(vectors: NDArray[np.floating[Any]]) -> Float32:
    """Return the vectors set to length 1; zeros stay zeros. Shape ``(n, dim)``."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Float32 = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    return found
