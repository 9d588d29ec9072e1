"""Adaptive sampling of the predecessor: clusters that are predicted badly get more places each round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.samplers.pool import Pool, checked_budget, codes_of, place_in_group
from edpipe.datasets.samplers.typical import strategy_shares
from edpipe.datasets.strategy import Places, StrategyDataset

Floats = NDArray[np.float64]
# Trains on the first rows and returns the set Jaccard of each of the second, which it did not see.
Probe = Callable[[StrategyDataset, Places, Places], Floats]
SHARE_HELD_OUT = 0.1


@dataclass(frozen=True, slots=True)
class AdaptiveSampler:
    """Weigh clusters up whose held-out mean Jaccard is below one half.

    A tenth of the pool is held out for the weights and taken only where the budget leaves nothing else. In
    each of the rounds the next part of the budget is shared by weight, the new members of a cluster are
    drawn far from those it has (k-means++), the probe is trained anew and scored on the held-out attempts.

    Attributes
    ----------
    probe
        Trains and scores; by default the most frequent strategy of the problem, else of the section.
    num_rounds
        Rounds, at least 1.
    least_jaccard
        Clusters below it gain one in weight, in [0, 1].
    """

    probe: Probe | None = None
    num_rounds: int = 10
    least_jaccard: float = 0.5
    name: str = "adaptive"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return rows gathered round by round."""
        num_taken = checked_budget(pool, budget)
        random = pool.random(self.name)
        probe = self.probe or lookup_jaccard
        held_out = np.zeros(len(pool), dtype=bool)
        held_out[random.permutation(len(pool))[: int(SHARE_HELD_OUT * len(pool))]] = True
        num_clusters = int(pool.cluster.max()) + 1
        weights = np.ones(num_clusters)
        is_taken = np.zeros(len(pool), dtype=bool)
        for number in range(1, self.num_rounds + 1):
            wanted = num_taken * number // self.num_rounds - int(is_taken.sum())
            is_free = ~is_taken & ~held_out
            _take(pool, is_taken, is_free, min(wanted, int(is_free.sum())), weights, random)
            if number == self.num_rounds or not held_out.any() or not is_taken.any():
                continue
            score = probe(pool.dataset, pool.rows[is_taken], pool.rows[held_out])
            total = np.bincount(pool.cluster[held_out], weights=score, minlength=num_clusters)
            count = np.bincount(pool.cluster[held_out], minlength=num_clusters)
            weights = weights + (total < self.least_jaccard * count)
        lacking = num_taken - int(is_taken.sum())
        is_taken[random.permutation(np.flatnonzero(~is_taken))[:lacking]] = True
        return pool.rows[is_taken]


def _take(
    pool: Pool,
    is_taken: NDArray[np.bool_],
    is_free: NDArray[np.bool_],
    budget: int,
    weights: Floats,
    random: np.random.Generator,
) -> None:
    """Mark ``budget`` free attempts as taken, by cluster weight."""
    if budget < 1:
        return
    free = np.flatnonzero(is_free)
    known, cluster = np.unique(pool.cluster[free], return_inverse=True)
    shares = _drawn_shares(np.bincount(cluster), budget, weights[known], random)
    order = np.argsort(cluster, kind="stable")
    for members, share in zip(
        np.split(free[order], np.cumsum(np.bincount(cluster))[:-1]), shares, strict=True
    ):
        if share:
            is_taken[_scattered(pool.vectors[members], members, int(share), random)] = True


def _drawn_shares(sizes: Places, budget: int, weights: Floats, random: np.random.Generator) -> Places:
    """Draw places by weight, at most its size to each; ``budget`` is at most the sum of sizes."""
    shares = np.zeros(len(sizes), dtype=np.int64)
    while (lacking := budget - int(shares.sum())) > 0:
        open_weight = np.where(shares < sizes, weights, 0.0)
        drawn = random.multinomial(lacking, open_weight / open_weight.sum())
        shares = np.minimum(shares + drawn, sizes)
    return shares


def _scattered(
    vectors: NDArray[np.float32], members: Places, num_taken: int, random: np.random.Generator
) -> Places:
    """Draw members one by one with chances in proportion to the squared distance to those drawn."""
    distance = np.full(len(members), np.inf)
    chosen = [int(random.integers(len(members)))]
    while len(chosen) < num_taken:
        near = np.square(vectors - vectors[chosen[-1]]).sum(axis=1)
        distance = np.minimum(distance, near)
        distance[chosen] = 0
        total = distance.sum()
        if total <= 0:
            left = np.setdiff1d(np.arange(len(members)), chosen)
            chosen += random.permutation(left)[: num_taken - len(chosen)].tolist()
            break
        chosen.append(int(np.searchsorted(np.cumsum(distance), random.random() * total, side="right")))
    found: Places = members[np.array(chosen)]
    return found


def lookup_jaccard(dataset: StrategyDataset, rows: Places, asked: Places) -> Floats:
    """Return the set Jaccard of the most frequent strategy of the problem, else of the section."""
    best: dict[tuple[str, int], int] = {}
    strategy = dataset.strategy_code[rows]
    for kind, codes in (("section", dataset.section[rows]), ("problem", dataset.problem[rows])):
        group = codes_of(codes.astype(np.int64))
        shares = strategy_shares(group, group, strategy, shrinkage=0.0)
        first = np.unique(shares.pair, return_index=True)[1]
        turn = place_in_group(shares.cell, np.lexsort((first, -shares.count)))
        best |= {(kind, int(codes[first[one]])): int(rows[first[one]]) for one in np.flatnonzero(turn == 0)}
    found = np.zeros(len(asked))
    for place, row in enumerate(asked):
        copied = best.get(
            ("problem", int(dataset.problem[row])), best.get(("section", int(dataset.section[row])))
        )
        if copied is not None:
            said, true = set(dataset.strategy(copied).tolist()), set(dataset.strategy(int(row)).tolist())
            found[place] = len(said & true) / len(said | true)
    return found
