"""Our sampler: every kind of learner on every problem first, each by its most typical attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.samplers.apportionment import apportion
from edpipe.datasets.samplers.learners import group_clusters, learner_groups
from edpipe.datasets.samplers.pool import Pool, checked_budget, codes_of, place_in_group
from edpipe.datasets.samplers.typical import normalized_entropy, strategy_shares, typical_order
from edpipe.datasets.strategy import Places


@dataclass(frozen=True, slots=True)
class ClusterSampler:
    r"""Share the budget among strategy clusters and take the typical attempts of each first.

    A cell is a cluster at one problem: learners who are alike, doing the same thing. Who is alike is said by
    clusters of students, or by mastery groups that follow the same strategies
    (:func:`~edpipe.datasets.samplers.learners.learner_groups`). Where the budget covers
    all cells, it is shared among them, otherwise among clusters; a part :math:`c` weighs
    :math:`|c|^\beta`, a cluster also :math:`1 +` its normalized strategy entropy, and each gets one place
    before any gets a second. Within a cluster the problems take turns, those first that no other
    cluster has more attempts at. Within a cell the attempts that follow its most frequent strategy come
    first (see :func:`~edpipe.datasets.samplers.typical.typical_order`): alike learners differ there by
    chance, and an attempt off the path tells more of chance than of the learner. Among equal strategies the
    attempt nearest to the mean of the cell comes first, then the draw decides.

    Attributes
    ----------
    exponent
        :math:`\beta`, in [0, 1]: 0 treats clusters alike, 1 follows their size.
    weighs_entropy
        Whether clusters of many strategies get more.
    shrinkage
        Attempts that the problem's strategies weigh as in a cell, at least 0.
    learners
        Who says which learners are alike.
    mastery_shrinkage
        Answers that a prior weighs as in a student's mastery; for groups only.
    """

    exponent: float = 0.5
    weighs_entropy: bool = True
    shrinkage: float = 1.0
    learners: Literal["groups", "clusters"] = "clusters"
    mastery_shrinkage: float = 5.0
    name: str = "clusters"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return rows of typical attempts."""
        num_taken = checked_budget(pool, budget)
        cluster = pool.cluster
        if self.learners == "groups":
            cluster = group_clusters(pool, learner_groups(pool, shrinkage=self.mastery_shrinkage))
        cell = codes_of(cluster, pool.problem)
        turn = self._turns(pool, cell)
        cell_size = np.bincount(cell)
        if num_taken >= len(cell_size):
            shares = apportion(cell_size, num_taken, cell_size.astype(np.float64) ** self.exponent)
            return pool.rows[turn < shares[cell]]
        size = np.bincount(cluster)
        weight = size.astype(np.float64) ** self.exponent
        if self.weighs_entropy:
            weight = weight * (1 + normalized_entropy(cluster, pool.strategy))
        shares = apportion(size, num_taken, weight)
        rank = _cell_rank(cell, pool.problem)
        # Cells that come first in their problem come first in the cluster, large ones before small ones.
        ranked = np.lexsort((cell, -cell_size[cell], rank[cell], turn))
        return pool.rows[place_in_group(cluster, ranked) < shares[cluster]]

    def _turns(self, pool: Pool, cell: Places) -> Places:
        """Return the turn of each attempt in its cell, from 0."""
        shares = strategy_shares(cell, pool.problem, pool.strategy, shrinkage=self.shrinkage)
        order = pool.random(self.name).permutation(len(pool))
        if pool.embedding is not None:
            is_middle = _nearest_to_mean(pool, cell, shares.pair)
            order = order[np.argsort(~is_middle[order], kind="stable")]
        return typical_order(shares, order)


def _nearest_to_mean(pool: Pool, cell: Places, pair: Places) -> NDArray[np.bool_]:
    """Mark in each pair the attempt whose student is most like the mean student of the cell."""
    students = pool.known_embedding().students
    total = np.zeros((int(cell.max()) + 1, students.shape[1]))
    np.add.at(total, cell, students[pool.student])
    likeness = (students[pool.student] * total[cell]).sum(axis=1)
    best = place_in_group(pair, np.lexsort((pool.rows, -likeness)))
    is_nearest: NDArray[np.bool_] = best == 0
    return is_nearest


def _cell_rank(cell: Places, problem: Places) -> Places:
    """Return the rank of each cell among those of its problem, from 0 for the largest."""
    first = np.unique(cell, return_index=True)[1]
    size = np.bincount(cell)
    order = np.lexsort((np.arange(len(size)), -size))
    return place_in_group(codes_of(problem[first]), order)
