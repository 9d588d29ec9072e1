"""Scores with their intervals: in words, as a table cell, and as one dot and bar a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.numbers import absent, decimal
from edpipe.evaluation.report.page import Cell, Figure, Table

Row = dict[str, Any]
# Title of the panel, word in the table, and rows with model, value, low and high.
ForestPanel = tuple[str, str, list[Row]]


def interval(row: Row) -> str:
    """Return an interval as ``0.712 – 0.745``, or nothing where none was drawn."""
    if absent(row["low"]):
        return ""
    return f"{decimal(row['low'])} – {decimal(row['high'])}"


def ends(row: Row) -> tuple[float, float]:
    """Return the ends of what is drawn for a score: its interval, or the score alone."""
    if absent(row["low"]):
        return row["value"], row["value"]
    return min(row["low"], row["value"]), max(row["high"], row["value"])


def score_cell(row: Row | None, best: float | None = None) -> Cell:
    """Return a score with its interval below; a dash where nothing was measured."""
    if row is None:
        return Cell(decimal(None))
    return Cell(decimal(row["value"]), remark=interval(row), is_best=row["value"] == best)


def forest(
    name: str,
    title: str,
    reading: str,
    label: str,
    panels: Sequence[ForestPanel],
    models: Sequence[str],
    filled: Sequence[str],
) -> Figure:
    """Compare models by a dot and a bar in each panel.

    Parameters
    ----------
    name, title, reading
        Of the figure.
    label
        What the picture shows, in words.
    panels
        What is compared; each panel has its own scale.
    models
        Order from the top.
    filled
        Models with a filled dot: those that were learned rather than looked up.
    """

    def draw(width: float) -> str:
        wide = width > 500
        # A letter of the label is about 6.8 pixels wide.
        names = 18 + 6.8 * max(len(model) for model in models)
        columns = (2 if len(panels) % 2 == 0 else min(3, len(panels))) if wide else 1
        gap = 46 if columns == 2 else 30
        room = (width - names - 16 - gap * (columns - 1)) / columns
        rows = 24 * len(models)
        height = rows + 62
        drawing = Drawing(width, height * -(-len(panels) // columns), label)
        for index, (words, _, scores) in enumerate(panels):
            line, column = divmod(index, columns)
            marks = padded([value for row in scores for value in ends(row)], 4 if columns == 2 else 3)
            left = names + column * (room + gap)
            span = (marks[0], marks[-1])
            panel = Panel(drawing, left, 28 + line * height, room, rows, span, (len(models), 0))
            panel.title(words)
            panel.x_axis(marks)
            _whiskers(panel, models, filled, scores, named=column == 0)
        return drawing.render()

    table = Table(
        ["Model", "Score", "Value", "95 % interval"],
        [
            [row["model"], word, decimal(row["value"], 4), interval(row)]
            for _, word, scores in panels
            for row in scores
        ],
        numeric=frozenset({2, 3}),
    )
    return Figure(name, title, reading, draw, table)


def _whiskers(
    panel: Panel, models: Sequence[str], filled: Sequence[str], rows: list[Row], *, named: bool
) -> None:
    for row in rows:
        model = row["model"]
        place = list(models).index(model) + 0.5
        low, high = ends(row)
        panel.drawing.line(panel.at(panel.xs[0], place), panel.at(panel.xs[1], place), "grid")
        style = 1 if model in filled else 2
        panel.drawing.line(panel.at(low, place), panel.at(high, place), f"mark whisker{style}")
        title = f"{model}: {decimal(row['value'])} ({interval(row)})"
        panel.drawing.dot(panel.at(row["value"], place), f"mark dot{style}", radius=4.5, title=title)
        if named:
            panel.drawing.text((panel.left - 10, panel.y(place) + 4), model, "label", anchor="end")
