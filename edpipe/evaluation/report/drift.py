"""Whether what comes is still like what the champions were trained on: words, a plot and a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl

from edpipe.evaluation.drift.compare import INDEX_BOUNDS
from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.numbers import counted, decimal, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table
from edpipe.operations.drift_table import latest_drift
from edpipe.settings import Settings

NAME, TITLE = "drift", "Drift since training"
ROW, TOP, BOTTOM, RIGHT = 20, 14, 44, 24
FLAGGED = ("some", "strong")
READING = (
    "A bar is the stability index of a feature, or of the scores, between training and what came since: 0 "
    "where both have equal shares. Lines stand at 0.1, some drift, and 0.25, strong drift; the tick across a "
    "bar is what chance may make of it with so few students: a bar that ends before its tick says nothing."
)
WEEKS_READING = (
    "A dot is what came in a week less what was foretold, its bar the interval that holds for all weeks "
    "together; at 0 chances mean what they say. Of a forecaster it is the share of periods inside the 90 % "
    "interval, less 0.9."
)


def drift(settings: Settings) -> list[Section]:
    """Return the section on the last check of each family; none where nobody has looked."""
    rows = latest_drift(settings).filter(pl.col("verdict").is_not_null())
    if rows.is_empty():
        return []
    return [Section(NAME, TITLE, words=_words(rows), tables=[_table(rows)], figures=_figures(rows))]


def drift_warnings(settings: Settings) -> list[str]:
    """Return a sentence on each family in which something has drifted."""
    strong = latest_drift(settings).filter(verdict="strong")
    return [
        f"What {family} is asked about has drifted since its training: "
        f"{', '.join(f'{kind} {name}' for kind, name in part.select('kind', 'name').rows())}."
        for (family,), part in strong.group_by("family", maintain_order=True)
    ]


def _words(rows: pl.DataFrame) -> list[str]:
    told = []
    for (family,), part in rows.group_by("family", maintain_order=True):
        flagged = part.filter(pl.col("verdict").is_in(FLAGGED))
        first = part.row(0, named=True)
        whose = f"{family} version {first['model_version']}, checked {first['checked_at']:%Y-%m-%d %H:%M} UTC"
        found = f"{counted(flagged.height, 'sign')} of drift" if flagged.height else "stable"
        told.append(f"{whose}, since {first['since']:%Y-%m-%d}: {found}.")
    return told


def _table(rows: pl.DataFrame) -> Table:
    """Say what was measured other than what is drawn."""
    return _rows_table(
        rows.filter(pl.col("kind").is_in(["unseen", "volume"])),
        "Share of rows with something that training never met, and rows of the median day over training's",
    )


def _rows_table(rows: pl.DataFrame, caption: str) -> Table:
    cells = [
        [
            Cell(row["family"]),
            Cell(row["name"], remark=row["kind"]),
            Cell(whole(row["num_rows"])),
            Cell(decimal(row["value"]), remark=_beside(row)),
            Cell(row["verdict"]),
        ]
        for row in rows.iter_rows(named=True)
    ]
    columns = ["Model", "What", "Rows", "Measured", "Verdict"]
    return Table(columns, cells, caption=caption, numeric=frozenset({2, 3}))


def _beside(row: Mapping[str, Any]) -> str:
    if row["chance"] is not None:
        return f"by chance up to {decimal(row['chance'])}"
    if row["low"] is not None:
        return f"{decimal(row['low'])} – {decimal(row['high'])}"
    return ""


def _figures(rows: pl.DataFrame) -> list[Figure]:
    index = rows.filter(pl.col("kind").is_in(["input", "score"]))
    weeks = rows.filter((pl.col("kind") == "calibration") & pl.col("low").is_finite())
    figures = []
    if index.height:
        table = _rows_table(index, "Stability index since training")
        figures.append(
            Figure("drift-index", "Stability index by feature", READING, partial(_draw_index, index), table)
        )
    if weeks.height:
        table = _rows_table(weeks, "Observed less expected by week")
        figures.append(
            Figure("drift-weeks", "Calibration by week", WEEKS_READING, partial(_draw_weeks, weeks), table)
        )
    return figures


def _draw_index(rows: pl.DataFrame, width: float) -> str:
    top = max(2 * INDEX_BOUNDS[1], float(rows["value"].max()))  # type: ignore[arg-type]  # a column of numbers
    panel = _panel(rows, width, (0.0, top), f"Stability index of {counted(rows.height, 'feature')}")
    for bound in INDEX_BOUNDS:
        panel.drawing.line((panel.x(bound), TOP), (panel.x(bound), TOP + panel.height), "guide")
    for row, middle in _lines(panel, rows):
        title = f"{row['family']} {row['name']}: {decimal(row['value'])}, {_beside(row)}"
        panel.drawing.rect(
            panel.left, middle - 6, panel.x(row["value"]) - panel.left, 12, "mark fill1", title=title
        )
        if row["chance"] < top:
            at = panel.x(row["chance"])
            panel.drawing.line((at, middle - 8), (at, middle + 8), "bar-whisker")
    panel.x_axis([0.0, *INDEX_BOUNDS, top], ["0", "0.1", "0.25", decimal(top, 2)])
    panel.x_title("Stability index")
    return panel.drawing.render()


def _draw_weeks(rows: pl.DataFrame, width: float) -> str:
    values = [0.0, *rows["low"].to_list(), *rows["high"].to_list()]
    marks = padded(values)
    panel = _panel(rows, width, (marks[0], marks[-1]), f"Calibration in {counted(rows.height, 'week')}")
    panel.drawing.line((panel.x(0.0), TOP), (panel.x(0.0), TOP + panel.height), "guide")
    for row, middle in _lines(panel, rows):
        title = f"{row['family']}, week of {row['name']}: {row['value']:+.3f}"
        panel.drawing.line((panel.x(row["low"]), middle), (panel.x(row["high"]), middle), "bar-whisker")
        panel.drawing.dot((panel.x(row["value"]), middle), "dot1", title=title)
    panel.x_axis(marks)
    panel.x_title("Observed less expected")
    return panel.drawing.render()


def _panel(rows: pl.DataFrame, width: float, xs: tuple[float, float], label: str) -> Panel:
    """Return room for a line a row, with names on the left."""
    left = min(200.0, 0.45 * width)
    height = ROW * rows.height
    drawing = Drawing(width, TOP + height + BOTTOM, f"{label} since training")
    return Panel(drawing, left, TOP, width - left - RIGHT, height, xs, (0.0, 1.0))


def _lines(panel: Panel, rows: pl.DataFrame) -> Iterator[tuple[dict[str, Any], float]]:
    """Name each row on the left, and yield it with its height."""
    for number, row in enumerate(rows.iter_rows(named=True)):
        middle = TOP + ROW * (number + 0.5)
        panel.drawing.text((panel.left - 8, middle + 4), f"{row['family']}: {row['name']}", anchor="end")
        yield row, middle
