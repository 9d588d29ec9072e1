"""Which attempts of a cell are typical: those whose strategy its other attempts share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.samplers.pool import codes_of, place_in_group
from edpipe.datasets.strategy import Places

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StrategyShares:
    """How often each strategy is followed in each cell; a pair is a cell and a strategy in it.

    Attributes
    ----------
    pair
        Pair of each attempt. Shape ``(n,)``.
    count
        Attempts of each pair. Shape ``(num_pairs,)``.
    weight
        The same, with ``shrinkage`` more that follow the strategies of the whole problem.
        Shape ``(num_pairs,)``.
    cell
        Cell of each pair. Shape ``(num_pairs,)``.
    """

    pair: Places
    count: Places
    weight: Floats
    cell: Places


def strategy_shares(
    cell: Places, problem: Places, strategy: Places, *, shrinkage: float = 1.0
) -> StrategyShares:
    """Count the strategies of each cell, backing off to those of the problem.

    Parameters
    ----------
    cell
        Cell of each attempt, from 0 without gaps; all attempts of a cell are at one problem.
        Shape ``(n,)``.
    problem, strategy
        Codes of each attempt. Shape ``(n,)``.
    shrinkage
        Attempts that the strategies of the whole problem weigh as in each of its cells.
    """
    pair = codes_of(cell, strategy)
    first = np.unique(pair, return_index=True)[1]
    count = np.bincount(pair)
    whole = codes_of(problem, strategy)
    share = (np.bincount(whole)[whole] / np.bincount(problem)[problem])[first]
    return StrategyShares(pair, count, count + shrinkage * share, cell[first])


def typical_order(shares: StrategyShares, order: Places) -> Places:
    """Return the turn of each attempt in its cell, from 0: typical first, then in proportion.

    The next turn goes to the strategy with the largest ``weight / (turns so far + 1)`` (D'Hondt's divisor
    method), so among the first turns the cell's most followed strategy is never outnumbered, and the others
    come in as soon as their share deserves it. Ties go to the earlier pair.

    Parameters
    ----------
    shares
        From :func:`strategy_shares`.
    order
        Permutation that says which attempt of a strategy comes first. Shape ``(n,)``.
    """
    turn = place_in_group(shares.pair, order)
    quotient = shares.weight[shares.pair] / (turn + 1)
    # Smaller is earlier: by quotient, then pair, then turn; equal pairs have falling quotients.
    ranked = np.lexsort((turn, shares.pair, -quotient))
    return place_in_group(shares.cell[shares.pair], ranked)


def normalized_entropy(group: Places, kind: Places) -> Floats:
    """Return the entropy of kinds in each group divided by its largest possible value, in [0, 1].

    The largest possible value is that of a group whose elements all differ; a group of one has 0.
    """
    pair = codes_of(group, kind)
    first = np.unique(pair, return_index=True)[1]
    size = np.bincount(group)
    share = np.bincount(pair) / size[group[first]]
    entropy = np.bincount(group[first], weights=-share * np.log(share), minlength=len(size))
    found: Floats = np.divide(entropy, np.log(size), out=np.zeros(len(size)), where=size > 1)
    return np.clip(found, 0, 1)
