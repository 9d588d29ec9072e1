"""The share of right first attempts, drawn to the mean of the KC: the floor under other estimators."""

from __future__ import annotations

from typing import Self

import numpy as np
import polars as pl

from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.mastery.estimate import MASTERY_SCHEMA, SHRINKAGE, Float, Mastery, kc_means, mean_of_kcs
from edpipe.mastery.steps import MasterySteps


def running_mean(dataset: StrategyDataset, rows: Places, *, shrinkage: float = SHRINKAGE) -> Mastery:
    r"""Return the shrunken share of right first attempts of each student and KC in the given attempts.

    .. math:: m(s, k) = \frac{c_{sk} + \kappa\, \bar m_k}{n_{sk} + \kappa}, \qquad
        \bar m_k = \frac{c_k + \kappa\, \bar m}{n_k + \kappa}

    for :math:`n_{sk}` known first attempts, :math:`c_{sk}` of them right, and the share :math:`\bar m` of
    all answers.

    Parameters
    ----------
    dataset
        Attempts.
    rows
        Training attempts. Shape ``(n,)``.
    shrinkage
        Answers :math:`\kappa > 0` that a mean weighs as.
    """
    counts = practice(dataset, rows)
    kc_mean = kc_means(counts, dataset.num_kcs, shrinkage=shrinkage)
    prior = pl.Series(kc_mean[counts["kc"].to_numpy()])
    values = counts.with_columns(
        mastery=(pl.col("num_correct") + shrinkage * prior) / (pl.col("num_scored") + shrinkage)
    ).select(pl.col(name).cast(kind) for name, kind in MASTERY_SCHEMA.items())
    return Mastery(values, kc_mean, "mean")


def practice(dataset: StrategyDataset, rows: Places) -> pl.DataFrame:
    """Count steps, known first attempts and right ones by student and KC in the given attempts.

    Returns
    -------
    DataFrame
        ``student, kc, num_steps, num_scored, num_correct``, ordered by student and KC.
    """
    observations = observations_of(dataset, rows)
    return (
        observations.group_by("student", "kc")
        .agg(pl.col("num_steps", "num_scored", "num_correct").cast(pl.Int64).sum())
        .sort("student", "kc")
    )


def observations_of(dataset: StrategyDataset, rows: Places) -> pl.DataFrame:
    """Return the observations of the given attempts with ``student`` and ``problem``; no others are read."""
    is_used = np.zeros(dataset.num_attempts, dtype=bool)
    is_used[rows] = True
    attempt = dataset.observations["attempt"].to_numpy()
    kept = is_used[attempt]
    attempt = attempt[kept]
    return (
        dataset.observations.filter(pl.Series(kept, dtype=pl.Boolean))
        .select("attempt", "kc", "num_steps", "num_scored", "num_correct")
        .with_columns(
            student=pl.Series(dataset.student[attempt], dtype=pl.Int32),
            problem=pl.Series(dataset.problem[attempt], dtype=pl.Int32),
        )
    )


class RunningMean:
    r"""Foretell by the student's share of right answers to the KC so far, drawn to the mean of the KC.

    .. math:: \frac{c + \kappa\, \bar m_k}{n + \kappa}

    Parameters
    ----------
    shrinkage
        Answers :math:`\kappa > 0` that a mean weighs as.
    """

    name = "mean"

    def __init__(self, *, shrinkage: float = SHRINKAGE) -> None:
        self._shrinkage = shrinkage
        self._kc_mean: Float = np.empty(0)

    def fit(self, steps: MasterySteps) -> Self:
        """Learn the mean of each KC."""
        self._kc_mean = kc_means(steps.practice, steps.num_kcs, shrinkage=self._shrinkage)
        return self

    def predict(self, steps: MasterySteps) -> Float:
        """Return the chance that each step is right. Shape ``(num_steps,)``."""
        right, wrong = steps.prior_counts
        return mean_of_kcs(steps, self._shrunken(right, right + wrong, steps.kcs))

    def mastery(self, steps: MasterySteps) -> Float:
        """Return the shrunken share after all steps. Shape ``(num_rows,)``."""
        counts = steps.practice
        return self._shrunken(*(counts[name].to_numpy() for name in ("num_correct", "num_scored", "kc")))

    def _shrunken(self, right: Places, scored: Places, kc: Ints) -> Float:
        share: Float = (right + self._shrinkage * self._kc_mean[kc]) / (scored + self._shrinkage)
        return share
