"""Baselines that every table of tracers shows, each fitted on training students only.

All are causal: the prediction of an answer uses the training students and the student's own earlier
answers, never the answer itself or a later one. One test holds them all to it.
"""

from __future__ import annotations

from edpipe.evaluation.baselines.base import Baseline
from edpipe.evaluation.baselines.bkt import BKT
from edpipe.evaluation.baselines.constant import ItemDifficulty, Majority
from edpipe.evaluation.baselines.logistic import BestLR

__all__ = ["BKT", "Baseline", "BestLR", "ItemDifficulty", "Majority", "tracing_baselines"]


def tracing_baselines(*, seed: int = 7) -> list[Baseline]:
    """Return fresh baselines, simplest first.

    Parameters
    ----------
    seed
        Seed of the choice of training students, where a baseline takes only so many rows.
    """
    return [Majority(), ItemDifficulty(), BKT(seed=seed), BestLR(seed=seed)]
