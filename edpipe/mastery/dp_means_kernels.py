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

CHUNK = 8  # centers whose least distance is kept, so that most are looked at once
BLOCK = 512  # points a thread takes at a time
LANES = 8  # sums that a distance is added up in
LARGEST = np.float32(3.0e38)
SLICES = 16  # parts of the points whose sums are added one after the other
AXIS_STEPS, CUT_STEPS = 4, 8  # of the search for the cut of a cluster


@njit(cache=True, inline="always")
def squared_distance(first: Values, second: Floats, lanes: Floats) -> float:  # pragma: no cover
    """Return the squared distance, coordinates added in turn to each lane and lanes from first to last.

    That order is fixed, and the compiler may keep all lanes in one register.
    """
    lanes[:] = 0.0
    whole = len(second) // LANES * LANES
    for begin in range(0, whole, LANES):
        for lane in range(LANES):
            difference = np.float64(first[begin + lane]) - second[begin + lane]
            lanes[lane] += difference * difference
    for axis in range(whole, len(second)):
        difference = np.float64(first[axis]) - second[axis]
        lanes[axis - whole] += difference * difference
    total = 0.0
    for lane in range(LANES):
        total += lanes[lane]
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
    for block in prange((len(values) + BLOCK - 1) // BLOCK):
        least = np.empty((len(norms) + CHUNK - 1) // CHUNK, dtype=np.float32)
        lanes = np.empty(LANES)
        for point in range(block * BLOCK, min((block + 1) * BLOCK, len(values))):
            limit = _least_of_chunks(dots[point], norms, least) + slack[point]
            best, best_squared = -1, np.inf
            for chunk in range(len(least)):
                if least[chunk] > limit:
                    continue
                for center in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(norms))):
                    if norms[center] - np.float32(2) * dots[point, center] <= limit:
                        found = squared_distance(values[point], centers[center], lanes)
                        if found < best_squared:
                            best, best_squared = center, found
            label[point] = best
            squared[point] = best_squared


# Not a product of BLAS, whose threads would wait for work and keep those of the loops from theirs.
@njit(cache=True, parallel=True, fastmath=True)
def fill_table(
    vectors: Singles, columns: Singles, norms: Singles, table: Singles
) -> None:  # pragma: no cover
    """Write squared distances less the squared lengths of the vectors.

    Parameters
    ----------
    vectors
        Shape ``(vectors, dim)``.
    columns
        Centers times -2, as columns. Shape ``(dim, centers)``.
    norms
        Squared lengths of the centers. Shape ``(centers,)``.
    table
        Written. Shape ``(vectors, centers)``.
    """
    for row in prange(len(vectors)):
        target = table[row]
        for center in range(len(norms)):
            target[center] = norms[center]
        for axis in range(vectors.shape[1]):
            factor, column = vectors[row, axis], columns[axis]
            for center in range(len(norms)):
                target[center] += factor * column[center]


@njit(cache=True, fastmath=True)
def _least_sums(one: Singles, other: Singles, least: Singles) -> np.float32:  # pragma: no cover
    overall = LARGEST
    for chunk in range(len(least)):
        found = LARGEST
        for place in range(CHUNK):
            value = one[chunk * CHUNK + place] + other[chunk * CHUNK + place]
            found = value if value < found else found
        least[chunk] = found
        overall = found if found < overall else overall
    return overall


