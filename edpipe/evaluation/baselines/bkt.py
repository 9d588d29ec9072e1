"""Bayesian knowledge tracing: a two-state hidden Markov model a KC, without forgetting."""

from __future__ import annotations

from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.evaluation.baselines.base import in_order, some_students, training_rows, with_probability
from edpipe.evaluation.baselines.item_kcs import Histories, ItemKcs
from edpipe.evaluation.metrics import Int
from edpipe.mastery import bkt_kernel
from edpipe.mastery.bkt_fit import PARAMETERS, fit_parameters

MAX_ROWS = 5_000_000


class BKT:
    r"""Trace each KC by a chance of being known that answers revise and practice raises.

    With :math:`m` the chance that the KC is known before an answer, the answer is right with
    probability :math:`m (1 - s) + (1 - m) g`; after it :math:`m` becomes its posterior, and then
    :math:`m + (1 - m) l`. Parameters are fitted a KC by expectation maximization, starting from those of
    all KCs together, which also serve KCs that training students never met.

    An item with several KCs is one step: its prediction is the mean of its KCs' probabilities, and its
    answer revises each KC as if that KC alone had been asked. An item without a KC gets the training
    share of right answers.

    Parameters
    ----------
    seed
        Seed of the choice of training students beyond ``max_rows``.
    max_rows
        Most training answers used; four numbers a KC need no more.
    """

    name = "BKT"

    def __init__(self, *, seed: int = 7, max_rows: int = MAX_ROWS) -> None:
        self._seed = seed
        self._max_rows = max_rows
        self._overall = float("nan")
        self._item_kcs = ItemKcs(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64))
        self._parameters = np.empty((0, len(PARAMETERS)))

    @property
    def parameters(self) -> pl.DataFrame:
        """Fitted ``kc_key, prior, learn, guess, slip``."""
        columns = dict(zip(PARAMETERS, self._parameters.T, strict=True))
        return pl.DataFrame({"kc_key": self._item_kcs.kc_keys, **columns})

    def fit(self, frame: pl.DataFrame, item_kcs: pl.DataFrame) -> Self:
        """Fit four parameters a KC on training students."""
        rows = some_students(training_rows(frame), self._max_rows, seed=self._seed)
        self._overall = float(rows["is_correct"].cast(pl.Float64).to_numpy().mean())
        self._item_kcs = ItemKcs.from_frame(item_kcs)
        sequences, starts, kcs = _sequences(rows, self._item_kcs)
        self._parameters = fit_parameters(sequences, starts, kcs, self._item_kcs.num_kcs)
        return self

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict each answer, then learn from it."""
        rows = in_order(frame)
        histories = Histories.from_ordered(rows)
        probability = bkt_kernel.trace(
            histories.starts,
            histories.items,
            histories.correct,
            self._item_kcs.starts,
            self._item_kcs.kcs,
            self._parameters,
            self._overall,
        )
        return with_probability(rows, probability)


def _sequences(rows: pl.DataFrame, item_kcs: ItemKcs) -> tuple[NDArray[np.uint8], Int, Int]:
    """Return answers by KC, student and order, the offsets of sequences, and each sequence's KC."""
    students = rows["student_key"].to_numpy()
    items = rows["item_key"].cast(pl.Int64).to_numpy()
    inside = np.minimum(items, len(item_kcs.starts) - 2)
    first = item_kcs.starts[inside]
    count = np.where(items == inside, item_kcs.starts[inside + 1] - first, 0)
    row = np.repeat(np.arange(len(rows)), count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    kc = item_kcs.kcs[first[row] + within].astype(np.int64)
    order = np.argsort(kc, kind="stable")  # rows already stand by student and order
    kc, student = kc[order], students[row[order]]
    new = np.ones(len(kc), dtype=np.bool_)
    new[1:] = (kc[1:] != kc[:-1]) | (student[1:] != student[:-1])
    starts = np.append(np.flatnonzero(new), len(kc)).astype(np.int64)
    correct = rows["is_correct"].cast(pl.UInt8).to_numpy()[row[order]]
    return correct, starts, kc[starts[:-1]]
