"""Moves from one optimum of DP-means to a better one: two clusters become one where another falls apart."""

from __future__ import annotations

import numpy as np

from edpipe.datasets.strategy import Ints
from edpipe.mastery.dp_means_kernels import Floats, cheap_merges, halves
from edpipe.mastery.dp_means_points import PointSet

MOST_ROWS = 512  # of a cluster, evenly spaced, that a cut is sought with


def exchanged(
    points: PointSet, labels: Ints, squared: Floats, centers: Floats, sizes: Floats
) -> Floats | None:
    """Merge pairs of clusters and split as many others, wherever that saves more than it costs.

    Passes of DP-means end in a local optimum: here two clusters share what could be one, there one covers
    what should be two. Merging clusters of weights a and b adds a b / (a + b) times the squared distance of
    their means; cutting a cluster in two saves the same of its parts. The most rewarding cut is paired with
    the cheapest merge, and so on while the cut saves more; a cluster takes part once. So squared distances to
    the new centers sum to less by the difference or more, and there are as many clusters as before. Above 512
    points a cluster's cut is sought, and what it saves estimated, with at most so many of them: whoever calls
    this compares the objective before and after.

    Parameters
    ----------
    points
        Points.
    labels
        Cluster of each point, from 0 without gaps. Shape ``(num_points,)``.
    squared
        Squared distance of each point from the mean of its cluster, or more. Shape ``(num_points,)``.
    centers, sizes
        Means and weights of the clusters. Shapes ``(num_clusters, dim)`` and ``(num_clusters,)``.

    Returns
    -------
    Floats or None
        New centers, as many; None if no exchange lowers the objective.
    """
    spread = np.bincount(labels, weights=points.weights * squared, minlength=len(centers))
    most = float(spread.max())  # a cut saves no more than all squared distances of its cluster
    if len(centers) < 3 or most <= 0:
        return None
    first, second, change = cheap_merges(centers, sizes, most)
    if not change.size:
        return None
    cost = change + most
    merges = np.argsort(cost, kind="stable")
    order = np.argsort(labels, kind="stable")
    start = np.searchsorted(labels[order], np.arange(len(centers) + 1))
    cuts = []
    for cluster in np.flatnonzero(spread > cost[merges[0]]):
        rows = order[start[cluster] : start[cluster + 1]]
        rows = rows[:: -(-len(rows) // MOST_ROWS)]
        weights = points.weights[rows]
        saved, *means = halves(points.vectors(rows), weights, centers[cluster])
        cuts.append((-saved * sizes[cluster] / weights.sum(), cluster, means))
    moved = centers.copy()
    is_free = np.ones(len(centers), dtype=bool)
    is_changed = False
    for loss, cluster, means in sorted(cuts, key=lambda cut: cut[:2]):
        if not is_free[cluster]:
            continue
        is_free[cluster] = False
        merges = merges[is_free[first[merges]] & is_free[second[merges]]]
        if not merges.size or cost[merges[0]] + loss >= 0:
            break
        one, other = first[merges[0]], second[merges[0]]
        is_free[[one, other]] = False
        weight = sizes[[one, other]]
        moved[one] = weight @ centers[[one, other]] / weight.sum()
        moved[cluster], moved[other] = means
        is_changed = True
    return moved if is_changed else None
