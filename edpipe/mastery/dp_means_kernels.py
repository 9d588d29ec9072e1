"""Compiled loops of DP-means: the nearest center, exactly, and centers far enough from each other.

Distances are first known with single precision. Whatever lies closer to the least of them than its rounding
can tell apart is computed again, coordinate by coordinate in double precision and in a fixed order. So labels
and decisions of d > r do not depend on threads, blocks, or the device that computed the first distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Values = NDArray[np.floating[Any]]

CHUNK = 64  # centers whose least distance is kept, so that most are looked at once
BLOCK = 512  # instances a thread takes at a time
LARGEST = np.float32(3.0e38)


@njit(cache=True)
def squared_distance(first: Values, second: Floats) -> float:  # pragma: no cover
    """Return the squared distance, summed from the first coordinate to the last."""
    total = 0.0
    for axis in range(len(second)):
        difference = np.float64(first[axis]) - second[axis]
        total += difference * difference
    return total


# No NaN comes here, and the order of a minimum does not matter: the compiler may use wide registers.
@njit(cache=True, fastmath=True)
def _least_of_chunks(dots: Singles, norms: Singles, least: Singles) -> np.float32:  # pragma: no cover
    overall = LARGEST
    for chunk in range(len(least)):
        found = LARGEST
        for center in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(norms))):
            found = min(found, norms[center] - np.float32(2) * dots[center])
        least[chunk] = found
        overall = min(overall, found)
    return overall


@njit(cache=True, parallel=True)
def settle(
    dots: Singles,
    norms: Singles,
    slack: Singles,
    values: Values,
    centers: Floats,
    label: Ints,
    squared: Floats,
) -> None:  # pragma: no cover
    """Find the nearest center of each point, the first of equals.

    Parameters
    ----------
    dots
        Products of points and centers, about. Shape ``(points, centers)``.
    norms
        Squared lengths of the centers, about. Shape ``(centers,)``.
    slack
        Twice the largest error of ``norms - 2 * dots``, a point. Shape ``(points,)``.
    values, centers
        Shapes ``(points, dim)`` and ``(centers, dim)``.
    label, squared
        Written: the nearest center and the squared distance to it. Shape ``(points,)``.
    """
    for point in prange(len(values)):
        least = np.empty((len(norms) + CHUNK - 1) // CHUNK, dtype=np.float32)
        limit = _least_of_chunks(dots[point], norms, least) + slack[point]
        best, best_squared = -1, np.inf
        for chunk in range(len(least)):
            if least[chunk] > limit:
                continue
            for center in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(norms))):
                if norms[center] - np.float32(2) * dots[point, center] <= limit:
                    found = squared_distance(values[point], centers[center])
                    if found < best_squared:
                        best, best_squared = center, found
        label[point] = best
        squared[point] = best_squared


@njit(cache=True, fastmath=True)
def _sum_and_least(
    one: Singles, other: Singles, total: Singles, least: Singles
) -> np.float32:  # pragma: no cover
    overall = LARGEST
    for chunk in range(len(least)):
        found = LARGEST
        for center in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(total))):
            value = one[center] + other[center]
            total[center] = value
            found = min(found, value)
        least[chunk] = found
        overall = min(overall, found)
    return overall


@njit(cache=True)
def instance_distance(
    student: Values, section: Values, problem: Values, center: Floats
) -> float:  # pragma: no cover
    """Return the squared distance of three vectors side by side from a center, coordinate by coordinate."""
    total = 0.0
    axis = 0
    for part in (student, section, problem):
        for place in range(len(part)):
            difference = np.float64(part[place]) - center[axis]
            total += difference * difference
            axis += 1
    return total


@njit(cache=True, parallel=True)
def settle_instances(
    keys: Ints,
    order: Places,
    tables: tuple[Singles, Singles, Singles],
    slack: float,
    parts: tuple[Singles, Singles, Singles],
    centers: Floats,
    label: Ints,
    squared: Floats,
) -> None:  # pragma: no cover
    """Find the nearest center of each instance from three tables of distances, the first of equals.

    Parameters
    ----------
    keys
        Student, section and problem of each instance. Shape ``(instances, 3)``.
    order
        Order of work: equal problems behind each other share a sum. Shape ``(instances,)``.
    tables
        Parts of the squared distance, about, less the squared length of the instance's vector: of students,
        of sections, of problems. Shape ``(…, centers)`` each.
    slack
        Twice the largest error of a sum of three.
    parts, centers
        Vectors of students, sections and problems, and of centers. Shapes ``(…, dim)`` each and
        ``(centers, 3 * dim)``.
    label, squared
        Written: the nearest center and the squared distance to it. Shape ``(instances,)``.
    """
    num_centers = len(centers)
    student_table, section_table, problem_table = tables
    students, sections, problems = parts
    for block in prange((len(order) + BLOCK - 1) // BLOCK):
        least = np.empty((num_centers + CHUNK - 1) // CHUNK, dtype=np.float32)
        total = np.empty(num_centers, dtype=np.float32)
        shared = np.empty(num_centers, dtype=np.float32)
        section, problem = -1, -1
        for place in range(block * BLOCK, min((block + 1) * BLOCK, len(order))):
            row = order[place]
            student = keys[row, 0]
            if keys[row, 1] != section or keys[row, 2] != problem:
                section, problem = keys[row, 1], keys[row, 2]
                for center in range(num_centers):
                    shared[center] = section_table[section, center] + problem_table[problem, center]
            limit = np.float32(_sum_and_least(student_table[student], shared, total, least) + slack)
            best, best_squared = -1, np.inf
            for chunk in range(len(least)):
                if least[chunk] > limit:
                    continue
                for center in range(chunk * CHUNK, min((chunk + 1) * CHUNK, num_centers)):
                    if total[center] <= limit:
                        found = instance_distance(
                            students[student], sections[section], problems[problem], centers[center]
                        )
                        if found < best_squared:
                            best, best_squared = center, found
            label[row] = best
            squared[row] = best_squared


@njit(cache=True)
def net(values: Floats, penalty: float) -> Places:  # pragma: no cover
    """Return rows, the first taken, whose squared distances from each other exceed the penalty.

    Every row left out lies within the penalty of one that is taken earlier. Shape ``(taken,)``.
    """
    taken = np.empty(len(values), dtype=np.int64)
    count = 0
    for row in range(len(values)):
        is_far = True
        for place in range(count):
            total = 0.0
            for axis in range(values.shape[1]):
                difference = values[row, axis] - values[taken[place], axis]
                total += difference * difference
                if total > penalty:
                    break
            if total <= penalty:
                is_far = False
                break
        if is_far:
            taken[count] = row
            count += 1
    return taken[:count]


@njit(cache=True)
def sums_of(values: Values, weights: Floats, labels: Ints, num_centers: int) -> Floats:  # pragma: no cover
    """Return the weighted sum of points of each center, in the order of rows. Shape ``(centers, dim)``."""
    sums = np.zeros((num_centers, values.shape[1]))
    for row in range(len(values)):
        for axis in range(values.shape[1]):
            sums[labels[row], axis] += weights[row] * values[row, axis]
    return sums


@njit(cache=True)
def gathered_sums(
    vectors: Singles, codes: Ints, weights: Floats, labels: Ints, num_centers: int
) -> Floats:  # pragma: no cover
    """Return the weighted sum of the vectors that the points of each center name, in the order of points."""
    sums = np.zeros((num_centers, vectors.shape[1]))
    for row in range(len(codes)):
        for axis in range(vectors.shape[1]):
            sums[labels[row], axis] += weights[row] * vectors[codes[row], axis]
    return sums


@njit(cache=True)
def cheap_merges(
    centers: Floats, sizes: Floats, penalty: float
) -> tuple[Places, Places, Floats]:  # pragma: no cover
    """Return pairs of centers that cost less merged, and what a merge changes the objective by.

    Merging centers of weights a and b adds a b / (a + b) times their squared distance and saves a penalty.
    Of each center only its best partner with a higher number is returned.
    """
    first = np.empty(len(centers), dtype=np.int64)
    second = np.empty(len(centers), dtype=np.int64)
    change = np.empty(len(centers))
    count = 0
    for one in range(len(centers)):
        best, best_change = -1, 0.0
        for other in range(one + 1, len(centers)):
            factor = sizes[one] * sizes[other] / (sizes[one] + sizes[other])
            limit = (penalty + best_change) / factor
            total = 0.0
            for axis in range(centers.shape[1]):
                difference = centers[one, axis] - centers[other, axis]
                total += difference * difference
                if total >= limit:
                    break
            if total < limit and factor * total - penalty < best_change:
                best, best_change = other, factor * total - penalty
        if best >= 0:
            first[count], second[count], change[count] = one, best, best_change
            count += 1
    return first[:count], second[:count], change[:count]
