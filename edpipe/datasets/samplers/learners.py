"""Which learners are alike: mastery groups of all attempts of the pool, told apart by strategies too."""

from __future__ import annotations

import numpy as np

from edpipe.datasets.samplers.pool import Pool, codes_of
from edpipe.datasets.strategy import Places, only
from edpipe.datasets.strategy_history import answer_history
from edpipe.datasets.strategy_memory import remember


def learner_groups(pool: Pool, *, shrinkage: float) -> Places:
    """Return the likeliest mastery group of the student of each attempt of the pool.

    Groups are those of a predictor that learned from the whole pool (see
    :func:`~edpipe.datasets.strategy_groups.refine_groups`); attempts outside the pool are not looked at.

    Parameters
    ----------
    pool
        Attempts, with an embedding for the mean mastery of each KC.
    shrinkage
        Answers that a prior weighs as in a student's mastery.

    Returns
    -------
    ndarray
        Shape ``(len(pool),)``.
    """
    dataset = only(pool.dataset, pool.rows)
    memory = remember(
        dataset,
        np.arange(len(pool)),
        answer_history(dataset),
        pool.known_embedding().kc_mean,
        shrinkage=shrinkage,
        seed=pool.seed,
    )
    counted = memory.counted
    if counted is None:  # pragma: no cover - a memory just made has them
        raise ValueError("a memory that was just made knows how its students were counted.")
    group: Places = counted.argmax(axis=1).astype(np.int64)[pool.student]
    return group


def group_clusters(pool: Pool, group: Places) -> Places:
    """Return the cluster of each attempt if groups stand for clusters of students, from 0 without gaps.

    A cluster is a group of learners at a cluster of problems. Shape ``(len(pool),)``.
    """
    return codes_of(group, pool.problem_cluster)
