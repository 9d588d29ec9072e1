"""How well the tracer predicts, beside the baselines: table, intervals, calibration."""

from __future__ import annotations

from typing import Any

import polars as pl

from edpipe.evaluation.report.drawing import Drawing, Panel, grid_of_panels, padded
from edpipe.evaluation.report.numbers import absent, decimal, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing
from edpipe.evaluation.report.trained import Trained

# Column title, metric, and whether more is better.
METRICS = (
    ("AUC ↑", "auc", True),
    ("Log loss ↓", "log_loss", False),
    ("Accuracy ↑", "accuracy", True),
    ("ECE ↓", "calibration_error", False),
)
NOT_TRAINED = (
    "No model has been trained and evaluated yet: run `edpipe train tracing`, then `edpipe evaluate`."
)
SPLITS = {"test": "test students", "valid": "validation students", "train": "training students"}
SUBSETS = (("all", "All answers"), ("first_rows", "First row of each repeated problem only"))

Row = dict[str, Any]


def scores(trained: Trained) -> Section:
    """Compare the tracer with every baseline, with intervals, and show calibration."""
    if not trained.models:
        return missing("models", "Models", NOT_TRAINED)
    tables, figures = [], []
    for subset, caption in SUBSETS:
        frame = trained.scores(subset)
        if len(frame):
            tables.append(_table(trained, frame, caption))
    figures.append(_forest(trained))
    if trained.evaluation is not None and len(trained.evaluation.calibration):
        figures.append(_calibration(trained, trained.evaluation.calibration))
    return Section("models", "Models", words=_words(trained), tables=tables, figures=figures)


def _words(trained: Trained) -> list[str]:
    row = trained.scores("all").row(0, named=True)
    who = SPLITS.get(str(trained.split), str(trained.split))
    words = [
        f"Every model predicts the same {whole(row['num_interactions'])} answers of "
        f"{whole(row['num_students'])} {who}, whom it never saw in training. The small numbers are 95 % "
        "intervals from drawing whole students again; where they overlap widely, the order may be chance.",
        "AUC: how well right answers are ranked above wrong ones (0.5 is chance). Log loss: the cost of "
        "being sure and wrong. ECE: how far predicted and observed shares of right answers lie apart.",
    ]
    if trained.split != "test":
        words.append("These are not test students: the test split has not been opened for this run.")
    return words


def _table(trained: Trained, frame: pl.DataFrame, caption: str) -> Table:
    known = {(row["model"], row["metric"]): row for row in frame.to_dicts()}
    best = {
        metric: (max if more else min)(
            (known[model, metric]["value"] for model in trained.models if (model, metric) in known),
            default=None,
        )
        for _, metric, more in METRICS
    }
    rows = [
        [
            Cell(model, remark="tracer" if model in trained.tracers else "baseline"),
            *(_score(known.get((model, metric)), best[metric]) for _, metric, _ in METRICS),
        ]
        for model in trained.models
    ]
    return Table(
        ["Model", *(title for title, _, _ in METRICS)], rows, caption=caption, numeric=frozenset({1, 2, 3, 4})
    )


def _score(row: Row | None, best: float | None) -> Cell:
    if row is None:
        return Cell(decimal(None))
    return Cell(decimal(row["value"]), remark=interval(row), is_best=row["value"] == best)


def interval(row: Row) -> str:
    """Return an interval as ``0.712 – 0.745``, or nothing where none was drawn."""
    if absent(row["low"]):
        return ""
    return f"{decimal(row['low'])} – {decimal(row['high'])}"


def beaten(trained: Trained) -> list[str]:
    """Return a warning where the best tracer ranks answers no better than the best baseline."""
    tracers = [model for model in trained.models if model in trained.tracers]
    baselines = [model for model in trained.models if model not in trained.tracers]
    if not tracers or not baselines:
        return []
    frame = trained.scores("all").filter(pl.col("metric") == "auc")
    auc = dict(frame.select("model", "value").rows())
    tracer, baseline = tracers[0], baselines[0]
    if auc[tracer] > auc[baseline]:
        return []
    return [
        f"The tracer {tracer!r} does not beat the baseline {baseline!r}: AUC {decimal(auc[tracer])} against "
        f"{decimal(auc[baseline])}. With few students or a small preset that is expected."
    ]


