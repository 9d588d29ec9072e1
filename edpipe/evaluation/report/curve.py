"""How training went: loss and quality of each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.numbers import absent, decimal, whole
from edpipe.evaluation.report.page import Figure, Section, Table, missing
from edpipe.evaluation.report.trained import Trained

# Title of each panel, its columns, and their color.
PANELS = {
    "Loss a step": {"train_loss": "1", "valid_loss": "2"},
    "AUC on validation students": {"valid_auc": "3"},
}


def training(trained: Trained) -> Section:
    """Show the loss and AUC of each epoch."""
    name, title = "training", "Training"
    curves = trained.curves
    figure = None if curves is None else training_figure("training-curve", "Training curve", curves, PANELS)
    if figure is None:
        return missing(name, title, f"No training curve: run `{trained.command}`.")
    return Section(name, title, figures=[figure])


def training_figure(
    name: str, title: str, curves: pl.DataFrame, panels: Mapping[str, Mapping[str, str]]
) -> Figure | None:
    """Draw the columns of ``curves`` by epoch; None where there is none of them.

    Parameters
    ----------
    name, title
        Of the figure.
    curves
        One row an epoch, from 0 as they are kept; -1 is before training. Shown from 1.
    panels
        Title of each panel, with its columns and the number of their color.
    """
    if curves.is_empty() or "epoch" not in curves.columns:
        return None
    curves = curves.with_columns(pl.col("epoch") + 1)
    colors = {
        column: color
        for known in panels.values()
        for column, color in known.items()
        if column in curves.columns
    }
    shown = [(words, [column for column in known if column in colors]) for words, known in panels.items()]
    shown = [(words, columns) for words, columns in shown if _points(curves, columns)]
    epochs = curves["epoch"].to_list()

    def draw(width: float) -> str:
        wide = width > 500
        columns = len(shown) if wide else 1
        room = (width - 8) / columns - 66
        height = 230
        drawing = Drawing(width, height * (1 if wide else len(shown)), f"{title}: values by epoch")
        for index, (words, names) in enumerate(shown):
            marks = padded(_points(curves, names), 4)
            left = 46 + (index * (room + 66) if wide else 0)
            top = 28 + (0 if wide else index * height)
            xs = (min(epochs) - 0.2, max(epochs) + 0.2)
            panel = Panel(drawing, left, top, room, 150, xs, (marks[0], marks[-1]))
            panel.title(words)
            panel.y_axis(marks)
            for column in names:
                _line(panel, curves, column, colors[column])
            panel.x_axis(epochs[:: max(1, len(epochs) // 6)])
            panel.x_title("epoch")
        return drawing.render()

    rows = [
        [whole(row["epoch"]), *(decimal(row[column], 4) for column in colors)] for row in curves.to_dicts()
    ]
    table = Table(["Epoch", *colors], rows, numeric=frozenset(range(len(colors) + 1)))
    reading = (
        "The training loss should fall; when the loss on validation data rises again, the model begins to "
        "learn its training data by heart, and training stops."
    )
    drawn = [column for _, columns in shown for column in columns]
    legend = [(f"fill{colors[column]}", column.replace("_", " ")) for column in drawn]
    return Figure(name, title, reading, draw, table, legend=legend) if shown else None


def _points(curves: pl.DataFrame, names: Sequence[str]) -> list[float]:
    return [float(value) for name in names for value in curves[name] if not absent(value)]


def _line(panel: Panel, curves: pl.DataFrame, name: str, color: str) -> None:
    rows = [row for row in curves.select("epoch", name).rows() if not absent(row[1])]
    points = [panel.at(epoch, value) for epoch, value in rows]
    panel.drawing.path(points, f"mark line{color}")
    for (epoch, value), point in zip(rows, points, strict=True):
        panel.drawing.dot(point, f"mark fill{color}", title=f"{name}, epoch {epoch}: {decimal(value, 4)}")
