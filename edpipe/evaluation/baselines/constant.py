"""Baselines that do not look at the student: one constant, and one number an item."""

from __future__ import annotations

from typing import Self

import numpy as np
import polars as pl

from edpipe.evaluation.baselines.base import in_order, training_rows, with_probability

SMOOTHING = 5.0


class Majority:
    """Predict the training share of right answers for every answer."""

    name = "majority"

    def __init__(self) -> None:
        self._share = float("nan")

    def fit(self, frame: pl.DataFrame, item_kcs: pl.DataFrame) -> Self:
        """Learn the share of right answers of training students."""
        del item_kcs
        self._share = float(training_rows(frame)["is_correct"].cast(pl.Float64).to_numpy().mean())
        return self

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict the same probability everywhere."""
        rows = in_order(frame)
        return with_probability(rows, np.full(len(rows), self._share))


class ItemDifficulty:
    r"""Predict the item's training share of right answers, drawn towards the overall share.

    .. math:: p_i = \frac{c_i + m \bar p}{n_i + m}

    for an item answered :math:`n_i` times, :math:`c_i` right; items never met in training get
    :math:`\bar p`.

    Parameters
    ----------
    smoothing
        Weight :math:`m` of the overall share, in answers.
    """

    name = "item difficulty"

    def __init__(self, *, smoothing: float = SMOOTHING) -> None:
        self._smoothing = smoothing
        self._overall = float("nan")
        self._items = pl.DataFrame()

    def fit(self, frame: pl.DataFrame, item_kcs: pl.DataFrame) -> Self:
        """Learn each item's share of right answers of training students."""
        del item_kcs
        rows = training_rows(frame)
        right = pl.col("is_correct").cast(pl.Float64)
        self._overall = float(rows["is_correct"].cast(pl.Float64).to_numpy().mean())
        self._items = rows.group_by("item_key").agg(
            share=(right.sum() + self._smoothing * self._overall) / (pl.len() + self._smoothing)
        )
        return self

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict from the item alone."""
        rows = in_order(frame)
        shares = rows.join(self._items, on="item_key", how="left", maintain_order="left")["share"]
        return with_probability(rows, shares.fill_null(self._overall).to_numpy())
