"""How many attempts are enough: exact match against budget, one panel a sampler."""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl

from edpipe.evaluation.report.drawing import Panel
from edpipe.evaluation.report.intervals import Row
from edpipe.evaluation.report.numbers import absent, percent, whole
from edpipe.evaluation.report.page import Figure, Section, missing
from edpipe.evaluation.report.strategy_lines import Lines, Point, everything, lines_of, ours
from edpipe.evaluation.report.strategy_panels import sampler_figure, share_of
from edpipe.evaluation.report.strategy_run import EXACT, StrategyRun

NAME, TITLE = "strategy-budget", "Learning curve of strategies"
NOT_MEASURED = (
    "No learning curve was drawn: `edpipe evaluate strategy` draws one where `strategy.curve_budgets` names "
    "the budgets, such as `--set 'strategy.curve_budgets=[0.05,0.1,0.5]'`."
)
ENOUGH = 0.95
LEAST_SECONDS = 1e-3
EQUALS = {"epochs": "passes over the chosen attempts", "steps": "steps of the optimizer"}
# Marks of the budget that are written out, as shares.
LABELED = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
NEEDED = {"sampler", "model", "budget", "num_attempts", "seed", "metric", "value"}


def strategy_budget(run: StrategyRun) -> Section:
    """Show what each sampler reaches with a budget of attempts, and how long that takes."""
    frame = run.budgets
    if frame is None or frame.is_empty() or not set(frame.columns) >= NEEDED:
        return missing(NAME, TITLE, NOT_MEASURED)
    if "equal" not in frame.columns:
        frame = frame.with_columns(equal=pl.lit("epochs"))
    words = [
        "A predictor is learned from a part of the training attempts, chosen by a sampler, and scored on the "
        "same attempts as before. Each point is the mean over several seeds."
    ]
    figures = []
    for equal in EQUALS:
        part = frame.filter(pl.col("equal") == equal)
        lines = lines_of(part, run, EXACT)
        if not lines:
            continue
        words += _enough(lines, equal)
        figures.append(_by_budget(lines, _value(run.row(run.lookup)), equal))
        if equal == "epochs":
            if _has_seconds(part):
                figures.append(_by_seconds(lines, _value(run.row(run.lookup))))
            if gaps := lines_of(part, run, "mastery_gap"):
                figures.append(_gaps(gaps, _value(run.row(run.lookup, "mastery:gap"))))
    if not figures:
        return missing(NAME, TITLE, NOT_MEASURED)
    return Section(NAME, TITLE, words=words, figures=figures)


def _value(row: Row | None) -> float | None:
    return None if row is None else float(row["value"])


def _has_seconds(frame: pl.DataFrame) -> bool:
    return "seconds_total" in frame.columns and frame["seconds_total"].null_count() < len(frame)


def _enough(lines: Lines, equal: str) -> list[str]:
    full, chosen = everything(lines), ours(lines)
    if full is None or equal != "epochs":
        return []
    reached = [point for point in lines[chosen] if point["value"] >= ENOUGH * full["value"]]
    if not reached or reached[0]["budget"] == 1.0:
        return [
            f"No budget of the sampler {chosen!r} below all attempts reaches 95 % of the exact match of all "
            f"({percent(full['value'])})."
        ]
    first = reached[0]
    return [
        f"The sampler {chosen!r} reaches 95 % of the exact match of all attempts ({percent(full['value'])}) "
        f"with {share_of(first['budget'])} of them ({whole(first['num_attempts'])})."
    ]


def _by_budget(lines: Lines, lookup: float | None, equal: str) -> Figure:
    suffix = "" if equal == "epochs" else f"-{equal}"
    same = f"with the same number of {EQUALS[equal]}"
    is_alone = len(lines) == 1
    against = "The line is" if is_alone else "Each panel sets one sampler (orange) against"
    reading = (
        f"{against} {ours(lines)} (blue), {same}. The height is the "
        "share of strategies predicted exactly, across is the share of the training attempts (logarithmic); "
        "bands are 95 % intervals over seeds, thin lines the other samplers. Green is the lookup"
        f"{'' if lookup is None else f' ({percent(lookup)})'}, purple all attempts."
    )
    name, title = f"strategy-budget{suffix}-curve", f"Exact match by budget, {same}"
    return sampler_figure(name, title, reading, lines, lookup, _across, _budget_axis(lines))


def _gaps(lines: Lines, lookup: float | None) -> Figure:
    reading = (
        "The largest exact match of a fifth of the students by mastery less the smallest: 0 is equal "
        "service. Read it beside the height above: a small gap of a poor predictor is no success."
    )
    name, title = "strategy-gap-curve", "Gap between mastery groups by budget"
    return sampler_figure(name, title, reading, lines, lookup, _across, _budget_axis(lines))


def _across(point: Point) -> float:
    return math.log10(point["budget"])


def _budget_axis(lines: Lines) -> Callable[[Panel], None]:
    budgets = sorted({point["budget"] for points in lines.values() for point in points})
    marks = [budget for budget in LABELED if budgets[0] <= budget <= budgets[-1]]
    marks = budgets if len(marks) < 2 else marks

    def axis(panel: Panel) -> None:
        step = max(1, math.ceil(len(marks) * 46 / panel.width))
        kept = marks[::-1][::step][::-1]
        panel.x_axis([math.log10(mark) for mark in kept], [share_of(mark) for mark in kept])

    return axis


def _by_seconds(lines: Lines, lookup: float | None) -> Figure:
    seconds = [
        point["seconds"] for points in lines.values() for point in points if not absent(point["seconds"])
    ]
    low, high = max(min(seconds), LEAST_SECONDS), max(seconds)
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(max(high, low))) + 1)
    marks = [digit * 10.0**ten for ten in tens for digit in (1, 2, 5) if low <= digit * 10.0**ten <= high]

    def axis(panel: Panel) -> None:
        kept = marks[:: max(1, math.ceil(len(marks) * 52 / panel.width))]
        panel.x_axis([math.log10(mark) for mark in kept], [f"{mark:g} s" for mark in kept])

    reading = (
        "The same points against what they cost from end to end, the sampler and what it needs included, in "
        "seconds on a logarithmic scale: further left at the same height is better."
    )
    return sampler_figure(
        "strategy-seconds-curve",
        "Exact match by seconds",
        reading,
        lines,
        lookup,
        lambda point: math.log10(max(point["seconds"], LEAST_SECONDS)),
        axis,
    )
