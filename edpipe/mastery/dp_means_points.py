"""What DP-means needs of the points it clusters, and points that stand in memory as rows."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np

from edpipe.datasets.strategy import Ints, Places
from edpipe.mastery.dp_means_kernels import Floats, Singles, Values, settle, sums_of

BLOCK_VALUES = 2**23  # distances held at once: 32 MiB
CENTERS_AT_ONCE = 4096
ROUNDING = 2.0**-24
LARGEST_LENGTH = 1e15  # squares of longer vectors leave single precision


class PointSet(Protocol):
    """Weighted points, however they are kept."""

    @property
    def weights(self) -> Floats:
        """How many equal points each row stands for, above 0. Shape ``(num_points,)``."""
        ...

    def subset(self, rows: Places) -> Self:
        """Return some of the points."""
        ...

    def vectors(self, rows: Places) -> Floats:
        """Return the coordinates of some points. Shape ``(len(rows), dim)``."""
        ...

    def nearest(self, centers: Floats, rows: Places | None = None) -> tuple[Ints, Floats]:
        """Return the nearest center of some or all points, and the exact squared distance to it.

        Of centers equally near, the first is taken.
        """
        ...

    def sums(self, labels: Ints, num_centers: int) -> Floats:
        """Return the weighted sum of the points of each center. Shape ``(num_centers, dim)``."""
        ...


class DensePoints:
    """Points as rows of a matrix.

    Parameters
    ----------
    values
        Shape ``(num_points, dim)``, single or double precision.
    weights
        Shape ``(num_points,)``; by default 1.

    Raises
    ------
    ValueError
        If there is no point, a coordinate is not finite or too large, or a weight is not positive.
    """

    def __init__(self, values: Values, weights: Floats | None = None) -> None:
        if values.ndim != 2 or not values.size:
            raise ValueError(f"values must have shape (num_points, dim); got {values.shape}.")
        if values.dtype != np.float32:
            values = np.asarray(values, dtype=np.float64)
        self.values: Values = np.ascontiguousarray(values)
        self._weights = checked_weights(weights, len(values))
        self._lengths = lengths_of(self.values)

    @property
    def weights(self) -> Floats:
        """How many equal points each row stands for. Shape ``(num_points,)``."""
        return self._weights

    def subset(self, rows: Places) -> Self:
        """Return some of the points."""
        return type(self)(self.values[rows], self._weights[rows])

    def vectors(self, rows: Places) -> Floats:
        """Return the coordinates of some points. Shape ``(len(rows), dim)``."""
        return self.values[rows].astype(np.float64)

    def sums(self, labels: Ints, num_centers: int) -> Floats:
        """Return the weighted sum of the points of each center. Shape ``(num_centers, dim)``."""
        sums: Floats = sums_of(self.values, self._weights, labels, num_centers)
        return sums

    def nearest(self, centers: Floats, rows: Places | None = None) -> tuple[Ints, Floats]:
        """Return the nearest center of some or all points, and the exact squared distance to it."""
        values = self.values if rows is None else self.values[rows]
        lengths = self._lengths if rows is None else self._lengths[rows]
        label = np.zeros(len(values), dtype=np.int32)
        squared = np.full(len(values), np.inf)
        for begin in range(0, len(centers), CENTERS_AT_ONCE):
            part = np.ascontiguousarray(centers[begin : begin + CENTERS_AT_ONCE])
            step = max(1, BLOCK_VALUES // len(part))
            for top in range(0, len(values), step):
                found = self._settled(values[top : top + step], lengths[top : top + step], part)
                keep_nearer(label[top : top + step], squared[top : top + step], *found, begin)
        return label, squared

    def _settled(self, values: Values, lengths: Floats, centers: Floats) -> tuple[Ints, Floats]:
        single = centers.astype(np.float32)
        dots = self._dots(values, single)
        label, squared = np.empty(len(values), dtype=np.int32), np.empty(len(values))
        norms = np.square(centers).sum(axis=1).astype(np.float32)
        slack = slack_of(lengths, centers).astype(np.float32)
        settle(dots, norms, slack, values, centers, label, squared)
        return label, squared

    def _dots(self, values: Values, centers: Singles) -> Singles:
        """Return the products of points and centers, about. Shape ``(points, centers)``."""
        dots: Singles = values.astype(np.float32, copy=False) @ centers.T
        return dots


def slack_of(lengths: Floats, centers: Floats) -> Floats:
    """Return twice the largest error of a squared distance of single precision, a point.

    The product of two vectors is off by at most their width times the unit rounding times their lengths; the
    bound here is more than twice that. Shape as ``lengths``.
    """
    longest = float(np.sqrt(np.square(centers).sum(axis=1).max()))
    if longest > LARGEST_LENGTH:
        raise ValueError(f"centers must be shorter than {LARGEST_LENGTH:g}; got {longest:g}.")
    factor = 8 * (centers.shape[1] + 16) * ROUNDING
    found: Floats = factor * (lengths * longest + longest * longest) + 1e-37
    return found


def keep_nearer(label: Ints, squared: Floats, other: Ints, other_squared: Floats, begin: int) -> None:
    """Take another center, ``begin`` added to its number, wherever it is nearer than the present one."""
    is_nearer = other_squared < squared
    label[is_nearer] = other[is_nearer] + begin
    squared[is_nearer] = other_squared[is_nearer]


def lengths_of(values: Values) -> Floats:
    """Return the lengths of vectors, which must be finite and not too long. Shape ``(n,)``."""
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
    if not (lengths <= LARGEST_LENGTH).all():
        raise ValueError(f"coordinates must be finite, and vectors shorter than {LARGEST_LENGTH:g}.")
    return lengths


def checked_weights(weights: Floats | None, num_points: int) -> Floats:
    """Return the weights, or ones. Shape ``(num_points,)``."""
    if weights is None:
        return np.ones(num_points)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (num_points,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"weights must be {num_points} finite numbers above 0.")
    return weights
