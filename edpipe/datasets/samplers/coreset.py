"""A core-set of predictions: cover what a simple model would say, not what attempts look like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.samplers.pool import Pool, checked_budget, codes_of, place_in_group
from edpipe.datasets.samplers.spread import farthest_first
from edpipe.datasets.strategy import Ints, Places


@dataclass(frozen=True, slots=True)
class CoresetSampler:
    """Cover the predictions of a probe that knows student cluster, problem and section.

    The probe foretells which KCs an attempt will use: those used by the same student cluster at the problem,
    smoothed by those of the problem, the student cluster in the section, and the section. Attempts of one
    student cluster at one problem get one prediction. Predictions are covered farthest first in the Hellinger
    distance of their KC distributions; once all are covered, the next rounds take another attempt of each.

    Attributes
    ----------
    shrinkage
        KCs that the next coarser counts weigh as, above 0.
    """

    shrinkage: float = 5.0
    name: str = "coreset"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return rows whose predictions cover those of all."""
        num_taken = checked_budget(pool, budget)
        random = pool.random(self.name)
        cell = codes_of(pool.student_cluster, pool.problem)
        predicted = probe_predictions(pool, cell, shrinkage=self.shrinkage)
        num_covered = min(num_taken, len(predicted))
        # A square root of each share turns the Hellinger distance into the Euclidean one.
        order = farthest_first(
            np.sqrt(predicted).astype(np.float32), num_covered, int(random.integers(len(predicted)))
        )
        rank = np.full(len(predicted), num_covered, dtype=np.int64)
        rank[order] = np.arange(num_covered)
        turn = place_in_group(cell, random.permutation(len(pool)))
        taken = np.lexsort((rank[cell], turn))[:num_taken]
        return np.sort(pool.rows[taken])


def probe_predictions(pool: Pool, cell: Places, *, shrinkage: float) -> NDArray[np.float64]:
    """Return the KC distribution foretold for each cell; rows sum to 1. Shape ``(cells, num_kcs)``."""
    kcs, start = pool.dataset.strategies(pool.rows)
    of = np.repeat(np.arange(len(pool)), np.diff(start))
    first = np.unique(cell, return_index=True)[1]
    num_kcs = pool.dataset.num_kcs
    section, problem = codes_of(pool.section), codes_of(pool.problem)
    learner = codes_of(pool.student_cluster, pool.section)
    found = np.full((1, num_kcs), 1 / num_kcs)
    parent = np.zeros(len(pool), dtype=np.int64)
    for group in (section, learner, problem, cell):
        # Counts of a problem smooth those of its cells, and the learner's habits those of the problem.
        counts = _counts(group, kcs, of, num_kcs)
        above = found[parent[np.unique(group, return_index=True)[1]]]
        found = (counts + shrinkage * above) / (counts.sum(axis=1, keepdims=True) + shrinkage)
        parent = group
    return found[cell[first]]


def _counts(group: Places, kcs: Ints, of: Places, num_kcs: int) -> NDArray[np.float64]:
    size = (int(group.max()) + 1) * num_kcs
    return np.bincount(group[of] * num_kcs + kcs, minlength=size).reshape(-1, num_kcs).astype(np.float64)
