"""Mastery by a model that another layer trained: handed in as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np

from edpipe.mastery.estimate import SHRINKAGE, Float, kc_means
from edpipe.mastery.steps import MasterySteps

Answers = Callable[[MasterySteps], Float]


class GivenMastery:
    r"""Take the chances of single steps from elsewhere, and mastery as their shrunken mean.

    .. math:: m(s, k) = \frac{\sum_i \hat c_i + \kappa\, \bar m_k}{n_{sk} + \kappa}

    over the student's steps :math:`i` with the KC, each with the chance :math:`\hat c_i` foretold before it.

    Parameters
    ----------
    name
        Name in settings and tables.
    answers
        Returns the chance that each given step is right, from the student's earlier steps alone, by a model
        that has seen training steps only.
    shrinkage
        Steps :math:`\kappa > 0` that the mean of the KC weighs as.
    """

    def __init__(self, name: str, answers: Answers, *, shrinkage: float = SHRINKAGE) -> None:
        self._name = name
        self._answers = answers
        self._shrinkage = shrinkage
        self._kc_mean: Float = np.empty(0)

    @property
    def name(self) -> str:
        """Name in settings and tables."""
        return self._name

    def fit(self, steps: MasterySteps) -> Self:
        """Learn the mean of each KC; the model itself is trained already."""
        self._kc_mean = kc_means(steps.practice, steps.num_kcs, shrinkage=self._shrinkage)
        return self

    def predict(self, steps: MasterySteps) -> Float:
        """Return the chance that each step is right. Shape ``(num_steps,)``."""
        return self._answers(steps)

    def mastery(self, steps: MasterySteps) -> Float:
        """Return the shrunken mean of what was foretold. Shape ``(num_rows,)``."""
        chance = self._answers(steps)[steps.pair_step]
        scored, kc = steps.practice["num_scored"].to_numpy(), steps.practice["kc"].to_numpy()
        pair = steps.student[steps.pair_step].astype(np.int64) * steps.num_kcs + steps.kcs
        _, row = np.unique(pair, return_inverse=True)
        total = np.bincount(row, weights=chance, minlength=len(kc))
        found: Float = (total + self._shrinkage * self._kc_mean[kc]) / (scored + self._shrinkage)
        return found
