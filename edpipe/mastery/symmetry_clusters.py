"""How symmetric the strategies inside clusters are, from all pairs or from some drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places
from edpipe.mastery.dp_means_kernels import Floats
from edpipe.mastery.symmetry import Strategies, symmetry

NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True, eq=False)
class ClusterSymmetry:
    """Symmetry of clusters, relative to that of a strategy with itself.

    Attributes
    ----------
    scores
        Mean over pairs in [-1, 1]; NaN where a cluster has no pair. Shape ``(num_clusters,)``.
    errors
        Standard errors of the scores, 0 where all pairs were compared. Shape ``(num_clusters,)``.
    mean, low, high
        Mean over the clusters with pairs, weighted by size, and its 95 % interval; NaN where no cluster has
        a pair. The interval is that of drawing pairs.
    """

    scores: Floats
    errors: Floats
    mean: float
    low: float
    high: float


def cluster_symmetry(
    strategies: Strategies,
    clusters: Places,
    *,
    num_pairs: int,
    rng: np.random.Generator,
    cells: Places | None = None,
) -> ClusterSymmetry:
    """Compare strategies inside clusters.

    Parameters
    ----------
    strategies
        Strategies.
    clusters
        Cluster of each, from 0. Shape ``(n,)``.
    num_pairs
        Pairs compared in a cluster; all of them where there are no more.
    rng
        Draws the pairs.
    cells
        Pairs are made inside these only: strategies of one cell, a part of one cluster. Shape ``(n,)``; by
        default the clusters.
    """
    num_clusters = int(clusters.max(initial=-1)) + 1
    first, second, is_whole = _pairs(clusters, clusters if cells is None else cells, num_pairs, rng)
    scores = np.full(num_clusters, np.nan)
    if not len(first):
        return ClusterSymmetry(scores, np.zeros(num_clusters), np.nan, np.nan, np.nan)
    found = symmetry(strategies, first, second, is_relative=True)
    cluster = clusters[first]
    count = np.bincount(cluster, minlength=num_clusters)
    has = count > 0
    scores[has] = np.bincount(cluster, found, num_clusters)[has] / count[has]
    deviation = np.bincount(cluster, (found - scores[cluster]) ** 2, num_clusters)
    size = np.bincount(clusters, minlength=num_clusters)[has].astype(np.float64)
    share = size / size.sum()
    mean = float(share @ scores[has])
    errors = np.sqrt(deviation / np.maximum(count - 1, 1) / np.maximum(count, 1))
    errors[is_whole] = 0
    half = NORMAL_95 * float(np.sqrt(share**2 @ errors[has] ** 2))
    return ClusterSymmetry(scores, errors, mean, max(mean - half, -1.0), min(mean + half, 1.0))


def _pairs(
    clusters: Places, cells: Places, num_pairs: int, rng: np.random.Generator
) -> tuple[Places, Places, NDArray[np.bool_]]:
    """Return the pairs to compare, ordered by cluster, and which clusters have all of theirs."""
    order = np.lexsort((cells, clusters))
    cell = np.unique(cells, return_inverse=True)[1][order]
    size = np.bincount(cell)
    is_first = np.concatenate([[True], cell[1:] != cell[:-1]])
    begin = np.empty(len(size), dtype=np.int64)
    begin[cell[is_first]] = np.flatnonzero(is_first)
    # Place in the cell; a member pairs with those before it.
    place = np.arange(len(order)) - begin[cell]
    cluster = clusters[order]
    pairs = np.bincount(cluster, weights=place).astype(np.int64)
    is_whole = pairs <= num_pairs
    taken = np.flatnonzero(is_whole[cluster])
    later = np.repeat(taken, place[taken])
    within = np.arange(len(later)) - np.repeat(np.cumsum(place[taken]) - place[taken], place[taken])
    whole = (later, begin[cell[later]] + within)
    drawn = _drawn(pairs, is_whole, place, begin[cell], num_pairs, rng)
    first = np.concatenate([whole[0], drawn[0]])
    second = np.concatenate([whole[1], drawn[1]])
    by_cluster = np.argsort(cluster[first], kind="stable")
    return order[first[by_cluster]], order[second[by_cluster]], is_whole


def _drawn(
    pairs: Places,
    is_whole: NDArray[np.bool_],
    place: Places,
    begin: Places,
    num_pairs: int,
    rng: np.random.Generator,
) -> tuple[Places, Places]:
    """Draw pairs, each equally likely, in the clusters that have too many."""
    chosen = np.flatnonzero(~is_whole)
    # Pairs are numbered: the later member of pair t is the first whose running count exceeds t.
    running = np.cumsum(place)
    offset = np.concatenate([[0], np.cumsum(pairs)])[chosen]
    number = np.repeat(offset, num_pairs) + (
        rng.random(len(chosen) * num_pairs) * np.repeat(pairs[chosen], num_pairs)
    ).astype(np.int64)
    later = np.searchsorted(running, number, side="right")
    return later, begin[later] + number - (running[later] - place[later])
