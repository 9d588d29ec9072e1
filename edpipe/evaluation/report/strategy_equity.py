"""Whom the predictor serves how well: bars per mastery group, gaps, and errors by KC."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.report.drawing import Drawing, Panel, padded
from edpipe.evaluation.report.intervals import Row, ends, interval, score_cell
from edpipe.evaluation.report.numbers import absent, counted, decimal, percent, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing
from edpipe.evaluation.report.strategy_run import EXACT, StrategyRun
from edpipe.evaluation.report.strategy_scores import gain_cell, not_trained

NAME, TITLE = "strategy-equity", "Equity of strategies"
PREFIX = "mastery:"
METRICS = ((EXACT, "Exact match"), ("jaccard", "Jaccard"))
ORDER = ("lowest_decile", "lowest", "low", "middle", "high", "highest", "short_history")
# What compares groups rather than being one: title, name of the comparison, metric.
COMPARISONS = (
    ("Gap", "gap", EXACT),
    ("By chance", "gap_by_chance", EXACT),
    ("Same problems", "gap_standardized", EXACT),
    ("Of gains", "gap_over_lookup", EXACT),
    ("KCs in vain", "gap", "false_positive_rate"),
    ("KCs missed", "gap", "false_negative_rate"),
    ("Worst group", "worst", EXACT),
)
KINDS = {kind for _, kind, _ in COMPARISONS} | {"ratio"}

Rows = dict[tuple[str, str, str], Row]


def strategy_equity(run: StrategyRun) -> Section:
    """Compare exact match between students of low and high mastery."""
    if run.predictor is None:
        return missing(NAME, TITLE, not_trained(run))
    rows = _rows(run)
    found = {group for _, group, _ in rows if group not in KINDS}
    groups = [*(group for group in ORDER if group in found), *sorted(found - set(ORDER))]
    if not groups:
        return missing(NAME, TITLE, "This evaluation has no mastery groups: too few students.")
    words = [
        "Students form fifths by the mastery known before the attempt, cut where training students are cut; "
        "the lowest tenth and those with too short a history stand beside them. A useful predictor serves "
        "all alike: level bars, a gap near 0. A small gap at a low height is no success.",
        "Gap: the largest exact match of a fifth less the smallest. Weaker students are given other "
        "problems, so the gap is also shown as if all had met the same sections. KCs in vain: shares of "
        "attempts that are told a KC they do not use; missed: not told one they use; their gaps are means "
        "over KCs.",
    ]
    return Section(
        NAME,
        TITLE,
        words=words,
        tables=[_groups(run, rows, groups), *_gaps(run, rows)],
        figures=[_bars(run, rows, groups)],
    )


def _rows(run: StrategyRun) -> Rows:
    """Return the scores by model, group and metric."""
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


def _groups(run: StrategyRun, rows: Rows, groups: list[str]) -> Table:
    model = str(run.predictor)
    rates = _mean_rates(run)
    cells: list[list[Cell | str]] = []
    for group in groups:
        first = next((row for (one, name, _), row in rows.items() if (one, name) == (model, group)), None)
        told, missed = rates.get(group, (None, None))
        cells.append(
            [
                Cell(_plain(group), remark=counted(first["num_students"], "student") if first else ""),
                whole(first["num_interactions"]) if first else decimal(None),
                score_cell(rows.get((model, group, EXACT))),
                gain_cell(run.gain(model, PREFIX + group)),
                score_cell(rows.get((model, group, "calibration_error"))),
                decimal(told),
                decimal(missed),
            ]
        )
    columns = ["Mastery", "Attempts", "Exact", "Gain", "ECE", "KCs in vain", "KCs missed"]
    caption = f"{model} by mastery group; gain over {run.lookup}; rates of KCs"
    return Table(columns, cells, caption=caption, numeric=frozenset(range(1, 7)))


def _mean_rates(run: StrategyRun) -> dict[str, tuple[float, float]]:
    """Return the shares of KCs told in vain and missed in each group, all KCs together."""
    if run.rates is None:
        return {}
    kept = run.rates.filter(
        (pl.col("model") == run.predictor)
        & (pl.col("split") == run.trained.split)
        & (pl.col("num_with") > 0)
        & (pl.col("num_without") > 0)
        & pl.col("false_positive_rate").is_not_nan()
        & pl.col("false_negative_rate").is_not_nan()
    )
    means = kept.group_by("group").agg(
        told=(pl.col("false_positive_rate") * pl.col("num_without")).sum() / pl.col("num_without").sum(),
        missed=(pl.col("false_negative_rate") * pl.col("num_with")).sum() / pl.col("num_with").sum(),
    )
    return {group: (told, missed) for group, told, missed in means.rows()}


def _gaps(run: StrategyRun, rows: Rows) -> list[Table]:
    kinds = [one for one in COMPARISONS if any((model, *one[1:]) in rows for model in run.trained.models)]
    models = [
        model
        for model in run.trained.models
        if any((model, kind, metric) in rows for _, kind, metric in kinds)
    ]
    if not models:
        return []
    cells: list[list[Cell | str]] = [
        [model, *(score_cell(rows.get((model, kind, metric))) for _, kind, metric in kinds)]
        for model in models
    ]
    columns = ["Model", *(title for title, _, _ in kinds)]
    caption = "Gaps between groups, and the worst group"
    return [Table(columns, cells, caption=caption, numeric=frozenset(range(1, len(columns))))]


def _bars(run: StrategyRun, rows: Rows, groups: list[str]) -> Figure:
    models = [model for model in dict.fromkeys((run.predictor, run.lookup)) if model]
    shown = [one for one in METRICS if any((models[0], group, one[0]) in rows for group in groups)]

    def draw(width: float) -> str:
        wide = width > 500
        columns = len(shown) if wide else 1
        room = (width - 4) / columns - 52
        # Turned names need their length below the axis; a letter is about 6.8 pixels wide.
        longest = 6.8 * max(len(group) for group in groups)
        height = 28 + 170 + 14 + max(longest, 34)
        label = "Exact match and Jaccard per mastery group"
        drawing = Drawing(width, height * -(-len(shown) // columns), label)
        for index, (metric, title) in enumerate(shown):
            line, column = divmod(index, columns)
            tops = [
                ends(rows[key])[1]
                for model in models
                for group in groups
                if (key := (model, group, metric)) in rows
            ]
            marks = padded([0.0, max(tops)], 5)
            left = 42 + column * (room + 52)
            span = (0, len(groups))
            panel = Panel(drawing, left, 28 + line * height, room, 170, span, (0, marks[-1]))
            panel.title(title)
            panel.y_axis(marks)
            _panel_bars(panel, models, groups, rows, metric)
            panel.x_axis([number + 0.5 for number in range(len(groups))], [""] * len(groups))
            _group_names(panel, [_plain(group) for group in groups])
        return drawing.render()

    table = Table(
        ["Model", "Mastery", "Metric", "Value", "95 % interval", "Attempts", "Students"],
        [
            [
                model,
                _plain(group),
                metric,
                decimal(row["value"], 4),
                interval(row),
                whole(row["num_interactions"]),
                whole(row["num_students"]),
            ]
            for model in models
            for metric, _ in shown
            for group in groups
            if (row := rows.get((model, group, metric)))
        ],
        numeric=frozenset({3, 4, 5, 6}),
    )
    reading = (
        "The height of a bar is the score in one mastery group, from low to high mastery, the line its "
        "95 % interval; bars of equal height mean equal service."
    )
    legend = [(f"fill{number}", model) for number, model in enumerate(models, start=1)]
    return Figure("strategy-groups", "Scores per mastery group", reading, draw, table, legend=legend)


def _plain(group: str) -> str:
    return group.replace("_", " ")


def _group_names(panel: Panel, groups: list[str]) -> None:
    room = panel.width / len(groups)
    base = panel.top + panel.height
    if room >= 6.8 * max(len(group) for group in groups) + 6:
        for number, group in enumerate(groups):
            panel.drawing.text((panel.x(number + 0.5), base + 17), group, anchor="middle")
        return
    for number, group in enumerate(groups):
        panel.drawing.text((panel.x(number + 0.5) + 4, base + 8), group, anchor="end", turned=True)


def _panel_bars(panel: Panel, models: list[str], groups: list[str], rows: Rows, metric: str) -> None:
    share = 0.8 / len(models)
    for place, group in enumerate(groups):
        for number, model in enumerate(models):
            row = rows.get((model, group, metric))
            if row is None:
                continue
            left, right = (panel.x(place + 0.1 + share * (number + edge)) for edge in (0.04, 0.96))
            top, base = panel.y(row["value"]), panel.y(0)
            title = f"{model}, {_plain(group)}: {percent(row['value'])} ({interval(row)})"
            panel.drawing.rect(left, top, right - left, base - top, f"mark fill{number + 1}", title=title)
            if not absent(row["low"]):
                middle = (left + right) / 2
                low, high = panel.y(max(0.0, row["low"])), panel.y(row["high"])
                panel.drawing.line((middle, low), (middle, high), "bar-whisker")
