"""Logistic regression on item, KCs and counts of earlier right and wrong answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from edpipe.evaluation.baselines.base import in_order, some_students, training_rows, with_probability
from edpipe.evaluation.baselines.item_kcs import Histories, ItemKcs
from edpipe.evaluation.metrics import Float, Int
from edpipe.mastery.logistic_fit import fit_weights

MAX_ROWS = 2_000_000
ROWS_AT_ONCE = 500_000
STRENGTH = 1.0
# Shared columns: right and wrong of the student, of this item, and of this item's KCs on average.
NUM_SHARED = 6


class BestLR:
    r"""Predict by a linear model of who was asked what, and how often before with which outcome.

    Columns are the item, its KCs, and, all as :math:`\log(1 + n)` of counts before the answer: right and
    wrong answers of the student, of the student on the item, on the item's KCs (mean), and on each KC with
    weights of its own, as in performance factors analysis. Weights are drawn to zero by an L2 penalty;
    items and KCs never met in training keep the weight zero.

    Parameters
    ----------
    strength
        Inverse of the L2 penalty, for the summed loss (scikit-learn's ``C``).
    seed
        Seed of the choice of training students beyond ``max_rows``.
    max_rows
        Most training answers used; about 200 bytes each in memory.
    """

    name = "logistic regression"

    def __init__(self, *, strength: float = STRENGTH, seed: int = 7, max_rows: int = MAX_ROWS) -> None:
        self._strength = strength
        self._seed = seed
        self._max_rows = max_rows
        self._item_kcs = ItemKcs(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64))
        self._num_items = 0
        self._weights = np.empty(0)
        self._bias = float("nan")

    def fit(self, frame: pl.DataFrame, item_kcs: pl.DataFrame) -> Self:
        """Fit the weights on training students."""
        rows = some_students(training_rows(frame), self._max_rows, seed=self._seed)
        self._item_kcs = ItemKcs.from_frame(item_kcs)
        largest = rows.select(pl.col("item_key").max()).item()
        self._num_items = max(int(largest) + 1, len(self._item_kcs.starts) - 1)
        correct = rows["is_correct"].to_numpy().astype(np.float64)
        weights = fit_weights(self._features(rows), correct, strength=self._strength)
        self._weights, self._bias = weights[:-1], float(weights[-1])
        return self

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict each answer from counts before it."""
        rows = in_order(frame)
        logits = [self._features(part) @ self._weights + self._bias for part in _whole_students(rows)]
        logit = np.concatenate(logits) if logits else np.empty(0)
        return with_probability(rows, 1 / (1 + np.exp(-logit)))

    def _features(self, rows: pl.DataFrame) -> Any:
        from scipy.sparse import csr_array

        histories = Histories.from_ordered(rows)
        values, columns, starts = _count_features(
            histories.starts,
            histories.items,
            histories.correct,
            self._item_kcs.starts,
            self._item_kcs.kcs,
            self._num_items,
            self._item_kcs.num_kcs,
        )
        width = self._num_items + 3 * self._item_kcs.num_kcs + NUM_SHARED
        return csr_array((values, columns, starts), shape=(len(rows), width))


def _whole_students(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Cut ordered rows into parts that never divide a student, to bound memory."""
    starts = Histories.from_ordered(rows).starts
    first = 0
    while first < len(rows):
        after = int(starts[np.searchsorted(starts, first + ROWS_AT_ONCE, side="right") - 1])
        # One student longer than a part is a part.
        last = after if after > first else int(starts[np.searchsorted(starts, first, side="right")])
        yield rows[first:last]
        first = last


@njit(cache=True)
def _count_features(
    starts: Int,
    items: Int,
    correct: NDArray[np.uint8],
    kc_starts: Int,
    kcs: NDArray[np.int32],
    num_items: int,
    num_kcs: int,
) -> tuple[Float, NDArray[np.int32], NDArray[np.int32]]:
    """Return the rows of the sparse design matrix: values, columns and offsets."""
    offsets = _offsets(items, kc_starts, num_items)
    values = np.empty(offsets[-1])
    columns = np.empty(offsets[-1], dtype=np.int32)
    shared = num_items + 3 * num_kcs
    of_item = np.zeros((num_items, 2))
    of_kc = np.zeros((num_kcs, 2))
    for student in range(len(starts) - 1):
        overall = np.zeros(2)
        for row in range(starts[student], starts[student + 1]):
            item = items[row]
            at = offsets[row]
            before = np.zeros((3, 2))  # of the student, the item, the mean KC; wrong and right
            before[0] = overall
            if item < num_items:
                columns[at] = item
                values[at] = 1.0
                at += 1
                before[1] = of_item[item]
                of_item[item, correct[row]] += 1
            first, last = _kc_range(item, kc_starts)
            for pair in range(first, last):
                kc = kcs[pair]
                columns[at] = num_items + kc
                values[at] = 1.0
                for outcome in range(2):
                    columns[at + 1 + outcome] = num_items + (1 + outcome) * num_kcs + kc
                    values[at + 1 + outcome] = np.log1p(of_kc[kc, outcome])
                    before[2, outcome] += of_kc[kc, outcome] / (last - first)
                of_kc[kc, correct[row]] += 1
                at += 3
            for column in range(NUM_SHARED):
                columns[at + column] = shared + column
                values[at + column] = np.log1p(before[column // 2, column % 2])
            overall[correct[row]] += 1
        _forget(items[starts[student] : starts[student + 1]], kc_starts, kcs, of_item, of_kc)
    return values, columns, offsets


@njit(cache=True)
def _offsets(items: Int, kc_starts: Int, num_items: int) -> NDArray[np.int32]:
    """Return where each row of the design matrix starts."""
    offsets = np.zeros(len(items) + 1, dtype=np.int32)
    for row in range(len(items)):
        first, last = _kc_range(items[row], kc_starts)
        offsets[row + 1] = offsets[row] + (items[row] < num_items) + 3 * (last - first) + NUM_SHARED
    return offsets


@njit(cache=True)
def _kc_range(item: int, kc_starts: Int) -> tuple[int, int]:
    """Return the slice of the item's KCs; empty for an item beyond the known ones."""
    if item + 1 >= len(kc_starts):
        return 0, 0
    return kc_starts[item], kc_starts[item + 1]


@njit(cache=True)
def _forget(items: Int, kc_starts: Int, kcs: NDArray[np.int32], of_item: Float, of_kc: Float) -> None:
    """Set the counts that this student's answers moved back to zero."""
    for item in items:
        if item < len(of_item):
            of_item[item] = 0
        first, last = _kc_range(item, kc_starts)
        for pair in range(first, last):
            of_kc[kcs[pair]] = 0
