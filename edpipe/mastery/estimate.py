"""What a student has mastered: the value that estimators return, and what all of them are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places, StrategyDataset

Float = NDArray[np.float64]

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
