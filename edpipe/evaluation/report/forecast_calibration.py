"""Whether the spread of forecasts is right: where what came fell, and how much each quantile holds."""

from __future__ import annotations

import polars as pl

from edpipe.evaluation.report.calibration import calibration_figure
from edpipe.evaluation.report.drawing import Panel, grid_of_panels, padded
from edpipe.evaluation.report.forecast_run import COVERED, ForecastRun
from edpipe.evaluation.report.numbers import percent, whole
from edpipe.evaluation.report.page import Figure, Section, Table

NAME, TITLE = "forecast-calibration", "Calibration of forecasts"
# Outside of these shares the champion's gate says no.
RIGHT = (0.87, 0.93)


def forecast_calibration(run: ForecastRun) -> Section:
    """Show histograms of where what came fell in each forecast, and quantiles against their levels."""
    figures = []
    if (part := run.part(run.pit)) is not None:
        figures.append(_pit(run, part))
    calibration = run.trained.evaluation.calibration if run.trained.evaluation else pl.DataFrame()
    if len(calibration):
        reading = (
            "For each quantile (across: its level) the share of steps that came in at or below it. On the "
            "dashed line a quantile holds what it says. A curve flatter than the line belongs to intervals "
            "that are too narrow, a steeper one to intervals that are too wide; one that lies below the line "
            "throughout, to forecasts that are too low."
        )
        figures.append(
            calibration_figure(
                "forecast-coverage",
                "Coverage by level",
                reading,
                calibration,
                run.trained.models,
                run.trained.learned,
                "steps",
                label="Share of steps at or below each quantile, one panel per model",
            )
        )
    words = _words(run) if figures else ["The calibration of forecasts was not measured."]
    return Section(NAME, TITLE, words=words, figures=figures)


def _words(run: ForecastRun) -> list[str]:
    covered = run.row(run.forecaster, COVERED)
    words = [
        "A band is of use only if it holds what it says: a 90 % band that holds 70 % makes one plan for days "
        "that never come, and one that holds 99 % reserves what nobody needs."
    ]
    if covered is None:
        return words
    value, (least, most) = covered["value"], RIGHT
    share = percent(value)
    if value < least:
        said = f"too narrow: it held {share}. Its upper ends are not to be planned with."
    elif value > most:
        said = f"too wide: it held {share}. It errs on the safe side, at a price."
    else:
        said = f"about right: it held {share}."
    words.append(f"The 90 % interval of {run.forecaster!r} is {said}")
    return words


def _pit(run: ForecastRun, frame: pl.DataFrame) -> Figure:
    models = [model for model in run.trained.models if model in set(frame["model"])]
    bars = {model: frame.filter(pl.col("model") == model).sort("bin").to_dicts() for model in models}
    even = 1 / max(len(rows) for rows in bars.values())
    marks = padded([0.0, even, *(row["share"] for rows in bars.values() for row in rows)], 4)

    def fill(panel: Panel, index: int) -> None:
        model = models[index]
        panel.title(model)
        panel.y_axis(marks, [percent(mark, 0) for mark in marks])
        style = "1" if model in run.trained.learned else "2"
        for row in bars[model]:
            left, right, top = panel.x(row["low"]) + 0.8, panel.x(row["high"]) - 0.8, panel.y(row["share"])
            title = (
                f"{model}: {percent(row['share'])} of the steps ({whole(row['count'])}) fell between the "
                f"{percent(row['low'], 0)} and the {percent(row['high'], 0)} quantile"
            )
            # A bar of no height is drawn as a hair line, so that it is seen to be there.
            height = max(panel.top + panel.height - top, 0.5)
            bottom = panel.top + panel.height - height
            panel.drawing.rect(left, bottom, right - left, height, f"mark fill{style}", title=title)
        panel.drawing.line(panel.at(0, even), panel.at(1, even), "guide")
        panel.x_axis([0.0, 0.5, 1.0], ["0", "0.5", "1"])

    def draw(width: float) -> str:
        return grid_of_panels(
            len(models),
            width,
            "Histogram of where what came fell in the forecast, one panel per model",
            fill,
            smallest=165,
            ratio=0.75,
            xs=(0, 1),
            ys=(marks[0], marks[-1]),
            left=40,
            largest=300,
        )

    reading = (
        "What came, placed in its forecast (PIT): 0 below everything that was thought possible, 1 above. "
        "Level bars at the dashed line are right. A valley means that the spread is too narrow, a hill "
        "that it is too wide, a rise to the right that forecasts are too low. Few windows give uneven bars "
        "by chance."
    )
    rows = [
        [model, f"{row['low']:.1f} – {row['high']:.1f}", percent(row["share"]), whole(row["count"])]
        for model, found in bars.items()
        for row in found
    ]
    table = Table(["Model", "Place", "Share", "Steps"], rows, numeric=frozenset({2, 3}))
    return Figure("forecast-pit", "Where what came fell", reading, draw, table)
