"""The radius that gives a wanted number of clusters."""

from __future__ import annotations

import numpy as np

from edpipe.mastery.dp_means_points import DensePoints, PointSet

MOST_POINTS = 16_384


def first_radius(points: PointSet, *, num_clusters: int, seed: int = 0) -> float:
    """Return the least radius at which some ``num_clusters`` points leave none farther away.

    The points are chosen by farthest-first traversal: the first by the seed, each other as far from those
    before as there is. Of more than 16,384 points so many are drawn.

    Parameters
    ----------
    points
        Points.
    num_clusters
        From 1.
    seed
        Seed of the sample and of the first point.

    Returns
    -------
    float
        Above 0, so that it is a radius even where all points are equal.
    """
    if num_clusters < 1:
        raise ValueError(f"num_clusters must be 1 or more; got {num_clusters}.")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(points.weights))[:MOST_POINTS]
    vectors = points.vectors(rows)
    sample = DensePoints(vectors)
    far = np.full(len(rows), np.inf)
    for _ in range(num_clusters):
        center = vectors[[int(far.argmax())]]
        far = np.minimum(far, sample.nearest(center)[1])
    return max(float(np.sqrt(far.max())), float(np.finfo(np.float32).eps))
