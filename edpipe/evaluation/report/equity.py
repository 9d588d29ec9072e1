"""Whom the tracer serves how well: scores per mastery group."""

from __future__ import annotations

from typing import Any

from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.intervals import interval
from edpipe.evaluation.report.numbers import absent, decimal, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing
from edpipe.evaluation.report.scores import not_trained
from edpipe.evaluation.report.trained import Trained

GROUPS = ("low", "middle", "high")
METRICS = (
    ("auc", "AUC"),
    ("log_loss", "Log loss"),
    ("calibration_error", "ECE"),
    ("false_positive_rate", "False positive rate"),
)
SHOWN = (("auc", "AUC"), ("false_positive_rate", "False positive rate"))


def equity(trained: Trained) -> Section:
    """Compare scores between students with low, middle and high mastery."""
    name, title = "equity", "Equity"
    if not trained.models:
        return missing(name, title, not_trained(trained))
    rows = [row for group in (*GROUPS, "gap") for row in trained.scores(f"mastery:{group}").to_dicts()]
    if not any(row["subset"] != "mastery:gap" for row in rows):
        return missing(name, title, "This evaluation has no mastery groups: too few students for thirds.")
    known = {(row["model"], row["subset"].partition(":")[2], row["metric"]): row for row in rows}
    num_first = trained.evaluation.summary.get("num_first") if trained.evaluation else None
    start = f"first {num_first} answers" if num_first else "first answers"
    words = (
        f"Students form thirds by the share of right answers among their {start}; scores count only later "
        "answers. A useful tracer serves all three alike.",
        "The false positive rate is the share of wrong answers that were predicted right: where it is high, "
        "students who need help are passed over. The gap is the largest rate less the smallest.",
    )
    tables = [_group_table(trained, known)]
    gaps = _gap_table(trained, known)
    if gaps.rows:
        tables.append(gaps)
    return Section(name, title, words=words, tables=tables, figures=[_groups(trained, known)])


def _group_table(trained: Trained, known: dict[tuple[str, str, str], dict[str, Any]]) -> Table:
    rows: list[list[Cell | str]] = []
    for model in trained.learned:
        for group in GROUPS:
            cells = [known.get((model, group, metric)) for metric, _ in METRICS]
            first = next((cell for cell in cells if cell), None)
            if first is None:
                continue
            rows.append(
                [
                    model,
                    group,
                    whole(first["num_students"]),
                    *(
                        Cell(decimal(cell["value"]), remark=interval(cell)) if cell else Cell(decimal(None))
                        for cell in cells
                    ),
                ]
            )
    columns = ["Model", "Mastery", "Students", *(title for _, title in METRICS)]
    return Table(columns, rows, caption="Scores per mastery group", numeric=frozenset(range(2, 7)))


def _gap_table(trained: Trained, known: dict[tuple[str, str, str], dict[str, Any]]) -> Table:
    rows: list[list[Cell | str]] = []
    for model in trained.models:
        cells = [known.get((model, "gap", metric)) for metric, _ in SHOWN]
        if any(cells):
            texts: list[Cell | str] = [
                Cell(decimal(cell["value"]), remark=interval(cell)) if cell else Cell(decimal(None))
                for cell in cells
            ]
            rows.append([model, *texts])
    columns = ["Model", "Gap in AUC", "Gap in false positive rate"]
    return Table(columns, rows, caption="Gap between groups, all models", numeric=frozenset({1, 2}))


def _groups(trained: Trained, known: dict[tuple[str, str, str], dict[str, Any]]) -> Figure:
    models = trained.learned[:4]

    def draw(width: float) -> str:
        wide = width > 500
        room = (width - 70) / 2 - 30 if wide else width - 64
        height = 230
        drawing = Drawing(
            width, height if wide else 2 * height, "AUC and false positive rate per mastery group"
        )
        for index, (metric, title) in enumerate(SHOWN):
            rows = [
                known[key] for model in models for group in GROUPS if (key := (model, group, metric)) in known
            ]
            if not rows:
                continue
            ends = [
                value
                for row in rows
                for value in (row["low"], row["value"], row["high"])
                if not absent(value)
            ]
            marks = padded(ends, 4)
            left = 46 + (index * (room + 66) if wide else 0)
            top = 28 + (0 if wide else index * height)
            panel = Panel(drawing, left, top, room, 150, (0, len(GROUPS)), (marks[0], marks[-1]))
            panel.title(title)
            panel.y_axis(marks)
            _dots(panel, models, known, metric)
            panel.x_axis([number + 0.5 for number in range(len(GROUPS))], list(GROUPS))
            panel.x_title("mastery group")
        return drawing.render()

    table = Table(
        ["Model", "Mastery", "Metric", "Value", "95 % interval"],
        [
            [model, group, metric, decimal(row["value"], 4), interval(row)]
            for (model, group, metric), row in known.items()
            if model in models and group in GROUPS
        ],
        numeric=frozenset({3, 4}),
    )
    reading = (
        "A dot is the score in one mastery group, the bar its 95 % interval; level dots mean equal service."
    )
    legend = [(f"fill{number}", model) for number, model in enumerate(models, start=1)]
    return Figure("groups", "Scores per mastery group", reading, draw, table, legend=legend)


def _dots(
    panel: Panel, models: list[str], known: dict[tuple[str, str, str], dict[str, Any]], metric: str
) -> None:
    for number, model in enumerate(models):
        offset = (number + 1) / (len(models) + 1)
        for place, group in enumerate(GROUPS):
            row = known.get((model, group, metric))
            if row is None:
                continue
            x = place + offset
            if not absent(row["low"]):
                panel.drawing.line(
                    panel.at(x, row["low"]), panel.at(x, row["high"]), f"mark whisker{number + 1}"
                )
            title = f"{model}, {group}: {decimal(row['value'])} ({interval(row)})"
            panel.drawing.dot(panel.at(x, row["value"]), f"mark fill{number + 1}", radius=4.5, title=title)
