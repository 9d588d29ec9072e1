"""DP-means: clusters no wider than a radius, as many as that takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edpipe.datasets.strategy import Ints, Places
from edpipe.mastery.dp_means_kernels import Floats, Values, cheap_merges, net
from edpipe.mastery.dp_means_points import DensePoints, PointSet

BATCH = 2048  # points beyond the radius that new centers are chosen among at a time
# Points of one cluster may be two radii apart: of the points beyond the radius, those this far from each
# other surely open clusters of their own; the rest waits for the means. (Squared, in penalties.)
FIRST_REACH = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class DPMeans:
    """Clusters found by DP-means.

    Attributes
    ----------
    centers
        Shape ``(num_clusters, dim)``.
    labels
        Nearest center of each point, from 0 without gaps. Shape ``(num_points,)``.
    squared
        Squared distance of each point from its center. Shape ``(num_points,)``.
    objective
        Squared distances plus ``radius ** 2`` times the number of clusters, after each pass; never rises.
    radius
        Largest distance of a point from its center; its square is the price of a cluster.
    is_converged
        Whether the last pass gained nothing more than the tolerance.
    """

    centers: Floats
    labels: Ints
    squared: Floats
    objective: tuple[float, ...]
    radius: float
    is_converged: bool

    @property
    def num_clusters(self) -> int:
        """Number of clusters."""
        return len(self.centers)


def dp_means(
    points: Values | PointSet,
    *,
    radius: float,
    weights: Floats | None = None,
    centers: Floats | None = None,
    max_iterations: int = 100,
    tolerance: float = 0.0,
    seed: int = 0,
) -> DPMeans:
    r"""Cluster points without fixing the number of clusters.

    Minimizes :math:`\sum_i w_i \lVert x_i - \mu_{z_i} \rVert^2 + r^2 K`. One unit throughout: a point opens a
    cluster when it is farther than the radius :math:`r` from every center, which is when its squared distance
    exceeds the penalty :math:`r^2`.

    Each pass moves centers to the means of their points, drops centers without points, merges pairs wherever
    that lowers the objective, assigns points to the nearest center, and opens clusters at points beyond the
    radius, many at a time: those that are two radii from each other. No step raises the objective. The last
    pass is one that gains no more than ``tolerance``; at the end clusters are opened until no point is beyond
    the radius. Equal inputs give equal results, on any number of threads.

    Parameters
    ----------
    points
        Shape ``(num_points, dim)``, or another kind of :class:`PointSet`.
    radius
        Above 0.
    weights
        How many equal points each row stands for. Shape ``(num_points,)``; by default 1.
    centers
        Centers to start from; by default the mean of all points. Shape ``(any number, dim)``.
    max_iterations
        Upper bound of the passes.
    tolerance
        Iteration stops when a pass lowers the objective by no more than this share.
    seed
        Seed of the order in which points may open clusters.

    References
    ----------
    Kulis and Jordan (2012), "Revisiting k-means: new algorithms via Bayesian nonparametrics".
    """
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"radius must be positive and finite; got {radius}.")
    if max_iterations < 1 or tolerance < 0:
        raise ValueError(f"max_iterations must be 1 or more; got {max_iterations}, tolerance {tolerance}.")
    kept: PointSet = DensePoints(points, weights) if isinstance(points, np.ndarray) else points
    penalty = radius * radius
    order = np.random.default_rng(seed).permutation(len(kept.weights))
    labels = np.zeros(len(kept.weights), dtype=np.int32)
    if centers is None:
        centers = kept.sums(labels, 1) / kept.weights.sum()
    centers = np.array(centers, dtype=np.float64, ndmin=2)
    labels, squared = kept.nearest(centers)
    objective: list[float] = []
    is_converged = False
    while not is_converged and len(objective) < max_iterations:
        moved, new_labels, new_squared = centers, labels, squared
        if objective:
            moved = _merged(*_means(kept, labels, len(centers)), penalty)
            new_labels, new_squared = kept.nearest(moved)
        moved = _opened(kept, moved, new_labels, new_squared, penalty, FIRST_REACH * penalty, order)
        reached = float(kept.weights @ new_squared) + penalty * len(moved)
        gain = objective[-1] - reached if objective else np.inf
        is_converged = gain <= tolerance * reached
        if gain >= 0:
            # Only rounding can raise it, of what has come to rest.
            centers, labels, squared = moved, new_labels, new_squared
            objective.append(reached)
    if (squared > penalty).any():
        centers = _opened(kept, centers, labels, squared, penalty, penalty, order)
        objective[-1] = min(objective[-1], float(kept.weights @ squared) + penalty * len(centers))
    centers, labels = _without_gaps(centers, labels)
    return DPMeans(centers, labels, squared, tuple(objective), radius, is_converged)


def _opened(
    points: PointSet,
    centers: Floats,
    labels: Ints,
    squared: Floats,
    penalty: float,
    reach: float,
    order: Places,
) -> Floats:
    """Open clusters at points beyond the radius; ``labels`` and ``squared`` follow.

    Afterwards each of these points has a squared distance of at most ``reach`` from a new center. Only they
    move to new centers here; others do at the next pass if these are nearer.
    """
    far = order[squared[order] > penalty]
    gap = np.full(len(far), np.inf)
    while (is_open := gap > reach).any():
        candidates = points.vectors(far[np.flatnonzero(is_open)[:BATCH]])
        opened = candidates[net(candidates, reach)]
        label, found = points.nearest(opened, far)
        is_nearer = found < squared[far]
        labels[far[is_nearer]] = label[is_nearer] + np.int32(len(centers))
        squared[far[is_nearer]] = found[is_nearer]
        gap = np.minimum(gap, found)
        centers = np.concatenate([centers, opened])
    return centers


def _means(points: PointSet, labels: Ints, num_centers: int) -> tuple[Floats, Floats]:
    """Return the means of clusters that have points, and their weights."""
    sizes: Floats = np.bincount(labels, weights=points.weights, minlength=num_centers).astype(np.float64)
    is_used = sizes > 0
    sums = points.sums(labels, num_centers)
    return sums[is_used] / sizes[is_used, None], sizes[is_used]


def _merged(centers: Floats, sizes: Floats, penalty: float) -> Floats:
    """Merge pairs of centers that cost less together, the most rewarding first and each at most once."""
    first, second, change = cheap_merges(centers, sizes, penalty)
    is_free = np.ones(len(centers), dtype=bool)
    kept = is_free.copy()
    for place in np.argsort(change, kind="stable"):
        one, other = first[place], second[place]
        if is_free[one] and is_free[other]:
            weight = sizes[[one, other]]
            centers[one] = weight @ centers[[one, other]] / weight.sum()
            is_free[[one, other]] = False
            kept[other] = False
    return centers[kept]


def _without_gaps(centers: Floats, labels: Ints) -> tuple[Floats, Ints]:
    """Drop centers that no point is nearest to."""
    used, packed = np.unique(labels, return_inverse=True)
    return centers[used], packed.astype(np.int32)
