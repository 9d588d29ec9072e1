"""Whether predictions mean what they say: observed against predicted shares, one panel a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from edpipe.evaluation.report.drawing import Panel, grid_of_panels
from edpipe.evaluation.report.numbers import decimal, whole
from edpipe.evaluation.report.page import Figure, Table


def calibration_figure(
    name: str,
    title: str,
    reading: str,
    frame: pl.DataFrame,
    models: Sequence[str],
    filled: Sequence[str],
    counted: str,
    *,
    label: str = "",
) -> Figure:
    """Draw observed against predicted shares.

    Parameters
    ----------
    name, title, reading
        Of the figure.
    frame
        Rows ``model, bin, predicted, observed, count``.
    models, filled
        Order of the panels, and which models were learned.
    counted
        What the bins count, in the plural.
    label
        What the picture shows, in words, where it is not the share of right ``counted``.
    """
    curves: dict[str, list[dict[str, Any]]] = {model: [] for model in models}
    for row in frame.sort("model", "bin").to_dicts():
        curves.setdefault(row["model"], []).append(row)
    names = [model for model, rows in curves.items() if rows]
    counts = [row["count"] for rows in curves.values() for row in rows]
    most, is_even = max(counts), min(counts) == max(counts)

    def fill(panel: Panel, index: int) -> None:
        model = names[index]
        panel.title(model)
        panel.y_axis([0.0, 0.5, 1.0], ["0", "0.5", "1"])
        panel.drawing.line(panel.at(0, 0), panel.at(1, 1), "guide")
        style = "1" if model in filled else "2"
        points = [panel.at(row["predicted"], row["observed"]) for row in curves[model]]
        panel.drawing.path(points, f"mark line{style}")
        for row, point in zip(curves[model], points, strict=True):
            words = (
                f"{model}: predicted {decimal(row['predicted'], 2)}, observed {decimal(row['observed'], 2)}, "
                f"{whole(row['count'])} {counted}"
            )
            radius = 2.5 if is_even else 1.8 + 4.2 * (row["count"] / most) ** 0.5
            panel.drawing.dot(point, f"mark fill{style}", radius=radius, title=words)
        panel.x_axis([0.0, 0.5, 1.0], ["0", "0.5", "1"])

    def draw(width: float) -> str:
        return grid_of_panels(
            len(names),
            width,
            label or f"Observed against predicted share of right {counted}, one panel per model",
            fill,
            smallest=165,
            ratio=1.0,
            xs=(0, 1),
            ys=(0, 1),
            largest=300,
        )

    rows = [
        [
            row["model"],
            decimal(row["predicted"]),
            decimal(row["observed"]),
            whole(row["count"]),
        ]
        for model in names
        for row in curves[model]
    ]
    table = Table(
        ["Model", "Predicted", "Observed", counted.capitalize()], rows, numeric=frozenset({1, 2, 3})
    )
    return Figure(name, title, reading, draw, table)
