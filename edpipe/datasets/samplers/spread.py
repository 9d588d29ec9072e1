"""Samplers that cover the space of vectors: proportional k-means, k-center, facility location."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from edpipe.datasets.samplers.pool import Pool, checked_budget, codes_of
from edpipe.datasets.samplers.simple import stratified
from edpipe.datasets.strategy import Places
from edpipe.mastery.embedding import Vectors

# Attempts that facility location looks at for a place: enough that one of the best twentieth is among them
# with a chance above 0.95.
NUM_CANDIDATES = 64
MOST_COVERED = 4_000


@dataclass(frozen=True, slots=True)
class KMeansSampler:
    """Cluster attempts by k-means on their vectors and draw from each in proportion to its size.

    Attributes
    ----------
    num_clusters
        Clusters, at least 1; 0 is as many as the strategy clusters, else the root of the attempts.
    """

    num_clusters: int = 0
    name: str = "kmeans"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return rows drawn cluster by cluster."""
        cluster = kmeans_clusters(pool, self.num_clusters)
        return stratified(pool, cluster, budget, np.bincount(cluster).astype(np.float64), self.name)


def kmeans_clusters(pool: Pool, num_clusters: int = 0) -> Places:
    """Return the k-means cluster of each attempt, from 0 without gaps. Shape ``(n,)``."""
    from sklearn.cluster import MiniBatchKMeans

    wanted = num_clusters or (
        int(pool.cluster.max()) + 1 if pool.clusters is not None else round(np.sqrt(len(pool)))
    )
    # Attempts of one student at one problem are one point, so there may be fewer points than asked for.
    distinct = len(np.unique(codes_of(pool.student, pool.problem)))
    means = MiniBatchKMeans(max(1, min(wanted, distinct)), random_state=pool.seed, n_init=1, batch_size=2048)
    with warnings.catch_warnings():
        # Attempts may share vectors that training gave no meaning: fewer points than clusters.
        warnings.simplefilter("ignore")
        labels = means.fit_predict(pool.vectors)
    return codes_of(labels.astype(np.int64))


@dataclass(frozen=True, slots=True)
class KCenterSampler:
    """Take the attempt farthest from all taken so far, again and again (Gonzalez' traversal).

    Each place costs a pass over all attempts, so the time grows with budget times attempts.
    """

    name: str = "kcenter"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return the rows of the traversal that begins with a drawn attempt."""
        num_taken = checked_budget(pool, budget)
        first = int(pool.random(self.name).integers(len(pool)))
        return np.sort(pool.rows[farthest_first(pool.vectors, num_taken, first)])


def farthest_first(vectors: Vectors, num_taken: int, first: int) -> Places:
    """Return the order in which farthest points are met, beginning with ``first``.

    A point is never taken twice; of equally far ones the earlier is taken. Shape ``(num_taken,)``.
    """
    squares = np.square(vectors).sum(axis=1)
    distance = np.full(len(vectors), np.inf, dtype=np.float32)
    taken = np.empty(num_taken, dtype=np.int64)
    chosen = first
    for place in range(num_taken):
        taken[place] = chosen
        found = squares + squares[chosen] - 2 * (vectors @ vectors[chosen])
        np.minimum(distance, np.maximum(found, 0), out=distance)
        distance[chosen] = -1
        chosen = int(distance.argmax())
    return taken


@dataclass(frozen=True, slots=True)
class FacilitySampler:
    """Take attempts that raise the summed likeness of all to their nearest taken one the most.

    Greedy with a drawn set of candidates for each place; the attempts that count are at most
    :data:`MOST_COVERED` drawn ones.
    """

    name: str = "facility"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return rows that are like many others."""
        num_taken = checked_budget(pool, budget)
        random = pool.random(self.name)
        covered = random.choice(len(pool), size=min(len(pool), MOST_COVERED), replace=False)
        target = pool.vectors[covered]
        best = np.full(len(covered), -np.inf, dtype=np.float32)
        free = random.permutation(len(pool))
        taken: list[int] = []
        for _ in range(num_taken):
            places = random.choice(len(free), size=min(NUM_CANDIDATES, len(free)), replace=False)
            likeness = pool.vectors[free[places]] @ target.T  # (candidates, covered)
            gain = np.maximum(likeness, np.where(np.isinf(best), -3, best)).sum(axis=1)
            winner = int(gain.argmax())
            taken.append(int(free[places[winner]]))
            best = np.maximum(best, likeness[winner])
            free[places[winner]] = free[-1]
            free = free[:-1]
        return np.sort(pool.rows[np.array(taken, dtype=np.int64)])