def _forest(trained: Trained) -> Figure:
    kept = trained.scores("all").filter(pl.col("metric").is_in(["auc", "log_loss"])).to_dicts()
    known = {(row["metric"], row["model"]): row for row in kept}
    panels = (("auc", "AUC (right is better)"), ("log_loss", "Log loss (left is better)"))

    def draw(width: float) -> str:
        wide = width > 500
        # A letter of the label is about 6.8 pixels wide.
        names = 18 + 6.8 * max(len(model) for model in trained.models)
        columns = 2 if wide else 1
        room = (width - names - 16) / columns - (26 if wide else 0)
        rows = 24 * len(trained.models)
        height = rows + 62
        drawing = Drawing(width, height * (1 if wide else 2), "AUC and log loss of each model with intervals")
        for index, (metric, title) in enumerate(panels):
            left = names + (index * (room + 46) if wide else 0)
            top = 28 + (0 if wide else index * height)
            rows_of = [known[metric, model] for model in trained.models if (metric, model) in known]
            values = [value for row in rows_of for value in _ends(row)]
            marks = padded(values, 4 if wide else 3)
            panel = Panel(drawing, left, top, room, rows, (marks[0], marks[-1]), (len(trained.models), 0))
            panel.title(title)
            panel.x_axis(marks)
            _whiskers(panel, trained, rows_of, named=index == 0 or not wide)
        return drawing.render()

    table = Table(
        ["Model", "Metric", "Value", "95 % interval"],
        [[row["model"], row["metric"], decimal(row["value"], 4), interval(row)] for row in kept],
        numeric=frozenset({2, 3}),
    )
    reading = (
        "A dot is a model's score, the bar through it the 95 % interval; filled dots are tracers, hollow "
        "ones baselines."
    )
    return Figure("forest", "Scores with intervals", reading, draw, table)


def _ends(row: Row) -> tuple[float, float]:
    if absent(row["low"]):
        return row["value"], row["value"]
    return min(row["low"], row["value"]), max(row["high"], row["value"])


def _whiskers(panel: Panel, trained: Trained, rows: list[Row], *, named: bool) -> None:
    for row in rows:
        model = row["model"]
        place = trained.models.index(model) + 0.5
        # The vertical scale is turned (first model at the top), so pixels come from the place directly.
        low, high = _ends(row)
        panel.drawing.line(panel.at(panel.xs[0], place), panel.at(panel.xs[1], place), "grid")
        is_tracer = model in trained.tracers
        panel.drawing.line(
            panel.at(low, place), panel.at(high, place), f"mark whisker{1 if is_tracer else 2}"
        )
        title = f"{model}: {decimal(row['value'])} ({interval(row)})"
        panel.drawing.dot(
            panel.at(row["value"], place), f"mark dot{1 if is_tracer else 2}", radius=4.5, title=title
        )
        if named:
            panel.drawing.text((panel.left - 10, panel.y(place) + 4), model, "label", anchor="end")


def _calibration(trained: Trained, frame: pl.DataFrame) -> Figure:
    curves: dict[str, list[Row]] = {model: [] for model in trained.models}
    for row in frame.sort("model", "bin").to_dicts():
        curves.setdefault(row["model"], []).append(row)
    names = [model for model, rows in curves.items() if rows]
    most = max(row["count"] for rows in curves.values() for row in rows)

    def fill(panel: Panel, index: int) -> None:
        model = names[index]
        panel.title(model)
        panel.y_axis([0.0, 0.5, 1.0], ["0", "0.5", "1"])
        panel.drawing.line(panel.at(0, 0), panel.at(1, 1), "guide")
        style = "1" if model in trained.tracers else "2"
        points = [panel.at(row["predicted"], row["observed"]) for row in curves[model]]
        panel.drawing.path(points, f"mark line{style}")
        for row, point in zip(curves[model], points, strict=True):
            title = (
                f"{model}: predicted {decimal(row['predicted'], 2)}, observed {decimal(row['observed'], 2)}, "
                f"{whole(row['count'])} answers"
            )
            radius = 1.8 + 4.2 * (row["count"] / most) ** 0.5
            panel.drawing.dot(point, f"mark fill{style}", radius=radius, title=title)
        panel.x_axis([0.0, 0.5, 1.0], ["0", "0.5", "1"])

    def draw(width: float) -> str:
        return grid_of_panels(
            len(names),
            width,
            "Observed against predicted share of right answers, one panel per model",
            fill,
            smallest=165,
            ratio=1.0,
            xs=(0, 1),
            ys=(0, 1),
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
    reading = (
        "Answers are put in bins by predicted chance (across); the height is the share that was right. On "
        "the dashed line predictions mean what they say; below it the model is too sure of success. "
        "Larger dots hold more answers."
    )
    table = Table(["Model", "Predicted", "Observed", "Answers"], rows, numeric=frozenset({1, 2, 3}))
    return Figure("calibration", "Calibration", reading, draw, table)
