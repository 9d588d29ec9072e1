"""Intervals by drawing whole students again: answers of one student are not independent.

A draw takes as many students as there are, with replacement. No row is copied: each draw is a column
of student weights, and every score comes from weighted counts.

- Log loss, accuracy and false positive rate are ratios of sums over students.
- Calibration error needs one sum per student and calibration bin.
- AUC needs counts of right and wrong answers per level of probability. Levels are the distinct
  probabilities where there are at most ``NUM_LEVELS``, which is exact; otherwise they are ``NUM_LEVELS``
  quantile bins, and the draws are shifted by the difference between the exact and the binned value of
  the whole sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edpipe.evaluation.metrics import (
    NUM_CALIBRATION_BINS,
    THRESHOLD,
    Bool,
    Float,
    Int,
    accuracy,
    answer_losses,
    auc,
    auc_from_counts,
    calibration_bins,
    check_predictions,
    expected_calibration_error,
    false_positive_rate,
    log_loss,
)

NUM_LEVELS = 2048
# Columns of weights worked on at once: 64 keep the counts (2048 × 2 × 64 int32, 1 MiB) in cache.
DRAWS_AT_ONCE = 64
INTERVAL = (0.025, 0.975)

METRICS = ("auc", "log_loss", "accuracy", "calibration_error", "false_positive_rate")


@dataclass(frozen=True, slots=True)
class Scores:
    """Every metric's value and its draws; ``draws[metric]`` has shape ``(num_draws,)``."""

    values: dict[str, float]
    draws: dict[str, Float]
    num_rows: int
    num_students: int

    def interval(self, metric: str) -> tuple[float, float]:
        """Return the 95 % percentile interval; NaN without draws."""
        return percentile_interval(self.draws[metric])


def percentile_interval(draws: Float) -> tuple[float, float]:
    """Return the 2.5 and 97.5 % points of the draws that are defined; NaN if none is."""
    defined = draws[~np.isnan(draws)]
    if len(defined) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, INTERVAL)
    return float(low), float(high)


def score(
    student: NDArray[np.integer], is_correct: Bool, probability: Float, *, num_draws: int, seed: int
) -> Scores:
    """Score predictions, with an interval from drawing students again.

    The same seed draws the same students whatever the model, so two models scored on the same rows may
    be compared draw by draw.

    Parameters
    ----------
    student
        Key of the student of each row. Shape ``(num_rows,)``.
    is_correct
        True for a right answer. Shape ``(num_rows,)``.
    probability
        Predicted chance of a right answer, in [0, 1]. Shape ``(num_rows,)``.
    num_draws
        Bootstrap draws; 0 gives values without intervals.
    seed
        Seed of the draws.

    Raises
    ------
    ContractError
        If there is no row, or a probability is not a number in [0, 1].
    """
    check_predictions(is_correct, probability)
    keys, codes = np.unique(student, return_inverse=True)
    values = {
        "auc": auc(is_correct, probability),
        "log_loss": log_loss(is_correct, probability),
        "accuracy": accuracy(is_correct, probability),
        "calibration_error": expected_calibration_error(is_correct, probability),
        "false_positive_rate": false_positive_rate(is_correct, probability),
    }
    blocks = _Blocks(codes.astype(np.int64), len(keys), is_correct, probability)
    random = np.random.default_rng(seed)
    parts = []
    for first in range(0, num_draws, DRAWS_AT_ONCE):
        weights = student_weights(len(keys), min(DRAWS_AT_ONCE, num_draws - first), random)
        parts.append(blocks.draw(weights))
    draws = {metric: np.concatenate([part[metric] for part in parts] or [np.empty(0)]) for metric in METRICS}
    draws["auc"] = draws["auc"] + (values["auc"] - blocks.binned_auc)
    return Scores(values, draws, len(is_correct), len(keys))


class _Blocks:
    """What is counted once per student, so that a draw only weighs it."""

    def __init__(self, student: Int, num_students: int, is_correct: Bool, probability: Float) -> None:
        self.num_students = num_students
        wrong = ~is_correct
        predicted_right = probability >= THRESHOLD
        columns = (
            np.ones(len(student)),
            answer_losses(is_correct, probability),
            predicted_right == is_correct,
            wrong,
            wrong & predicted_right,
        )
        sums = [np.bincount(student, weights=column, minlength=num_students) for column in columns]
        self.sums = np.stack(sums)  # (5, num_students)
        error = is_correct.astype(np.float64) - probability
        cell = student * NUM_CALIBRATION_BINS + calibration_bins(probability)
        size = num_students * NUM_CALIBRATION_BINS
        self.errors = np.bincount(cell, weights=error, minlength=size).reshape(num_students, -1)
        level, self.num_levels = _levels(probability)
        # Answers of one student on one level are counted once, with their number.
        cells, self.count = np.unique(
            (student * self.num_levels + level) * 2 + is_correct, return_counts=True
        )
        self.student = cells // (2 * self.num_levels)
        self.level = cells % (2 * self.num_levels)
        self.binned_auc = float(self._auc(np.ones((num_students, 1), dtype=np.uint8))[0])

    def draw(self, weights: NDArray[np.uint8]) -> dict[str, Float]:
        """Return every metric under each column of student weights."""
        rows, loss, hits, wrong, false_alarms = self.sums @ weights
        errors = np.abs(self.errors.T @ weights).sum(axis=0)
        rate = np.divide(false_alarms, wrong, out=np.full(wrong.shape, np.nan), where=wrong > 0)
        return {
            "auc": self._auc(weights),
            "log_loss": loss / rows,
            "accuracy": hits / rows,
            "calibration_error": errors / rows,
            "false_positive_rate": rate,
        }

    def _auc(self, weights: NDArray[np.uint8]) -> Float:
        counts = np.zeros((2 * self.num_levels, weights.shape[1]), dtype=np.int32)
        _weigh(self.student, self.level, self.count.astype(np.int32), weights, counts)
        return auc_from_counts(counts[1::2].astype(np.float64), counts[0::2].astype(np.float64))


def student_weights(num_students: int, num_draws: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return how often each student is drawn with replacement. Shape ``(num_students, num_draws)``."""
    weights = np.empty((num_students, num_draws), dtype=np.uint8)
    for draw in range(num_draws):
        drawn = random.integers(0, num_students, size=num_students)
        # Beyond 255 students one of them is drawn about once; 255 times does not happen.
        weights[:, draw] = np.bincount(drawn, minlength=num_students)
    return weights


def _levels(probability: Float) -> tuple[Int, int]:
    """Return each row's level of probability, ascending from 0, and the number of levels."""
    distinct = np.unique(probability)
    if len(distinct) > NUM_LEVELS:
        inner = np.linspace(0, 1, NUM_LEVELS + 1)[1:-1]
        edges = np.unique(np.quantile(probability, inner, method="higher"))
        return np.searchsorted(edges, probability, side="right").astype(np.int64), len(edges) + 1
    return np.searchsorted(distinct, probability).astype(np.int64), len(distinct)


@njit(cache=True)
def _weigh(
    student: Int,
    level: Int,
    count: NDArray[np.int32],
    weights: NDArray[np.uint8],
    out: NDArray[np.int32],
) -> None:
    """Add each cell's count to its level, once per draw, times its student's weight."""
    num_draws = weights.shape[1]
    for cell in range(len(student)):
        row = weights[student[cell]]
        target = out[level[cell]]
        times = count[cell]
        for draw in range(num_draws):
            target[draw] += times * row[draw]