@njit(cache=True, parallel=True)
def settle_instances(
    codes: Ints,
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
    codes
        Student, section and problem of each instance; equal problems behind each other share a sum.
        Shape ``(instances, 3)``.
    order
        Where the result of each instance goes. Shape ``(instances,)``.
    tables
        Parts of the squared distance, about, less the squared length of the instance's vector: of students,
        of sections, of problems. Shape ``(…, columns)`` each; columns are centers, filled up with large
        values to a multiple of ``CHUNK``.
    slack
        Twice the largest error of a sum of three.
    parts, centers
        Vectors of students, sections and problems, and of centers. Shapes ``(…, dim)`` each and
        ``(centers, 3 * dim)``.
    label, squared
        Written: the nearest center and the squared distance to it. Shape ``(instances,)``.
    """
    student_table, section_table, problem_table = tables
    students, sections, problems = parts
    num_columns = student_table.shape[1]
    middle, last = students.shape[1], students.shape[1] + sections.shape[1]
    for block in prange((len(order) + BLOCK - 1) // BLOCK):
        least = np.empty(num_columns // CHUNK, dtype=np.float32)
        shared = np.empty(num_columns, dtype=np.float32)
        vector = np.empty(centers.shape[1], dtype=np.float32)
        lanes = np.empty(LANES)
        section, problem = -1, -1
        for place in range(block * BLOCK, min((block + 1) * BLOCK, len(order))):
            student = codes[place, 0]
            if codes[place, 1] != section or codes[place, 2] != problem:
                section, problem = codes[place, 1], codes[place, 2]
                for center in range(num_columns):
                    shared[center] = section_table[section, center] + problem_table[problem, center]
                vector[middle:last] = sections[section]
                vector[last:] = problems[problem]
            vector[:middle] = students[student]
            limit = np.float32(_least_sums(student_table[student], shared, least) + slack)
            best, best_squared = -1, np.inf
            for chunk in range(len(least)):
                if least[chunk] > limit:
                    continue
                for center in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(centers))):
                    if student_table[student, center] + shared[center] <= limit:
                        found = squared_distance(vector, centers[center], lanes)
                        if found < best_squared:
                            best, best_squared = center, found
            label[order[place]] = best
            squared[order[place]] = best_squared


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


@njit(cache=True, parallel=True)
def sums_of_instances(
    codes: Ints,
    order: Places,
    weights: Floats,
    labels: Ints,
    parts: tuple[Singles, Singles, Singles],
    num_centers: int,
) -> Floats:  # pragma: no cover
    """Return the weighted sum of the instances of each center. Shape ``(num_centers, 3 * dim)``.

    Codes and weights stand in the order of work, labels where ``order`` says. Slices of the instances are
    summed apart and then added one after the other. How many there are depends on the numbers of instances
    and centers alone, so the sums do not on the number of threads.
    """
    students, sections, problems = parts
    middle, last = students.shape[1], students.shape[1] + sections.shape[1]
    num_slices = max(1, min(SLICES, len(codes) // (4 * num_centers)))
    found = np.zeros((num_slices, num_centers, last + problems.shape[1]))
    for part in prange(num_slices):
        for place in range(len(codes) * part // num_slices, len(codes) * (part + 1) // num_slices):
            target, weight = found[part, labels[order[place]]], weights[place]
            student, section, problem = codes[place]
            for axis in range(middle):
                target[axis] += weight * students[student, axis]
            for axis in range(sections.shape[1]):
                target[middle + axis] += weight * sections[section, axis]
            for axis in range(problems.shape[1]):
                target[last + axis] += weight * problems[problem, axis]
    sums: Floats = found[0]
    for part in range(1, num_slices):
        sums += found[part]
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


# Products may be summed in any order: the compiler fixes it, whatever the number of threads.
@njit(cache=True, fastmath=True)
def _product(first: Floats, second: Floats) -> float:  # pragma: no cover
    total = 0.0
    for axis in range(len(first)):
        total += first[axis] * second[axis]
    return total


@njit(cache=True)
def _widest(offsets: Floats, weights: Floats) -> Floats:  # pragma: no cover
    """Turn the farthest point's direction towards the widest, by powers of the scatter matrix."""
    farthest, longest = 0, -1.0
    for row in range(len(offsets)):
        length = _product(offsets[row], offsets[row])
        if length > longest:
            farthest, longest = row, length
    axis: Floats = offsets[farthest].copy()
    for _ in range(AXIS_STEPS):
        turned = np.zeros_like(axis)
        for row in range(len(offsets)):
            factor = weights[row] * _product(offsets[row], axis)
            for place in range(len(axis)):
                turned[place] += factor * offsets[row, place]
        length = np.sqrt(_product(turned, turned))
        if length == 0.0:
            break
        axis = turned / length
    return axis


@njit(cache=True)
def halves(
    vectors: Floats, weights: Floats, mean: Floats
) -> tuple[float, Floats, Floats]:  # pragma: no cover
    """Cut a cluster in two by k-means, from a cut across about its widest direction.

    Returns what that saves, at least 0, and the means of both parts.
    """
    offsets = vectors - mean
    axis = _widest(offsets, weights)
    limit, saved = 0.0, 0.0
    low, high = mean.copy(), mean.copy()
    for _ in range(CUT_STEPS):
        sums = np.zeros((2, len(mean)))
        sizes = np.zeros(2)
        for row in range(len(offsets)):
            side = 1 if _product(offsets[row], axis) > limit else 0
            for place in range(len(axis)):
                sums[side, place] += weights[row] * offsets[row, place]
            sizes[side] += weights[row]
        if sizes[0] == 0.0 or sizes[1] == 0.0:
            break
        low_offset, high_offset = sums[0] / sizes[0], sums[1] / sizes[1]
        axis = high_offset - low_offset
        gain = sizes[0] * sizes[1] / (sizes[0] + sizes[1]) * _product(axis, axis)
        if gain <= saved:
            break
        saved, low, high = gain, mean + low_offset, mean + high_offset
        limit = _product(axis, low_offset + high_offset) / 2
    return saved, low, high
