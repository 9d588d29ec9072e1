"""How training went: loss and AUC of each epoch."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.numbers import absent, decimal, whole
from edpipe.evaluation.report.page import Figure, Section, Table, missing
from edpipe.evaluation.report.trained import Trained

STYLES = {"train_loss": ("fill1", "line1"), "valid_loss": ("fill2", "line2"), "valid_auc": ("fill3", "line3")}


def training(trained: Trained) -> Section:
    """Show the loss and AUC of each epoch."""
    name, title = "training", "Training"
    curves = trained.curves
    if curves is None or curves.is_empty() or "epoch" not in curves.columns:
        return missing(name, title, "No training curve: run `edpipe train tracing`.")
    series: list[str] = [column for column in STYLES if column in curves.columns]
    figure = _training_curve(curves.select("epoch", *series), series)
    return Section(name, title, figures=[figure])


def _training_curve(curves: pl.DataFrame, series: list[str]) -> Figure:
    panels = [
        ("Loss a step", [name for name in series if name.endswith("loss")]),
        ("AUC on validation students", [name for name in series if name.endswith("auc")]),
    ]
    panels = [(title, names) for title, names in panels if _points(curves, names)]
    epochs = curves["epoch"].to_list()

    def draw(width: float) -> str:
        wide = width > 500
        columns = len(panels) if wide else 1
        room = (width - 8) / columns - 66
        height = 230
        drawing = Drawing(width, height * (1 if wide else len(panels)), "Loss and AUC by epoch")
        for index, (title, names) in enumerate(panels):
            marks = padded(_points(curves, names), 4)
            left = 46 + (index * (room + 66) if wide else 0)
            top = 28 + (0 if wide else index * height)
            xs = (min(epochs) - 0.2, max(epochs) + 0.2)
            panel = Panel(drawing, left, top, room, 150, xs, (marks[0], marks[-1]))
            panel.title(title)
            panel.y_axis(marks)
            for name in names:
                _line(panel, curves, name)
            panel.x_axis(epochs[:: max(1, len(epochs) // 6)])
            panel.x_title("epoch")
        return drawing.render()

    rows = [[whole(row["epoch"]), *(decimal(row[name], 4) for name in series)] for row in curves.to_dicts()]
    table = Table(["Epoch", *series], rows, numeric=frozenset(range(len(series) + 1)))
    reading = (
        "The training loss should fall; when the loss on validation students rises again, the model begins "
        "to learn its training students by heart, and training stops."
    )
    legend = [(STYLES[name][0], name.replace("_", " ")) for name in series]
    return Figure("training-curve", "Training curve", reading, draw, table, legend=legend)


def _points(curves: pl.DataFrame, names: list[str]) -> list[float]:
    return [float(value) for name in names for value in curves[name] if not absent(value)]


def _line(panel: Panel, curves: pl.DataFrame, name: str) -> None:
    fill, line = STYLES[name]
    rows = [row for row in curves.select("epoch", name).rows() if not absent(row[1])]
    points = [panel.at(epoch, value) for epoch, value in rows]
    panel.drawing.path(points, f"mark {line}")
    for (epoch, value), point in zip(rows, points, strict=True):
        panel.drawing.dot(point, f"mark {fill}", title=f"{name}, epoch {epoch}: {decimal(value, 4)}")
