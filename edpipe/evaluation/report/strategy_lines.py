"""The points of a learning curve: means and intervals over seeds by sampler and budget."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
from scipy.special import stdtrit

from edpipe.evaluation.report.strategy_run import StrategyRun

OURS, EVERYTHING = "clusters", "all"

Point = dict[str, Any]
Lines = dict[str, list[Point]]


def lines_of(frame: pl.DataFrame, run: StrategyRun, metric: str) -> Lines:
    """Return the points of each sampler by rising budget, with intervals over seeds and over students.

    They are those of the run's predictor; of the first other model but the lookup where it has none.
    """
    frame = frame.filter((pl.col("metric") == metric) & pl.col("value").is_not_nan())
    models = sorted(frame["model"].unique().to_list(), key=lambda model: (model == run.lookup, model))
    if not models:
        return {}
    model = run.predictor if run.predictor in models else models[0]
    frame = frame.filter(pl.col("model") == model)
    has_intervals = {"low", "high"} <= set(frame.columns)
    spans = [pl.col(end).mean() if has_intervals else pl.lit(None).alias(end) for end in ("low", "high")]
    seconds = pl.col("seconds_total").mean() if "seconds_total" in frame.columns else pl.lit(None)
    points = (
        frame.group_by("sampler", "budget")
        .agg(
            pl.col("value").mean(),
            pl.col("value").std().alias("spread"),
            pl.col("value").len().alias("num_seeds"),
            pl.col("num_attempts").mean(),
            seconds.alias("seconds"),
            *(span.alias(f"students_{end}") for span, end in zip(spans, ("low", "high"), strict=True)),
        )
        .sort("sampler", "budget")
    )
    lines: Lines = {}
    for point in points.to_dicts():
        number = point["num_seeds"]
        half = math.nan
        if number > 1:
            half = float(stdtrit(number - 1, 0.975)) * point["spread"] / math.sqrt(number)
        # Shares and their gaps lie in [0, 1]; the interval of two or three seeds may not.
        low, high = max(0.0, point["value"] - half), min(1.0, point["value"] + half)
        ends = {"low": low, "high": high} if number > 1 else {"low": math.nan, "high": math.nan}
        lines.setdefault(point["sampler"], []).append({**point, **ends})
    return lines


def everything(lines: Lines) -> Point | None:
    """Return the point that is learned from all attempts, whatever sampler is named."""
    named = lines.get(EVERYTHING, [])
    others = [point for points in lines.values() for point in points if point["budget"] == 1.0]
    return next(iter([*named, *others]), None)


def ours(lines: Lines) -> str:
    """Return the sampler that the others are set against."""
    return OURS if OURS in lines else next((name for name in lines if name != EVERYTHING), EVERYTHING)
