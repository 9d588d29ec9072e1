"""What a baseline is, and the table it returns."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
import polars as pl

from edpipe.errors import ContractError
from edpipe.evaluation.metrics import Float

ORDER = ["student_key", "interaction_number"]
NEEDED = (*ORDER, "item_key", "is_correct")


class Baseline(Protocol):
    """A simple predictor of the next answer."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    def fit(self, frame: pl.DataFrame, item_kcs: pl.DataFrame) -> Self:
        """Learn from the training students.

        Parameters
        ----------
        frame
            ``student_key, interaction_number, item_key, is_correct, split``; rows of other splits
            than ``train`` are not looked at.
        item_kcs
            ``item_key, kc_key``, one row a pair.
        """
        ...

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict each answer from the training students and the student's earlier answers.

        Parameters
        ----------
        frame
            ``student_key, interaction_number, item_key, is_correct``: whole histories.

        Returns
        -------
        DataFrame
            ``student_key, interaction_number, item_key, is_correct, probability`` (and
            ``is_first_row`` if given), by student and interaction number.
        """
        ...


def training_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of training students in order.

    Raises
    ------
    ContractError
        If a column is missing or there is no such row.
    """
    rows = in_order(frame.filter(pl.col("split") == "train")) if "split" in frame.columns else frame.clear()
    if len(rows) == 0:
        raise ContractError(
            "A baseline needs training rows and there are none.",
            where="column `split`",
            found=f"{len(frame)} rows, columns {', '.join(frame.columns)}",
            expected="rows with split 'train'",
            next_step="Ingest more students, or check the split settings.",
        )
    return rows


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the columns a baseline needs, by student and interaction number."""
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise ContractError(
            f"The table of answers lacks `{'`, `'.join(missing)}`.",
            where="rows given to a baseline",
            found=", ".join(frame.columns),
            expected=", ".join(NEEDED),
        )
    more = [name for name in ("is_first_row",) if name in frame.columns]
    return frame.select(*NEEDED, *more).with_columns(pl.col("is_correct").cast(pl.Boolean)).sort(ORDER)


def with_probability(ordered: pl.DataFrame, probability: Float) -> pl.DataFrame:
    """Return the prediction frame of rows from :func:`in_order`."""
    return ordered.with_columns(probability=pl.Series(probability, dtype=pl.Float64))


def some_students(rows: pl.DataFrame, max_rows: int, *, seed: int) -> pl.DataFrame:
    """Return all rows of randomly chosen students, at most ``max_rows`` unless one student has more."""
    if len(rows) <= max_rows:
        return rows
    students = rows.group_by("student_key").len().sort("student_key")
    shuffled = students[np.random.default_rng(seed).permutation(len(students))]
    within = shuffled.filter((pl.col("len").cum_sum() <= max_rows) | (pl.int_range(pl.len()) == 0))
    return rows.join(within, on="student_key", how="semi", maintain_order="left")
