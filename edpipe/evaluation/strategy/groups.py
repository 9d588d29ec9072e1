"""Mastery groups of attempts, from what was known of the student before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places, StrategyDataset

Floats = NDArray[np.float64]

GROUPS: Final = ("lowest", "low", "middle", "high", "highest")
DECILE: Final = "lowest_decile"
SHORT: Final = "short_history"
# First attempts of steps that a history must have for its share to say something.
LEAST_HISTORY: Final = 20
SHRINKAGE: Final = 5.0
NONE: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class MasteryGroups:
    """Fifths of the training students by mastery, frozen; anybody's attempt can be put into one.

    Mastery is the share of right first attempts less the share expected on the same KCs, so that a
    student is not called weak for having met hard KCs.

    Attributes
    ----------
    kc_mean
        Share right of each KC in training, shrunk to that of all. Shape ``(num_kcs,)``.
    is_training_student
        Shape ``(num_students,)``.
    mastery, num_scored
        Of each student's training attempts. Shape ``(num_students,)``.
    cuts
        Mastery that parts the fifths. Shape ``(4,)``.
    decile
        Mastery below which the lowest tenth lies.
    """

    kc_mean: Floats
    is_training_student: NDArray[np.bool_]
    mastery: Floats
    num_scored: Floats
    cuts: Floats
    decile: float

    @property
    def is_known(self) -> bool:
        """Whether any training student has a history long enough."""
        return bool(np.isfinite(self.cuts).all())

    def mastery_of(self, dataset: StrategyDataset, rows: Places) -> Floats:
        """Return the mastery known before each attempt, NaN where the history is too short.

        Students of the training attempts have the mastery of these, all other students that of their
        earlier attempts. Shape ``(n,)``.
        """
        gain, scored = _history(dataset, self.kc_mean)
        student = dataset.student[rows]
        is_known = self.is_training_student[student]
        total = np.where(is_known, self.num_scored[student], scored[rows])
        new = gain[rows] / (scored[rows] + SHRINKAGE)
        found = np.where(is_known, self.mastery[student], new)
        return np.where(total >= LEAST_HISTORY, found, np.nan)

    def group_of(self, dataset: StrategyDataset, rows: Places) -> Places:
        """Return the place in :data:`GROUPS` of each attempt, -1 for a short history. Shape ``(n,)``."""
        mastery = self.mastery_of(dataset, rows)
        if not self.is_known:
            return np.full(len(rows), NONE, dtype=np.int64)
        group = np.searchsorted(self.cuts, mastery, side="right")
        return np.where(np.isnan(mastery), NONE, group).astype(np.int64)

    def keys(self, dataset: StrategyDataset, rows: Places) -> tuple[Places, int]:
        """Return the groups and their number, as baselines want them."""
        return self.group_of(dataset, rows), len(GROUPS)

    def masks(self, dataset: StrategyDataset, rows: Places) -> dict[str, NDArray[np.bool_]]:
        """Return which attempts are in each group, in the lowest tenth, and without history."""
        mastery, group = self.mastery_of(dataset, rows), self.group_of(dataset, rows)
        found = {name: group == number for number, name in enumerate(GROUPS)} if self.is_known else {}
        if self.is_known:
            found[DECILE] = mastery < self.decile
        return {**found, SHORT: group == NONE}


def mastery_groups(dataset: StrategyDataset, train: Places) -> MasteryGroups:
    """Freeze the groups of the training students.

    Parameters
    ----------
    dataset
        All attempts; answers of others than ``train`` are not looked at.
    train
        Training attempts, all of them and not a sample. Shape ``(n,)``.
    """
    is_train = np.zeros(dataset.num_attempts, dtype=bool)
    is_train[train] = True
    seen = dataset.observations
    attempt, kc = seen["attempt"].to_numpy(), seen["kc"].to_numpy()
    used = is_train[attempt]
    scored = np.where(used, seen["num_scored"].to_numpy(), 0)
    correct = np.where(used, seen["num_correct"].to_numpy(), 0)
    overall = correct.sum() / max(scored.sum(), 1)
    counts = [np.bincount(kc, weights=column, minlength=dataset.num_kcs) for column in (scored, correct)]
    kc_mean = (counts[1] + SHRINKAGE * overall) / (counts[0] + SHRINKAGE)
    student = dataset.student[attempt]
    gain = np.bincount(student, weights=correct - scored * kc_mean[kc], minlength=dataset.num_students)
    total = np.bincount(student, weights=scored, minlength=dataset.num_students).astype(np.float64)
    mastery = gain / (total + SHRINKAGE)
    long = mastery[total >= LEAST_HISTORY]
    cuts = np.quantile(long, [0.2, 0.4, 0.6, 0.8]) if len(long) else np.full(4, np.nan)
    is_student = np.zeros(dataset.num_students, dtype=bool)
    is_student[dataset.student[train]] = True
    decile = float(np.quantile(long, 0.1)) if len(long) else float("nan")
    return MasteryGroups(kc_mean, is_student, mastery, total, cuts, decile)


def _history(dataset: StrategyDataset, kc_mean: Floats) -> tuple[Floats, Floats]:
    """Return right answers above expectation, and scored steps, of each student before each attempt."""
    seen = dataset.observations
    attempt = seen["attempt"].to_numpy()
    scored = seen["num_scored"].to_numpy()
    gain = seen["num_correct"].to_numpy() - scored * kc_mean[seen["kc"].to_numpy()]
    first = np.searchsorted(dataset.student, dataset.student)
    found = []
    for column in (gain, scored):
        each = np.bincount(attempt, weights=column, minlength=dataset.num_attempts)
        before = np.concatenate([[0.0], np.cumsum(each)])[:-1]
        found.append(before - before[first])
    return found[0], found[1]
