"""Learning curves as panels: each sampler against ours."""

from __future__ import annotations

from collections.abc import Callable

from edpipe.evaluation.report.drawing import Panel, grid_of_panels, padded
from edpipe.evaluation.report.numbers import absent, decimal, percent, whole
from edpipe.evaluation.report.page import Figure, Table
from edpipe.evaluation.report.strategy_lines import EVERYTHING, Lines, Point, everything, ours


def share_of(budget: float) -> str:
    """Return a budget as a percentage with three digits."""
    return f"{100 * budget:.3g}\u00a0%"


def sampler_figure(
    name: str,
    title: str,
    reading: str,
    lines: Lines,
    lookup: float | None,
    across: Callable[[Point], float],
    axis: Callable[[Panel], None],
) -> Figure:
    """Set every sampler against ours, a panel each, with the lookup and all attempts as levels.

    Parameters
    ----------
    name, title, reading
        Of the figure.
    lines
        Points of each sampler.
    lookup
        Height of the lookup, where it is known.
    across
        Where a point stands on the horizontal axis.
    axis
        Draws that axis.
    """
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
            largest=440,
        )

    rows = [
        [
            sampler,
            share_of(point["budget"]),
            whole(point["num_attempts"]),
            whole(point["num_seeds"]),
            decimal(point["value"], 4),
            _interval(point["low"], point["high"]),
            _interval(point["students_low"], point["students_high"]),
            decimal(point["seconds"], 1),
        ]
        for sampler, points in lines.items()
        for point in points
    ]
    columns = ["Sampler", "Budget", "Attempts", "Seeds", "Value", "Over seeds", "Over students", "Seconds"]
    table = Table(columns, rows, numeric=frozenset(range(1, 8)))
    legend = [("fill1", chosen)]
    legend += [("fill2", "the sampler of the panel")] if others != [chosen] else []
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
            f"{sampler}, {share_of(point['budget'])} ({whole(point['num_attempts'])} attempts): "
            f"{percent(point['value'])}"
        )
        panel.drawing.dot(place, f"mark fill{style}", radius=2.5, title=title)


def _interval(low: float | None, high: float | None) -> str:
    return "" if absent(low) else f"{decimal(low)} – {decimal(high)}"
