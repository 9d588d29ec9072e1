"""How good forecasts are beside plain ones: scores in a table and as dots, and what they mean in words."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.report.forecast_run import COVERED, CRPS, ForecastRun
from edpipe.evaluation.report.intervals import Row, forest, interval, score_cell
from edpipe.evaluation.report.numbers import absent, counted, decimal, percent, whole
from edpipe.evaluation.report.page import Cell, Figure, Section, Table, missing

NAME, TITLE = "forecasts", "Forecasts"
SPLITS = {"test": "test windows", "valid": "validation windows"}
DEVIATION, SCALED = "normalized_deviation", "mase"


def forecast_scores(run: ForecastRun) -> Section:
    """Compare the forecaster with every baseline: table and intervals."""
    if run.forecaster is None:
        return missing(NAME, TITLE, not_trained(run))
    return Section(NAME, TITLE, words=_words(run), tables=[_table(run)], figures=[_forest(run)])


def not_trained(run: ForecastRun) -> str:
    """Say that there is no evaluated forecaster, and how to get one."""
    return (
        f"No forecaster has been trained and evaluated: run `{run.trained.command}`, then "
        "`edpipe evaluate tsdiff`."
    )


def enough(run: ForecastRun) -> list[str]:
    """Return a sentence where the baseline that validation chooses is as good as the forecaster."""
    ours, rival = run.row(run.forecaster), run.row(run.rival)
    if ours is None or rival is None or run.forecaster == run.rival or _is_ahead(run, ours, rival):
        return []
    return [
        f"A plain baseline is enough here: the CRPS of {run.rival!r} is {decimal(rival['value'], 4)}, that "
        f"of the forecaster {run.forecaster!r} {decimal(ours['value'], 4)}{_apart(run)}."
    ]


def forecast_figure(run: ForecastRun) -> list[tuple[str, str, str]]:
    """Return the key figure of the forecaster, where there is one."""
    row, rival = run.row(run.forecaster), run.row(run.rival)
    if row is None:
        return []
    remark = [str(run.forecaster), *([interval(row)] if interval(row) else [])]
    beside = f"; {run.rival} {decimal(rival['value'])}" if rival else ""
    return [("CRPS of forecasts", decimal(row["value"]), f"{', '.join(remark)}{beside}")]


def _is_ahead(run: ForecastRun, ours: Row, rival: Row) -> bool:
    """Tell whether the forecaster is better by more than chance: the paired difference where there is one."""
    difference = run.difference(run.rival)
    if difference is not None and not absent(difference["high"]):
        return bool(difference["high"] < 0)
    most = ours["value"] if absent(ours["high"]) else ours["high"]
    return bool(most < rival["value"])


def _apart(run: ForecastRun) -> str:
    """Return the interval of the difference in words; nothing where none was drawn."""
    found = run.difference(run.rival)
    if found is None or absent(found["low"]):
        return ""
    return f" (95 % interval of the difference: {found['low']:+.4f} to {found['high']:+.4f})"


def _words(run: ForecastRun) -> list[str]:
    ours, rival, covered = run.row(run.forecaster), run.row(run.rival), run.row(run.forecaster, COVERED)
    if ours is None:
        return []
    where = SPLITS.get(str(run.trained.split), str(run.trained.split))
    words = [
        f"Every model forecasts the same {where}: {counted(ours['num_interactions'], 'step')} of "
        f"{whole(ours['num_students'])} series, all later than anything that it had seen. CRPS is the error "
        "of all deciles of a forecast, as a share of the size of what came: 0.1 is about a tenth of the mean "
        "value, and 0 would be to know the future. The central 90 % interval should hold 90 % of the steps; "
        "one that holds fewer is too sure of itself, one that holds more says less than it could. Deviation "
        "is the error of the median alone; MASE compares it with the change from one season to the next."
    ]
    if rival is not None and run.forecaster != run.rival:
        if _is_ahead(run, ours, rival):
            words.append(
                f"The forecaster {run.forecaster!r} is ahead of {run.rival!r}, the baseline that validation "
                f"would choose: CRPS {decimal(ours['value'], 4)} against {decimal(rival['value'], 4)}"
                f"{_apart(run)}."
            )
        else:
            words += [f"{one} Take the plain one: it is quicker, and easier to check." for one in enough(run)]
    if covered is not None:
        words.append(
            f"The 90 % interval of {run.forecaster!r} held {percent(covered['value'])} of the steps"
            + ("." if absent(covered["low"]) else f", 95 % interval {_span(covered)}.")
        )
    if run.trained.split != "test":
        words.append("These are not test windows: the test has not been opened for this run.")
    return words


def _table(run: ForecastRun) -> Table:
    models = run.trained.models
    best = {
        metric: min(
            (row["value"] for model in models if (row := run.row(model, metric)) is not None), default=None
        )
        for metric in (CRPS, DEVIATION, SCALED)
    }
    rows = [
        [
            Cell(model, remark="forecaster" if model in run.trained.learned else "baseline"),
            score_cell(run.row(model), best[CRPS]),
            *(_share(run.row(model, f"coverage_{inside}")) for inside in (90, 80, 50)),
            score_cell(run.row(model, DEVIATION), best[DEVIATION]),
            score_cell(run.row(model, SCALED), best[SCALED]),
        ]
        for model in models
    ]
    columns = ["Model", "CRPS ↓", "In 90 %", "In 80 %", "In 50 %", "Deviation ↓", "MASE ↓"]
    caption = SPLITS.get(str(run.trained.split), str(run.trained.split)).capitalize()
    return Table(columns, rows, caption=caption, numeric=frozenset(range(1, 7)))


def _share(row: Row | None) -> Cell:
    if row is None:
        return Cell(percent(None))
    return Cell(percent(row["value"]), remark="" if absent(row["low"]) else _span(row))


def _span(row: Row) -> str:
    return f"{100 * row['low']:.1f} – {percent(row['high'])}"


def _forest(run: ForecastRun) -> Figure:
    frame = run.trained.scores("all")
    panels = [
        (title, word, frame.filter(pl.col("metric") == metric).to_dicts())
        for title, word, metric in (
            ("CRPS (left is better)", "CRPS", CRPS),
            ("Share in 90 % (0.9 is right)", "In 90 %", COVERED),
        )
    ]
    reading = (
        "A dot is a model's score, the bar through it the 95 % interval from drawing series again, or "
        "windows where there are few series; the filled dot is the forecaster, hollow ones are baselines. "
        "Bars that overlap do not say that two models are alike: they are compared on the same windows, and "
        "the difference is known better than either score."
    )
    label = "CRPS and share of steps inside the 90 % interval of each model"
    models, learned = run.trained.models, run.trained.learned
    return forest("forecast-scores", "Scores with intervals", reading, label, panels, models, learned)
