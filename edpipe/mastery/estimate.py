"""What a student has mastered: the value that estimators return, and what all of them are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.mastery.steps import MasterySteps

Float = NDArray[np.float64]

SHRINKAGE = 5.0
# Where no answer is known at all.
NEUTRAL = 0.5

MASTERY_SCHEMA: dict[str, pl.DataType] = {
    "student": pl.Int32(),
    "kc": pl.Int32(),
    "mastery": pl.Float64(),
    "num_scored": pl.Int64(),
}


@dataclass(frozen=True, eq=False)
class Mastery:
    """Mastery of each KC by each student after the training attempts.

    Attributes
    ----------
    values
        One row a student and KC met in a training attempt, ordered by both; columns
        :data:`MASTERY_SCHEMA`. ``mastery`` is in [0, 1], ``num_scored`` counts known first attempts.
    kc_mean
        Mean of each KC over training answers, in [0, 1]; that of all KCs where there is none.
        Shape ``(num_kcs,)``.
    estimator
        Name of the estimator.
    comparison
        Table of estimators on held-out steps, from
        :func:`~edpipe.mastery.compare.compare_estimators`; None where nothing was compared.
    """

    values: pl.DataFrame
    kc_mean: Float
    estimator: str
    comparison: pl.DataFrame | None = None

    def __post_init__(self) -> None:
        if dict(self.values.schema) != MASTERY_SCHEMA:
            raise ValueError(f"values must have columns {MASTERY_SCHEMA}; got {dict(self.values.schema)}.")


MasteryOf = Callable[[StrategyDataset, Places], Mastery]


class MasteryEstimator(Protocol):
    """Foretells first attempts, and says what was mastered, from answers to steps.

    Mastery is the chance that the student's next step with the KC alone is right: one unit for all.
    """

    @property
    def name(self) -> str:
        """Name in settings and tables."""
        ...

    def fit(self, steps: MasterySteps) -> Self:
        """Learn from the training steps."""
        ...

    def predict(self, steps: MasterySteps) -> Float:
        """Return the chance that each step is right, from the student's earlier steps among those given.

        A step with several KCs has the mean of theirs. Shape ``(num_steps,)``.
        """
        ...

    def mastery(self, steps: MasterySteps) -> Float:
        """Return mastery after all given steps, for the rows of ``steps.practice``. Shape ``(num_rows,)``."""
        ...


def mean_of_kcs(steps: MasterySteps, values: Float) -> Float:
    """Return the mean over the KCs of each step. ``values`` has shape ``(num_pairs,)``."""
    if not steps.num_steps:
        return np.empty(0)
    mean: Float = np.add.reduceat(values, steps.kc_start[:-1]) / np.diff(steps.kc_start)
    return mean


def kc_means(counts: pl.DataFrame, num_kcs: int, *, shrinkage: float) -> Float:
    """Return the share right of each KC, drawn to that of all, from ``kc, num_scored, num_correct``."""
    kc = counts["kc"].to_numpy()
    scored = np.bincount(kc, weights=counts["num_scored"].to_numpy(), minlength=num_kcs)
    correct = np.bincount(kc, weights=counts["num_correct"].to_numpy(), minlength=num_kcs)
    overall = correct.sum() / scored.sum() if scored.sum() else NEUTRAL
    mean: Float = (correct + shrinkage * overall) / (scored + shrinkage)
    return mean
