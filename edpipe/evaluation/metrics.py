"""Scores of predicted probabilities on numpy arrays; no smoothing, no threshold search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edpipe.errors import ContractError

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int = NDArray[np.int64]

NUM_CALIBRATION_BINS = 15
# A sure and wrong prediction would cost infinity; 1e-7 caps one answer at 16.1 nats, and is about
# the spacing of float32 just below 1, in which networks predict.
SMALLEST_PROBABILITY = 1e-7
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Predicted and observed shares of right answers by bin of predicted probability.

    Empty bins are left out. All arrays have shape ``(num_filled_bins,)``.
    """

    bin: Int
    predicted: Float
    observed: Float
    count: Int


def check_predictions(is_correct: Bool, probability: Float) -> None:
    """Refuse arrays that no score is defined on.

    Raises
    ------
    ContractError
        If the lengths differ, there is no row, or a probability is not a number in [0, 1].
    """
    if len(is_correct) != len(probability) or len(is_correct) == 0:
        raise ContractError(
            "There is nothing to score.",
            where="predictions",
            found=f"{len(is_correct)} answers and {len(probability)} probabilities",
            expected="as many answers as probabilities, at least one",
            next_step="Check that the split named has students.",
        )
    # A NaN fails both comparisons, so `not all` catches it too.
    inside = (probability >= 0) & (probability <= 1)
    if not inside.all():
        raise ContractError(
            "Some predictions are not probabilities.",
            where="predictions.probability",
            found=f"{int((~inside).sum())} of {len(inside)} rows, first {float(probability[~inside][0])!r}",
            expected="numbers in [0, 1]",
            next_step="Look at the model that made them: a non-finite weight is the usual cause.",
        )


def auc(is_correct: Bool, probability: Float) -> float:
    """Return the area under the ROC curve: how often a right answer is ranked above a wrong one.

    Equal probabilities count one half. NaN when only one kind of answer is present.

    Parameters
    ----------
    is_correct
        True for a right answer. Shape ``(num_rows,)``.
    probability
        Predicted chance of a right answer. Shape ``(num_rows,)``.
    """
    order = np.argsort(probability, kind="stable")
    ranked = probability[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    right = np.add.reduceat(is_correct[order].astype(np.float64), starts)
    total = np.diff(np.append(starts, len(ranked))).astype(np.float64)
    return float(auc_from_counts(right[:, None], (total - right)[:, None])[0])


def auc_from_counts(right: Float, wrong: Float) -> Float:
    """Return the area under the ROC curve from counts per ascending level of probability.

    Parameters
    ----------
    right, wrong
        Weights of right and wrong answers per level. Shape ``(num_levels, num_draws)``.

    Returns
    -------
    Float
        One area a column; NaN where one kind is absent. Shape ``(num_draws,)``.
    """
    wrong_below = np.cumsum(wrong, axis=0) - wrong
    pairs_won = (right * (wrong_below + 0.5 * wrong)).sum(axis=0)
    pairs = right.sum(axis=0) * wrong.sum(axis=0)
    area: Float = np.divide(pairs_won, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
    return area


def answer_losses(is_correct: Bool, probability: Float) -> Float:
    """Return each row's negative log likelihood in nats. Shape ``(num_rows,)``."""
    clipped = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    losses: Float = -np.log(np.where(is_correct, clipped, 1 - clipped))
    return losses


def log_loss(is_correct: Bool, probability: Float) -> float:
    """Return the mean negative log likelihood in nats; lower is better."""
    return float(answer_losses(is_correct, probability).mean())


def accuracy(is_correct: Bool, probability: Float) -> float:
    """Return the share of answers on the side of one half that was predicted; a half counts as right."""
    return float(((probability >= THRESHOLD) == is_correct).mean())


def calibration_bins(probability: Float, *, num_bins: int = NUM_CALIBRATION_BINS) -> Int:
    """Return each row's bin of equal width on [0, 1], from 0. Shape ``(num_rows,)``."""
    return np.minimum((probability * num_bins).astype(np.int64), num_bins - 1)


def calibration_curve(
    is_correct: Bool, probability: Float, *, num_bins: int = NUM_CALIBRATION_BINS
) -> CalibrationCurve:
    """Compare predicted with observed shares of right answers in bins of equal width."""
    bins = calibration_bins(probability, num_bins=num_bins)
    count = np.bincount(bins, minlength=num_bins)
    filled = np.flatnonzero(count)
    predicted = np.bincount(bins, weights=probability, minlength=num_bins)[filled] / count[filled]
    observed = np.bincount(bins, weights=is_correct, minlength=num_bins)[filled] / count[filled]
    return CalibrationCurve(filled, predicted, observed, count[filled])


def expected_calibration_error(
    is_correct: Bool, probability: Float, *, num_bins: int = NUM_CALIBRATION_BINS
) -> float:
    """Return the mean distance between predicted and observed shares, weighted by rows."""
    curve = calibration_curve(is_correct, probability, num_bins=num_bins)
    return float(np.average(np.abs(curve.predicted - curve.observed), weights=curve.count))


def false_positive_rate(is_correct: Bool, probability: Float) -> float:
    """Return the share of wrong answers that were predicted right; NaN when none was wrong."""
    wrong = ~is_correct
    return float((probability[wrong] >= THRESHOLD).mean()) if wrong.any() else float("nan")
