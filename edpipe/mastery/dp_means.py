"""DP-means: clusters no wider than a radius, as many as that takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edpipe.datasets.strategy import Ints
from edpipe.mastery.dp_means_exchange import exchanged
from edpipe.mastery.dp_means_kernels import Floats, Values, cheap_merges, net
from edpipe.mastery.dp_means_points import DensePoints, PointSet

BATCH = 2048  # points beyond the radius that new centers are chosen among at a time
# Points of one cluster may be two radii apart: of the points beyond the radius, those this far from each
# other surely open clusters of their own; the rest waits for the means. (Squared, in penalties.)
FIRST_REACH = 4.0
SAMPLE_OF = 8  # of more than MOST_POINTS points, one in so many is clustered first
MOST_POINTS = 2**14
EXCHANGE_GAIN = 1e-3  # share of the objective; a pass that gains less is worth less than an exchange


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
    max_exchanges: int = 40,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> DPMeans:
    r"""Cluster points without fixing the number of clusters.

    Minimizes :math:`\sum_i w_i \lVert x_i - \mu_{z_i} \rVert^2 + r^2 K`. One unit throughout: a point opens a
    cluster when it is farther than the radius :math:`r` from every center, which is when its squared distance
    exceeds the penalty :math:`r^2`.

    Each pass moves centers to the means of their points, drops centers without points, merges pairs wherever
    that lowers the objective, assigns points to the nearest center, and opens clusters at points beyond the
    radius, many at a time: those that are two radii from each other. Where passes gain less than a
    thousandth, some merge pairs and cut as many others in two instead, see
    :func:`~edpipe.mastery.dp_means_exchange.exchanged`. No step raises the objective. The last pass is one
    that gains no more than ``tolerance``; at the end clusters are opened until no point is beyond the radius.
    Equal inputs give equal results, on any number of threads.

    More than 16,384 points without ``centers`` start from the centers of an eighth of them, drawn by the seed
    and clustered in the same way: then few passes over all points are left.

    Parameters
    ----------
    points
        Shape ``(num_points, dim)``, or another kind of :class:`PointSet`.
    radius
        Above 0.
    weights
        How many equal points each row stands for. Shape ``(num_points,)``; by default 1.
    centers
        Centers to start from; by default the mean of all points, or those of a sample. Shape
        ``(any number, dim)``.
    max_iterations
        Upper bound of the passes.
    max_exchanges
        Upper bound of the passes that exchange clusters, of at most 16,384 points; 0 for none. Half as many
        of eight times the points, and so on.
    tolerance
        Iteration stops when a pass lowers the objective by no more than this share.
    seed
        Seed of the sample and of the order in which points may open clusters.

    References
    ----------
    Kulis and Jordan (2012), "Revisiting k-means: new algorithms via Bayesian nonparametrics".
    """
    _check(radius, max_iterations, max_exchanges, tolerance)
    kept: PointSet = DensePoints(points, weights) if isinstance(points, np.ndarray) else points
    penalty = radius * radius
    rank = np.empty(len(kept.weights), dtype=np.int32)
    rank[np.random.default_rng(seed).permutation(len(rank))] = np.arange(len(rank), dtype=np.int32)
    if centers is None and len(rank) > MOST_POINTS:
        centers = dp_means(
            kept.subset(np.flatnonzero(rank < len(rank) // SAMPLE_OF)),
            radius=radius,
            max_iterations=max_iterations,
            max_exchanges=max_exchanges,
            tolerance=max(tolerance, EXCHANGE_GAIN),
            seed=seed,
        ).centers
    if centers is None:
        centers = kept.sums(np.zeros(len(rank), dtype=np.int32), 1) / kept.weights.sum()
    centers = np.array(centers, dtype=np.float64, ndmin=2)
    labels, squared = kept.nearest(centers)
    centers = _opened(kept, centers, labels, squared, penalty, FIRST_REACH * penalty, rank)
    objective = [_total(kept, squared) + penalty * len(centers)]
    max_exchanges >>= _samples(len(rank))
    gain = np.inf
    is_settled = is_converged = False
    while not is_converged and len(objective) < max_iterations:
        means, sizes, packed = _means(kept, labels, len(centers))
        may_exchange = is_settled and max_exchanges > 0
        swapped = exchanged(kept, packed, squared, means, sizes) if may_exchange else None
        max_exchanges -= may_exchange
        if may_exchange and swapped is None and gain <= tolerance * objective[-1]:
            is_converged = True
            break
        moved = _merged(means, sizes, penalty) if swapped is None else swapped
        new_labels, new_squared = kept.nearest(moved)
        moved = _opened(kept, moved, new_labels, new_squared, penalty, FIRST_REACH * penalty, rank)
        reached = _total(kept, new_squared) + penalty * len(moved)
        gain = objective[-1] - reached
        if gain >= 0:
            centers, labels, squared = moved, new_labels, new_squared
            objective.append(reached)
        # A pass that raises it is not taken: rounding does, where all rests, or a cut that was guessed wrong.
        if (may_exchange and swapped is None) or (gain < 0 and swapped is not None):
            max_exchanges = 0
        is_settled = gain <= max(tolerance, EXCHANGE_GAIN) * reached
        is_converged = gain <= tolerance * reached and swapped is None and not max_exchanges
    if (squared > penalty).any():
        centers = _opened(kept, centers, labels, squared, penalty, penalty, rank)
        objective[-1] = min(objective[-1], _total(kept, squared) + penalty * len(centers))
    centers, labels = _without_gaps(centers, labels)
    return DPMeans(centers, labels, squared, tuple(objective), radius, is_converged)


def _check(radius: float, max_iterations: int, max_exchanges: int, tolerance: float) -> None:
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"radius must be positive and finite; got {radius}.")
    if max_iterations < 1 or max_exchanges < 0 or tolerance < 0:
        found = f"max_iterations {max_iterations}, max_exchanges {max_exchanges}, tolerance {tolerance}"
        raise ValueError(f"max_iterations must be 1 or more, the others 0 or more; got {found}.")


def _samples(num_points: int) -> int:
    """Return how many samples of samples lie below so many points."""
    count = 0
    while num_points > MOST_POINTS:
        num_points //= SAMPLE_OF
        count += 1
    return count


def _opened(
    points: PointSet,
    centers: Floats,
    labels: Ints,
    squared: Floats,
    penalty: float,
    reach: float,
    rank: Ints,
) -> Floats:
    """Open clusters at points beyond the radius; ``labels`` and ``squared`` follow.

    Afterwards each of these points has a squared distance of at most ``reach`` from a new center. Only they
    move to new centers here; others do at the next pass if these are nearer.
    """
    far = np.flatnonzero(squared > penalty)
    far = far[np.argsort(rank[far])]
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


def _total(points: PointSet, squared: Floats) -> float:
    """Return the weighted sum of squared distances, added in the same order on any number of threads."""
    return float((points.weights * squared).sum())


def _means(points: PointSet, labels: Ints, num_centers: int) -> tuple[Floats, Floats, Ints]:
    """Return the means of clusters that have points, their weights, and labels without gaps."""
    sizes: Floats = np.bincount(labels, weights=points.weights, minlength=num_centers).astype(np.float64)
    is_used = sizes > 0
    sums = points.sums(labels, num_centers)
    packed = (np.cumsum(is_used, dtype=np.int32) - 1)[labels]
    return sums[is_used] / sizes[is_used, None], sizes[is_used], packed


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
