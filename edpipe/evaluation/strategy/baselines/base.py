"""What a baseline of strategies is, and the tables of counts that most are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.errors import ContractError

Floats = NDArray[np.float64]


class StrategyBaseline(Protocol):
    """A simple predictor of strategies."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    def fit(self, dataset: StrategyDataset, rows: Places) -> Self:
        """Learn from training attempts; no other attempt is looked at.

        Raises
        ------
        ContractError
            If there is no training attempt.
        """
        ...

    def predict(self, dataset: StrategyDataset, rows: Places) -> PredictedStrategies:
        """Foretell the strategies of attempts without looking at them."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ModeTable:
    """The most frequent strategy of each key.

    Attributes
    ----------
    example
        A training attempt with the most frequent strategy of the key, the first one. Shape ``(num_keys,)``;
        -1 for a key without attempts.
    share
        Share of the key's attempts that follow it, in (0, 1]; 0 without attempts. Shape ``(num_keys,)``.
    """

    example: Places
    share: Floats


def mode_table(key: Places, strategy: Places, rows: Places, num_keys: int) -> ModeTable:
    """Count strategies by key.

    Ties go to the strategy seen first in training.

    Parameters
    ----------
    key, strategy, rows
        Of each training attempt; attempts with a negative key are passed over. Shape ``(n,)``.
    num_keys
        Keys are below it.
    """
    counted = (
        pl.DataFrame({"key": key, "strategy": strategy, "row": rows})
        .filter(pl.col("key") >= 0)
        .group_by("key", "strategy")
        .agg(pl.len().alias("count"), pl.col("row").min())
        .with_columns(total=pl.col("count").sum().over("key"))
        .sort("key", "count", "row", descending=[False, True, False])
        .unique("key", keep="first", maintain_order=True)
    )
    example = np.full(num_keys, -1, dtype=np.int64)
    share = np.zeros(num_keys)
    place = counted["key"].to_numpy()
    example[place] = counted["row"].to_numpy()
    share[place] = (counted["count"] / counted["total"]).to_numpy()
    return ModeTable(example, share)


def copied(
    dataset: StrategyDataset, rows: Places, example: Places, confidence: Floats
) -> PredictedStrategies:
    """Predict for each attempt the strategy of another, the empty strategy where that is -1.

    A copy has no likelihood and cannot be asked for the next KC.
    """
    has_one = example >= 0
    kcs, start = dataset.strategies(example[has_one])
    length = np.zeros(len(rows), dtype=np.int64)
    length[has_one] = np.diff(start)
    nothing = np.zeros(len(rows), dtype=np.int32)
    return PredictedStrategies(
        rows=rows,
        kcs=kcs,
        start=np.concatenate([[0], np.cumsum(length)]),
        confidence=confidence,
        log_likelihood=np.full(len(rows), np.nan),
        next_correct=nothing,
        next_asked=nothing,
    )


def checked_training(rows: Places) -> Places:
    """Return the rows.

    Raises
    ------
    ContractError
        If there is none.
    """
    if not len(rows):
        raise ContractError(
            "A baseline needs training attempts and there are none.",
            where="training part of the split",
            found="no attempt",
            expected="at least one",
            next_step="Ingest more students, or check `strategy.split`.",
        )
    return rows
