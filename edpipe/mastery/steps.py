"""Answered steps in a dataset's dense codes: what mastery estimators learn from and are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.settings import Settings

Right = NDArray[np.uint8]

STEP_KCS = """
    select student_key, interaction_number, attempt_key, item_key, is_correct, kc_id
    from core.step_kcs
    where source = ? and is_correct is not null and not is_ignored
    order by student_key, interaction_number, kc_key
"""


@dataclass(frozen=True, eq=False)
class MasterySteps:
    """First attempts at steps that have KCs and a known outcome, by student in order.

    Attributes
    ----------
    attempt
        Row of the dataset's attempts. Shape ``(num_steps,)``.
    student
        Student code, rising. Shape ``(num_steps,)``.
    is_correct
        1 where the first attempt is right. Shape ``(num_steps,)``.
    kc_start, kcs
        KC codes of step ``i`` are ``kcs[kc_start[i]:kc_start[i + 1]]``.
    keys
        ``student_key, interaction_number, item_key`` of each step, for who asks other tables.
    num_kcs
        Number of KCs of the dataset.
    """

    attempt: Ints
    student: Ints
    is_correct: Right
    kc_start: Places
    kcs: Ints
    keys: pl.DataFrame
    num_kcs: int

    @property
    def num_steps(self) -> int:
        """Number of steps."""
        return len(self.attempt)

    @cached_property
    def pair_step(self) -> Places:
        """Step of each pair of step and KC. Shape ``(num_pairs,)``."""
        return np.repeat(np.arange(self.num_steps), np.diff(self.kc_start))

    @cached_property
    def practice(self) -> pl.DataFrame:
        """Count answers by student and KC: ``student, kc, num_scored, num_correct``, ordered by both."""
        right = self.is_correct[self.pair_step]
        pairs = pl.DataFrame({"student": self.student[self.pair_step], "kc": self.kcs, "is_correct": right})
        return (
            pairs.group_by("student", "kc")
            .agg(num_scored=pl.len().cast(pl.Int64), num_correct=pl.col("is_correct").cast(pl.Int64).sum())
            .sort("student", "kc")
        )

    @cached_property
    def prior_counts(self) -> tuple[Places, Places]:
        """Right and wrong answers of the student to the KC before each pair. Shapes ``(num_pairs,)``."""
        return _prior_counts(self.student, self.is_correct, self.kc_start, self.kcs, self.num_kcs)

    def within(self, rows: Places) -> MasterySteps:
        """Return the steps of the given attempts alone."""
        last = max(int(self.attempt.max(initial=-1)), int(np.max(rows, initial=-1)))
        is_used = np.zeros(last + 1, dtype=bool)
        is_used[rows] = True
        return self.where(is_used[self.attempt])

    def where(self, is_kept: NDArray[np.bool_]) -> MasterySteps:
        """Return some of the steps. ``is_kept`` has shape ``(num_steps,)``."""
        length = np.diff(self.kc_start)
        return MasterySteps(
            attempt=self.attempt[is_kept],
            student=self.student[is_kept],
            is_correct=self.is_correct[is_kept],
            kc_start=np.concatenate([[0], np.cumsum(length[is_kept])]),
            kcs=self.kcs[np.repeat(is_kept, length)],
            keys=self.keys.filter(pl.Series(is_kept, dtype=pl.Boolean)),
            num_kcs=self.num_kcs,
        )


def mastery_steps_of(dataset: StrategyDataset, step_kcs: pl.DataFrame) -> MasterySteps:
    """Turn rows of ``core.step_kcs`` into dense codes; steps of attempts outside the dataset are left out.

    Parameters
    ----------
    dataset
        Attempts.
    step_kcs
        ``student_key, interaction_number, attempt_key, item_key, is_correct, kc_id``, one row a scored step
        and KC that is no bookkeeping; in any order. An attempt without any such KC is in no dataset.
    """
    attempts = dataset.attempts.select(
        "attempt_key", "student", attempt=pl.int_range(pl.len(), dtype=pl.Int32)
    )
    codes = pl.DataFrame(
        {"kc_id": dataset.kc_ids, "kc": np.arange(dataset.num_kcs, dtype=np.int32)},
        schema={"kc_id": pl.String, "kc": pl.Int32},
    )
    flat = (
        step_kcs.join(attempts, on="attempt_key")
        .join(codes, on="kc_id")
        .sort("student", "interaction_number", "kc")
    )
    is_first = flat.select(
        (pl.struct("student", "interaction_number").rle_id().diff().fill_null(1) > 0).alias("is_first")
    )["is_first"]
    steps = flat.filter(is_first)
    starts = np.flatnonzero(is_first.to_numpy())
    return MasterySteps(
        attempt=steps["attempt"].to_numpy(),
        student=steps["student"].to_numpy(),
        is_correct=steps["is_correct"].cast(pl.UInt8).to_numpy(),
        kc_start=np.append(starts, flat.height).astype(np.int64),
        kcs=flat["kc"].to_numpy(),
        keys=steps.select(pl.col("student_key", "interaction_number", "item_key").cast(pl.Int64)),
        num_kcs=dataset.num_kcs,
    )


def mastery_steps(settings: Settings, dataset: StrategyDataset) -> MasterySteps:
    """Read the answered steps of the dataset's source from the published tables.

    Raises
    ------
    ContractError
        If nothing has been published.
    """
    from edpipe import warehouse

    with warehouse.open_reader(settings) as connection:
        return mastery_steps_of(dataset, connection.execute(STEP_KCS, [dataset.source]).pl())


@njit(cache=True, nogil=True)
def _prior_counts(
    student: Ints, is_correct: Right, kc_start: Places, kcs: Ints, num_kcs: int
) -> tuple[Places, Places]:
    right = np.zeros(len(kcs), dtype=np.int64)
    wrong = np.zeros(len(kcs), dtype=np.int64)
    counts = np.zeros((num_kcs, 2), dtype=np.int64)
    first = 0
    for step in range(len(student)):
        if step and student[step] != student[step - 1]:
            for pair in range(kc_start[first], kc_start[step]):
                counts[kcs[pair]] = 0
            first = step
        for pair in range(kc_start[step], kc_start[step + 1]):
            wrong[pair], right[pair] = counts[kcs[pair]]
            counts[kcs[pair], is_correct[step]] += 1
    return right, wrong
