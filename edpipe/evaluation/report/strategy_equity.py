"""Whom the predictor serves how well: exact match per mastery group, beside the lookup."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.intervals import Row, ends, interval, score_cell
from edpipe.evaluation.report.numbers import absent, decimal, percent, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing
from edpipe.evaluation.report.strategy_run import EXACT, StrategyRun
from edpipe.evaluation.report.strategy_scores import NOT_TRAINED

NAME, TITLE = "strategy-equity", "Equity of strategies"
PREFIX = "mastery:"
METRICS = ((EXACT, "Exact match"), ("jaccard", "Jaccard"))
# What compares groups rather than being one, with its title.
COMPARISONS = {
    "gap": "Largest less smallest",
    "gap_standardized": "The same at an equal mix of problems",
    "worst": "Worst group",
    "ratio": "Smallest by largest",
}


def strategy_equity(run: StrategyRun) -> Section:
    """Compare exact match between students of low and high mastery."""
    if run.predictor is None:
        return missing(NAME, TITLE, NOT_TRAINED)
    rows = _rows(run)
    groups = [group for group in dict.fromkeys(group for _, group, _ in rows) if group not in COMPARISONS]
    if not groups:
        return missing(NAME, TITLE, "This evaluation has no mastery groups: too few students.")
    words = [
        "Students form groups by their mastery after training attempts only, frozen before anything is "
        "predicted. A useful predictor serves all alike: level bars, a gap near 0. A small gap at a low "
        "height is no success.",
        "Weaker students are given other problems, so a gap may be one of problems; the standardized gap "
        "weighs the problems alike in all groups.",
    ]
    return Section(NAME, TITLE, words=words, tables=_gaps(run, rows), figures=[_bars(run, rows, groups)])


def _rows(run: StrategyRun) -> dict[tuple[str, str, str], Row]:
    """Return the scores by model, group and metric, in the order of the evaluation."""
    evaluation = run.trained.evaluation
    if evaluation is None:
        return {}
    frame = evaluation.metrics.filter(
        (pl.col("split") == run.trained.split)
        & pl.col("subset").str.starts_with(PREFIX)
        & pl.col("value").is_not_nan()
    )
    return {
        (row["model"], row["subset"].removeprefix(PREFIX), row["metric"]): row for row in frame.to_dicts()
    }


def _gaps(run: StrategyRun, rows: dict[tuple[str, str, str], Row]) -> list[Table]:
    kinds = [kind for kind in COMPARISONS if any(group == kind for _, group, _ in rows)]
    if not kinds:
        return []
    models = [model for model in run.trained.models if any((model, kind, EXACT) in rows for kind in kinds)]
    cells: list[list[Cell | str]] = [
        [model, *(score_cell(rows.get((model, kind, EXACT))) for kind in kinds)] for model in models
    ]
    columns = ["Model", *(COMPARISONS[kind] for kind in kinds)]
    caption = "Exact match between groups, all models"
    return [Table(columns, cells, caption=caption, numeric=frozenset(range(1, len(kinds) + 1)))]


def _bars(run: StrategyRun, rows: dict[tuple[str, str, str], Row], groups: list[str]) -> Figure:
    models = [model for model in dict.fromkeys((run.predictor, run.lookup)) if model]
    shown = [one for one in METRICS if any((models[0], group, one[0]) in rows for group in groups)]

    def draw(width: float) -> str:
        wide = width > 500
        columns = len(shown) if wide else 1
        room = (width - 4) / columns - 52
        # Turned names need their length below the axis; a letter is about 6.8 pixels wide.
        longest = 6.8 * max(len(group) for group in groups)
        height = 28 + 170 + 14 + max(longest, 34)
        drawing = Drawing(
            width, height * -(-len(shown) // columns), "Exact match and Jaccard per mastery group"
        )
        for index, (metric, title) in enumerate(shown):
            line, column = divmod(index, columns)
            tops = [ends(row)[1] for row in rows.values() if row["metric"] == metric]
            marks = padded([0.0, max(tops)], 5)
            left = 42 + column * (room + 52)
            span = (0, len(groups))
            panel = Panel(drawing, left, 28 + line * height, room, 170, span, (0, marks[-1]))
            panel.title(title)
            panel.y_axis(marks)
            _panel_bars(panel, models, groups, rows, metric)
            panel.x_axis([number + 0.5 for number in range(len(groups))], [""] * len(groups))
            _group_names(panel, groups)
        return drawing.render()

    table = Table(
        ["Model", "Mastery", "Metric", "Value", "95 % interval", "Attempts", "Students"],
        [
            [
                model,
                group,
                metric,
                decimal(row["value"], 4),
                interval(row),
                whole(row["num_interactions"]),
                whole(row["num_students"]),
            ]
            for (model, group, metric), row in rows.items()
            if model in models and group in groups
        ],
        numeric=frozenset({3, 4, 5, 6}),
    )
    reading = (
        "The height of a bar is the score in one mastery group, from the lowest to the highest, the line its "
        "95 % interval; bars of equal height mean equal service."
    )
    legend = [(f"fill{number}", model) for number, model in enumerate(models, start=1)]
    return Figure("strategy-groups", "Scores per mastery group", reading, draw, table, legend=legend)


def _group_names(panel: Panel, groups: list[str]) -> None:
    room = panel.width / len(groups)
    base = panel.top + panel.height
    if room >= 6.8 * max(len(group) for group in groups) + 6:
        for number, group in enumerate(groups):
            panel.drawing.text((panel.x(number + 0.5), base + 17), group, anchor="middle")
        panel.x_title("mastery before the test")
        return
    for number, group in enumerate(groups):
        panel.drawing.text((panel.x(number + 0.5) + 4, base + 8), group, anchor="end", turned=True)


def _panel_bars(
    panel: Panel, models: list[str], groups: list[str], rows: dict[tuple[str, str, str], Row], metric: str
) -> None:
    share = 0.8 / len(models)
    for place, group in enumerate(groups):
        for number, model in enumerate(models):
            row = rows.get((model, group, metric))
            if row is None:
                continue
            left, right = (panel.x(place + 0.1 + share * (number + edge)) for edge in (0.04, 0.96))
            top, base = panel.y(row["value"]), panel.y(0)
            title = f"{model}, {group}: {percent(row['value'])} ({interval(row)})"
            panel.drawing.rect(left, top, right - left, base - top, f"mark fill{number + 1}", title=title)
            if not absent(row["low"]):
                middle = (left + right) / 2
                panel.drawing.line(
                    (middle, panel.y(max(0.0, row["low"]))), (middle, panel.y(row["high"])), "bar-whisker"
                )
