"""How many attempts are enough: exact match against budget, one panel a sampler."""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl

from edpipe.evaluation.report.drawing import Panel, grid_of_panels, padded
from edpipe.evaluation.report.numbers import absent, decimal, percent, whole
from edpipe.evaluation.report.page import Figure, Section, Table, missing
from edpipe.evaluation.report.strategy_lines import EVERYTHING, Lines, Point, everything, lines_of, ours
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
    frame = frame.filter(pl.col("metric") == EXACT)
    if "equal" not in frame.columns:
        frame = frame.with_columns(equal=pl.lit("epochs"))
    words = [
        "A predictor is learned from a part of the training attempts, chosen by a sampler, and scored on the "
        "same attempts as before. Each point is the mean over several seeds."
    ]
    figures = []
    for equal in EQUALS:
        part = frame.filter(pl.col("equal") == equal)
        lines = lines_of(part, run)
        if not lines:
            continue
        words += _enough(lines, equal)
        figures.append(_by_budget(lines, _of_lookup(run), equal))
        if equal == "epochs" and _has_seconds(part):
            figures.append(_by_seconds(lines, _of_lookup(run)))
    if not figures:
        return missing(NAME, TITLE, NOT_MEASURED)
    return Section(NAME, TITLE, words=words, figures=figures)


def _of_lookup(run: StrategyRun) -> float | None:
    row = run.row(run.lookup)
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
        f"with {_share(first['budget'])} of them ({whole(first['num_attempts'])})."
    ]


def _share(budget: float) -> str:
    return f"{100 * budget:.3g} %"


def _by_budget(lines: Lines, lookup: float | None, equal: str) -> Figure:
    budgets = sorted({point["budget"] for points in lines.values() for point in points})
    marks = [budget for budget in LABELED if budgets[0] <= budget <= budgets[-1]]
    suffix = "" if equal == "epochs" else f"-{equal}"
    same = f"with the same number of {EQUALS[equal]}"

    def axis(panel: Panel) -> None:
        step = max(1, math.ceil(len(marks) * 46 / panel.width))
        kept = marks[::-1][::step][::-1]
        panel.x_axis([math.log10(mark) for mark in kept], [_share(mark) for mark in kept])

    reading = (
        f"Each panel sets one sampler (orange) against {ours(lines)} (blue), {same}. The height is the "
        "share of strategies predicted exactly, across is the share of the training attempts (logarithmic); "
        "bands are 95 % intervals over seeds, thin lines the other samplers. Green is the lookup"
        f"{'' if lookup is None else f' ({percent(lookup)})'}, purple all attempts."
    )
    return _figure(
        f"strategy-budget{suffix}-curve",
        f"Exact match by budget, {same}",
        reading,
        lines,
        lookup,
        lambda point: math.log10(point["budget"]),
        axis,
    )


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
    return _figure(
        "strategy-seconds-curve",
        "Exact match by seconds",
        reading,
        lines,
        lookup,
        lambda point: math.log10(max(point["seconds"], LEAST_SECONDS)),
        axis,
    )


def _figure(
    name: str,
    title: str,
    reading: str,
    lines: Lines,
    lookup: float | None,
    across: Callable[[Point], float],
    axis: Callable[[Panel], None],
) -> Figure:
    chosen, full = ours(lines), everything(lines)
    others = [sampler for sampler in lines if sampler not in (chosen, EVERYTHING)] or [chosen]
    points = [point for line in lines.values() for point in line]
    levels = {"4": full["value"] if full else None, "3": lookup}
    heights = [edge for point in points for edge in (point["low"], point["value"], point["high"])]
    marks = padded([height for height in [*heights, *levels.values()] if not absent(height)], 4)
    places = [across(point) for point in points]
    xs = (min(places) - 0.05, max(places) + 0.05)

    def fill(panel: Panel, index: int) -> None:
        shown = others[index]
        panel.title(shown)
        panel.y_axis(marks)
        for style, level in levels.items():
            if level is not None:
                panel.drawing.path(
                    [panel.at(xs[0], level), panel.at(xs[1], level)],
                    f"mark level{style}",
                    title=f"{level:.3f}",
                )
        for sampler, points in lines.items():
            if sampler not in (shown, chosen, EVERYTHING):
                panel.drawing.path([panel.at(across(point), point["value"]) for point in points], "other")
        for sampler, style in ((shown, "2"), (chosen, "1")):
            if style == "1" or sampler != chosen:
                _line(panel, sampler, lines[sampler], style, across)
        axis(panel)

    def draw(width: float) -> str:
        return grid_of_panels(
            len(others),
            width,
            title,
            fill,
            smallest=165,
            ratio=0.7,
            xs=xs,
            ys=(marks[0], marks[-1]),
            left=40,
        )

    rows = [
        [
            sampler,
            _share(point["budget"]),
            whole(point["num_attempts"]),
            whole(point["num_seeds"]),
            decimal(point["value"], 4),
            "" if absent(point["low"]) else f"{decimal(point['low'])} – {decimal(point['high'])}",
            decimal(point["seconds"], 1),
        ]
        for sampler, points in lines.items()
        for point in points
    ]
    columns = ["Sampler", "Budget", "Attempts", "Seeds", "Exact", "95 % interval", "Seconds"]
    table = Table(columns, rows, numeric=frozenset(range(1, 7)))
    legend = [("fill1", chosen), ("fill2", "the sampler of the panel")]
    legend += [("fill3", "lookup")] if lookup is not None else []
    legend += [("fill4", "all attempts")] if full else []
    return Figure(name, title, reading, draw, table, legend=legend)


def _line(
    panel: Panel, sampler: str, points: list[Point], style: str, across: Callable[[Point], float]
) -> None:
    banded = [point for point in points if not absent(point["low"])]
    above = [panel.at(across(point), point["high"]) for point in banded]
    below = [panel.at(across(point), point["low"]) for point in banded]
    panel.drawing.path([*above, *reversed(below)], f"mark band{style}", closed=True)
    places = [panel.at(across(point), point["value"]) for point in points]
    panel.drawing.path(places, f"mark line{style}")
    for point, place in zip(points, places, strict=True):
        title = (
            f"{sampler}, {_share(point['budget'])} ({whole(point['num_attempts'])} attempts): "
            f"{percent(point['value'])}"
        )
        panel.drawing.dot(place, f"mark fill{style}", radius=2.5, title=title)
