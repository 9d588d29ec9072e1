"""How well clusters foretell strategies that were held out: what tells a useful partition from a fine one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places
from edpipe.mastery.dp_means_kernels import Floats

PRIOR = 1.0  # attempts that the coarser group weighs as


def held_out_log_likelihoods(
    strategy_code: Places, is_held_out: NDArray[np.bool_], chains: Sequence[Sequence[Places]]
) -> Floats:
    r"""Return the log-likelihood of each held-out strategy, in nats.

    Along a chain of groups, from coarse to fine, the chance of strategy :math:`y` in group :math:`g` is
    :math:`P_g(y) = (n_{gy} + P_{g'}(y)) / (n_g + 1)` with counts :math:`n` of the other attempts and the
    coarser group :math:`g'`; the coarsest leans on equal chances. Chains are averaged. A group of few
    attempts says little more than the coarser one, so clusters gain nothing by being small.

    Parameters
    ----------
    strategy_code
        Strategy of each attempt. Shape ``(num_attempts,)``.
    is_held_out
        Which attempts are foretold from the others. Shape ``(num_attempts,)``.
    chains
        Groups of each attempt, from coarse to fine, each from 0. Shape ``(num_attempts,)`` each.

    Returns
    -------
    ndarray
        At most 0. Shape ``(number held out,)``.
    """
    code = np.unique(strategy_code, return_inverse=True)[1].astype(np.int64)
    num_codes = int(code.max()) + 1
    chance = np.zeros(int(is_held_out.sum()))
    for chain in chains:
        of_chain = np.full(len(chance), 1 / num_codes)
        for group in chain:
            asked = group[is_held_out].astype(np.int64)
            known = group[~is_held_out].astype(np.int64)
            size = np.bincount(known, minlength=int(group.max()) + 1)[asked]
            same = _counts(known * num_codes + code[~is_held_out], asked * num_codes + code[is_held_out])
            of_chain = (same + PRIOR * of_chain) / (size + PRIOR)
        chance += of_chain / len(chains)
    logarithm: Floats = np.log(chance)
    return logarithm


def _counts(keys: Places, asked: Places) -> Floats:
    """Return how often each asked key is among the keys."""
    ordered = np.sort(keys)
    found = np.searchsorted(ordered, asked, side="right") - np.searchsorted(ordered, asked, side="left")
    return found.astype(np.float64)
