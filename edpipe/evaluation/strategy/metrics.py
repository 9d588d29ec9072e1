"""Scores of predicted strategies, attempt by attempt, and what they add up to."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.errors import ContractError
from edpipe.evaluation.strategy.distances import edit_similarity, jaccard, lcs_f1

Floats = NDArray[np.float64]

# Metric to the columns of `attempt_scores` whose sums it is the ratio of.
RATIOS: Final[dict[str, tuple[str, str]]] = {
    "exact_match": ("exact_match", "one"),
    "jaccard": ("jaccard", "one"),
    "same_kcs": ("same_kcs", "one"),
    "edit_similarity": ("edit_similarity", "one"),
    "lcs_f1": ("lcs_f1", "one"),
    "length_error": ("length_error", "one"),
    "next_kc_accuracy": ("next_correct", "next_asked"),
    "log_likelihood": ("log_likelihood", "num_tokens"),
}
# Lower is better.
ERRORS: Final = frozenset({"length_error"})
MACRO: Final = ("problem", "student", "section")


def attempt_scores(dataset: StrategyDataset, predicted: PredictedStrategies) -> pl.DataFrame:
    """Compare each predicted strategy with the true one.

    Returns
    -------
    DataFrame
        One row an attempt, in the order of the prediction: ``row, student, section, problem, exact_match,
        jaccard, same_kcs`` (whether both have the same set of KCs: Jaccard 1), ``edit_similarity, lcs_f1``,
        all in [0, 1], ``length_error`` (KCs too many or too few), ``next_correct, next_asked``,
        ``log_likelihood`` (nats, of the whole strategy) with ``num_tokens`` (KCs and the end; both 0 where
        the predictor gives no likelihood), ``confidence`` in [0, 1] or NaN, ``one``.

    Raises
    ------
    ContractError
        If there is no attempt, or a confidence or likelihood cannot be one.
    """
    if not len(predicted):
        raise ContractError(
            "There is nothing to score.",
            where="predicted strategies",
            found="no attempt",
            expected="at least one",
            next_step="Check that the part of the split has attempts.",
        )
    _check_probabilities(predicted)
    rows = predicted.rows
    true_kcs, true_start = dataset.strategies(rows)
    pair = (predicted.kcs.astype(np.int32), predicted.start.astype(np.int64), true_kcs, true_start)
    length, true_length = np.diff(predicted.start), np.diff(true_start)
    edit = edit_similarity(*pair)
    sets = jaccard(*pair)
    has_likelihood = ~np.isnan(predicted.log_likelihood)
    return pl.DataFrame(
        {
            "row": rows,
            "student": dataset.student[rows],
            "section": dataset.section[rows],
            "problem": dataset.problem[rows],
            # Levenshtein's distance is 0 only for equal sequences.
            "exact_match": (edit == 1).astype(np.float64),
            "jaccard": sets,
            "same_kcs": (sets == 1).astype(np.float64),
            "edit_similarity": edit,
            "lcs_f1": lcs_f1(*pair),
            "length_error": np.abs(length - true_length).astype(np.float64),
            "next_correct": predicted.next_correct.astype(np.float64),
            "next_asked": predicted.next_asked.astype(np.float64),
            "log_likelihood": np.where(has_likelihood, predicted.log_likelihood, 0.0),
            "num_tokens": np.where(has_likelihood, true_length + 1, 0).astype(np.float64),
            "confidence": predicted.confidence,
            "one": np.ones(len(rows)),
        }
    )


def ratio(scores: pl.DataFrame, metric: str) -> float:
    """Return one metric over all attempts of :func:`attempt_scores`; NaN where nothing was asked."""
    top, bottom = RATIOS[metric]
    total = float(scores[bottom].sum())
    return float(scores[top].sum()) / total if total else float("nan")


def macro_mean(scores: pl.DataFrame, metric: str, of: str) -> float:
    """Return the mean over problems, students or sections of the metric in each.

    Parameters
    ----------
    scores
        From :func:`attempt_scores`.
    metric
        One of :data:`RATIOS`.
    of
        One of :data:`MACRO`.
    """
    top, bottom = RATIOS[metric]
    each = scores.group_by(of).agg(pl.col(top).sum().alias("top"), pl.col(bottom).sum().alias("bottom"))
    each = each.filter(pl.col("bottom") > 0)
    # Polars types a mean as any value or None; of numbers that are there it is a float.
    return float((each["top"] / each["bottom"]).mean()) if each.height else float("nan")  # type: ignore[arg-type]


def usual_strategy(dataset: StrategyDataset, train: Places) -> Places:
    """Return the code of each problem's most frequent strategy in training, -1 where training has none.

    Of equally frequent ones the earlier in training is the usual one. Shape ``(num_problems,)``.
    """
    counted = (
        pl.DataFrame(
            {"problem": dataset.problem[train], "strategy": dataset.strategy_code[train], "row": train}
        )
        .group_by("problem", "strategy")
        .agg(pl.len().alias("count"), pl.col("row").min())
        .sort("problem", "count", "row", descending=[False, True, False])
        .unique("problem", keep="first", maintain_order=True)
    )
    usual = np.full(dataset.num_problems, -1, dtype=np.int64)
    usual[counted["problem"].to_numpy()] = counted["strategy"].to_numpy()
    return usual


def _check_probabilities(predicted: PredictedStrategies) -> None:
    confidence, likelihood = predicted.confidence, predicted.log_likelihood
    bad_confidence = ~np.isnan(confidence) & ~((confidence >= 0) & (confidence <= 1 + 1e-6))
    bad_likelihood = ~np.isnan(likelihood) & ~(likelihood <= 1e-6)
    if bad_confidence.any() or bad_likelihood.any():
        found = confidence[bad_confidence] if bad_confidence.any() else likelihood[bad_likelihood]
        raise ContractError(
            "Some predictions are not probabilities.",
            where="predicted strategies, `confidence` and `log_likelihood`",
            found=f"{bad_confidence.sum() + bad_likelihood.sum()} of {len(predicted)}, first {found[0]!r}",
            expected="confidence in [0, 1], log likelihood at most 0, or NaN",
            next_step="Look at the model that made them: a non-finite weight is the usual cause.",
        )
