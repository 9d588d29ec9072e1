"""Score several predictors of strategies on the same attempts: one part of one split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.errors import ContractError
from edpipe.evaluation.metrics import NUM_CALIBRATION_BINS, calibration_bins, calibration_curve
from edpipe.evaluation.results import CALIBRATION_SCHEMA, METRIC_SCHEMA
from edpipe.evaluation.strategy.equity import KC_SCHEMA, GroupedAttempts, kc_rates
from edpipe.evaluation.strategy.groups import MasteryGroups
from edpipe.evaluation.strategy.intervals import Estimate, Floats, StudentDraws
from edpipe.evaluation.strategy.metrics import ERRORS, MACRO, RATIOS, attempt_scores, usual_strategy

MACRO_METRICS = ("exact_match", "jaccard")
GAP_METRICS = ("exact_match", "jaccard", "edit_similarity", "next_kc_accuracy")
PAIRED_SCHEMA = {
    "model": pl.String,
    "reference": pl.String,
    "split": pl.String,
    "subset": pl.String,
    "metric": pl.String,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
EQUITY_SCHEMA = {"model": pl.String, "split": pl.String, **KC_SCHEMA}

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class SplitScores:
    """Frames with the columns of the schemas of the same names."""

    metrics: pl.DataFrame
    paired: pl.DataFrame
    equity: pl.DataFrame
    calibration: pl.DataFrame


def score_strategies(
    dataset: StrategyDataset,
    predictions: Mapping[str, PredictedStrategies],
    train: Places,
    *,
    split: str = "test",
    groups: MasteryGroups | None = None,
    reference: str = "lookup",
    num_draws: int = 200,
    seed: int = 7,
) -> SplitScores:
    """Score every model on all subsets, with intervals over students.

    Subsets are ``all``, ``seen_problems`` and ``unseen_problems`` (by training), ``departures`` (the
    strategy is not the usual one of a problem seen in training) and ``usual``, ``mastery:<group>``, and
    what compares groups: ``mastery:gap, mastery:worst, mastery:ratio, mastery:gap_standardized,
    mastery:gap_over_lookup`` (the gap of the gains over the reference), ``mastery:gap_by_chance`` (the gap
    that chance alone would leave).

    Parameters
    ----------
    dataset
        All attempts.
    predictions
        Model name to predictions, all of the same attempts.
    train
        All training attempts, the sampled and the others: they say what is usual and what is seen.
    split
        Name of the part, for the table.
    groups
        Mastery groups; None leaves them out.
    reference
        Model that others are compared with, where it is among them.
    num_draws, seed
        Draws of students.

    Raises
    ------
    ContractError
        If models were asked about different attempts.
    """
    rows = _same_rows(predictions)
    draws = StudentDraws(dataset.student[rows], num_draws=num_draws, seed=seed)
    masks = attempt_subsets(dataset, rows, train, groups)
    grouped = GroupedAttempts(
        np.full(len(rows), -1) if groups is None else groups.group_of(dataset, rows),
        dataset.section[rows].astype(np.int64),
        draws,
    )
    metrics: list[tuple[object, ...]] = []
    paired: list[tuple[object, ...]] = []
    curves: list[tuple[object, ...]] = []
    equity: list[pl.DataFrame] = []
    frames = {model: attempt_scores(dataset, predicted) for model, predicted in predictions.items()}
    for model, frame in frames.items():
        found = _estimates(frame, masks, grouped)
        if ("mastery:gap", "exact_match") in found:
            exact, one = frame["exact_match"].to_numpy(), frame["one"].to_numpy()
            found["mastery:gap_by_chance", "exact_match"] = grouped.gap_by_chance(exact, one, seed=seed)
        rates, mean_gaps = kc_rates(dataset, predictions[model], grouped.group)
        equity.append(rates.select(pl.lit(model).alias("model"), pl.lit(split).alias("split"), pl.all()))
        nothing = np.full(draws.num_draws, np.nan)
        if groups is not None and groups.is_known:
            found |= {("mastery:gap", name): Estimate(gap, nothing) for name, gap in mean_gaps.items()}
        if model != reference and reference in frames:
            differences, gaps = _differences(frame, frames[reference], masks, grouped)
            paired += [
                (model, reference, split, *place, estimate.value, *estimate.interval)
                for place, estimate in differences.items()
            ]
            found |= gaps
        counts = _counts(frame, masks)
        metrics += [
            (model, split, *place, estimate.value, *estimate.interval, *counts.get(place[0], counts["all"]))
            for place, estimate in found.items()
            if not np.isnan(estimate.value)
        ]
        curves += [(model, *row) for row in _curve(frame)]
    return SplitScores(
        metrics=pl.DataFrame(metrics, schema=METRIC_SCHEMA, orient="row"),
        paired=pl.DataFrame(paired, schema=PAIRED_SCHEMA, orient="row").filter(
            pl.col("difference").is_not_nan()
        ),
        # Polars takes a mapping of names to types; its annotation wants selectors as keys.
        equity=pl.concat(equity).cast(EQUITY_SCHEMA),  # type: ignore[arg-type]
        calibration=pl.DataFrame(curves, schema=CALIBRATION_SCHEMA, orient="row"),
    )


def attempt_subsets(
    dataset: StrategyDataset, rows: Places, train: Places, groups: MasteryGroups | None
) -> dict[str, NDArray[np.bool_]]:
    """Return which attempts are in each subset."""
    usual = usual_strategy(dataset, train)[dataset.problem[rows]]
    is_seen = usual >= 0
    is_usual = usual == dataset.strategy_code[rows]
    masks = {
        "all": np.ones(len(rows), dtype=bool),
        "seen_problems": is_seen,
        "unseen_problems": ~is_seen,
        "departures": is_seen & ~is_usual,
        "usual": is_seen & is_usual,
    }
    if groups is not None:
        masks |= {f"mastery:{name}": mask for name, mask in groups.masks(dataset, rows).items()}
    return {name: mask for name, mask in masks.items() if mask.any()}


def _estimates(
    frame: pl.DataFrame, masks: Masks, grouped: GroupedAttempts
) -> dict[tuple[str, str], Estimate]:
    """Return every metric of one model by subset and metric."""
    draws = grouped.draws
    columns = {name: frame[name].to_numpy() for pair in RATIOS.values() for name in pair}
    found: dict[tuple[str, str], Estimate] = {}
    for subset, mask in masks.items():
        for metric, (top, bottom) in RATIOS.items():
            found[subset, metric] = draws.ratio(columns[top], columns[bottom], mask)
        found[subset, "calibration_error"] = _calibration_error(frame, draws, mask)
    if "departures" in masks:
        found["all", "departure_recall"] = found["departures", "exact_match"]
    for of in MACRO:
        code = np.unique(frame[of].to_numpy(), return_inverse=True)[1].astype(np.int64)
        for metric in MACRO_METRICS:
            top, bottom = RATIOS[metric]
            found["all", f"{metric}_by_{of}"] = draws.mean_of_groups(columns[top], columns[bottom], code)
    for metric in GAP_METRICS:
        top, bottom = RATIOS[metric]
        for kind, estimate in grouped.gaps(columns[top], columns[bottom]).items():
            found[f"mastery:{kind}", metric] = estimate
    return found


def _differences(
    frame: pl.DataFrame, reference: pl.DataFrame, masks: Masks, grouped: GroupedAttempts
) -> tuple[dict[tuple[str, str], Estimate], dict[tuple[str, str], Estimate]]:
    """Return gains over the reference by subset and metric, better being positive, and their group gaps."""
    found: dict[tuple[str, str], Estimate] = {}
    gaps: dict[tuple[str, str], Estimate] = {}
    for metric, (top, bottom) in RATIOS.items():
        sign = -1 if metric in ERRORS else 1
        ours, theirs = ((one[top].to_numpy(), one[bottom].to_numpy()) for one in (frame, reference))
        for subset, mask in masks.items():
            first, second = (grouped.draws.ratio(*one, mask) for one in (ours, theirs))
            found[subset, metric] = Estimate(
                sign * (first.value - second.value), sign * (first.draws - second.draws)
            )
        if metric in GAP_METRICS and bottom == "one":
            gained = grouped.gaps(ours[0] - theirs[0], ours[1])
            if gained:
                gaps["mastery:gap_over_lookup", metric] = gained["gap"]
    return found, gaps


def _calibration_error(frame: pl.DataFrame, draws: StudentDraws, mask: NDArray[np.bool_]) -> Estimate:
    """Return the mean distance of confidence from exact match over bins of confidence."""
    confidence = frame["confidence"].to_numpy()
    is_known = mask & ~np.isnan(confidence)
    known = np.where(is_known, np.clip(confidence, 0, 1), 0.0)
    bins = np.where(is_known, calibration_bins(known), -1)
    one: Floats = np.ones(len(frame))
    error = np.where(is_known, frame["exact_match"].to_numpy() - known, 0.0)
    gap, gap_draws = draws.by_group(error, one, bins, NUM_CALIBRATION_BINS)
    # Shares of the bins, from the number of attempts over all attempts in any bin.
    total = is_known.astype(np.float64)
    share = [draws.ratio(one * (bins == number), total) for number in range(NUM_CALIBRATION_BINS)]
    weights = np.array([estimate.value for estimate in share])
    weight_draws = np.stack([estimate.draws for estimate in share])
    if not is_known.any():
        return Estimate(float("nan"), np.full(draws.num_draws, np.nan))
    return Estimate(
        float((np.abs(np.nan_to_num(gap)) * weights).sum()),
        (np.abs(np.nan_to_num(gap_draws)) * weight_draws).sum(axis=0),
    )


def _curve(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    known = frame.filter(pl.col("confidence").is_not_nan())
    if not known.height:
        return []
    curve = calibration_curve(
        known["exact_match"].to_numpy() == 1, np.clip(known["confidence"].to_numpy(), 0, 1)
    )
    columns = (curve.bin, curve.predicted, curve.observed, curve.count)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _counts(frame: pl.DataFrame, masks: Masks) -> dict[str, tuple[int, int]]:
    student = frame["student"].to_numpy()
    return {name: (int(mask.sum()), len(np.unique(student[mask]))) for name, mask in masks.items()}


def _same_rows(predictions: Mapping[str, PredictedStrategies]) -> Places:
    """Return the attempts that all models were asked about.

    Raises
    ------
    ContractError
        If they differ, or there is no model.
    """
    models = list(predictions)
    for model in models[1:]:
        if not np.array_equal(predictions[model].rows, predictions[models[0]].rows):
            raise ContractError(
                "Two models were not scored on the same attempts.",
                where=f"predictions of {models[0]!r} and {model!r}",
                found=f"{len(predictions[models[0]])} and {len(predictions[model])} attempts, or others",
                expected="the same attempts in the same order",
                next_step="Predict every model on the same rows.",
            )
    if not models:
        raise ContractError(
            "There is no model to score.", where="predicted strategies", expected="one or more"
        )
    return predictions[models[0]].rows
