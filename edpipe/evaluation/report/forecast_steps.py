"""Where forecasts err: by step ahead beside the baselines, and by strength of the noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from edpipe.evaluation.report.curve import training_figure
from edpipe.evaluation.report.drawing import Drawing, Panel, grid_of_panels, padded
from edpipe.evaluation.report.forecast_run import CRPS, ForecastRun
from edpipe.evaluation.report.numbers import absent, decimal, whole
from edpipe.evaluation.report.page import Figure, Section, Table

NAME, TITLE = "forecast-errors", "Errors of forecasts"
CURVES = {
    "Loss": {"train_loss": "1", "valid_loss": "2"},
    "CRPS, validation": {"valid_crps": "3"},
}
Lines = dict[str, list[dict[str, Any]]]


def forecast_errors(run: ForecastRun) -> Section:
    """Show errors by step ahead, by strength of the noise, and by epoch."""
    figures, words = [], []
    if (part := run.part(run.by_step)) is not None:
        lines = _lines(run, part)
        if lines:
            words += _words(run, lines)
            figures.append(_by_step(run, lines))
    if run.losses is not None and len(run.losses):
        figures.append(_by_noise(run.losses))
    if run.trained.curves is not None:
        figure = training_figure(
            "forecast-training", "Training of the forecaster", run.trained.curves, CURVES
        )
        figures += [figure] if figure else []
    return Section(NAME, TITLE, words=words or ["Errors by step were not measured."], figures=figures)


def _lines(run: ForecastRun, part: pl.DataFrame) -> Lines:
    known = part.filter(
        (pl.col("metric") == CRPS) & pl.col("value").is_not_null() & ~pl.col("value").is_nan()
    )
    lines = {
        model: known.filter(pl.col("model") == model).sort("step").to_dicts() for model in run.trained.models
    }
    return {model: rows for model, rows in lines.items() if rows}


def _words(run: ForecastRun, lines: Lines) -> list[str]:
    """Say how far ahead the forecaster is worth its price."""
    ours, rival = lines.get(str(run.forecaster)), lines.get(str(run.rival))
    if not ours or not rival or run.forecaster == run.rival:
        return []
    beside = {row["step"]: row["value"] for row in rival}
    pairs = [(row["value"], beside[row["step"]]) for row in ours if row["step"] in beside]
    ahead = sum(value < other for value, other in pairs)
    return [
        f"Of {len(pairs)} steps ahead the CRPS of {run.forecaster!r} is below that of {run.rival!r} at "
        f"{ahead}. Where the curves meet, the plain forecast does as well that far ahead."
    ]


def _by_step(run: ForecastRun, lines: Lines) -> Figure:
    ours = str(run.forecaster)
    others = [model for model in lines if model != ours] or [ours]
    steps = [row["step"] for rows in lines.values() for row in rows]
    ends = (min(steps) - 0.5, max(steps) + 0.5)

    def fill(panel: Panel, index: int) -> None:
        shown = others[index]
        values = [row["value"] for model in (shown, ours) for row in lines.get(model, [])]
        marks = padded([0.0, *values], 4)
        panel = replace(panel, ys=(marks[0], marks[-1]))
        panel.title(shown)
        panel.y_axis(marks)
        for model, style in ((shown, "2"), (ours, "1")):
            if model not in lines or (style == "2" and shown == ours):
                continue
            points = [panel.at(row["step"], row["value"]) for row in lines[model]]
            panel.drawing.path(points, f"mark line{style}")
            for row, point in zip(lines[model], points, strict=True):
                title = f"{model}, {whole(row['step'])} ahead: CRPS {decimal(row['value'], 4)}"
                panel.drawing.dot(point, f"mark fill{style}", radius=2, title=title)
        middle = (min(steps) + max(steps)) // 2
        panel.x_axis(sorted({min(steps), middle, max(steps)}))

    def draw(width: float) -> str:
        return grid_of_panels(
            len(others),
            width,
            "CRPS by step ahead, a panel for each baseline",
            fill,
            smallest=240,
            ratio=0.55,
            xs=ends,
            ys=(0, 1),
            left=42,
            largest=440,
        )

    reading = (
        "CRPS at each step ahead (across), the forecaster against the baseline of the panel, lower is "
        "better. Each panel has its own scale. Errors usually grow with the distance; a wave is a season "
        "that some steps of the window meet and others do not."
    )
    table = Table(
        ["Step", *lines],
        [
            [whole(step), *(decimal(_at(rows, step), 4) for rows in lines.values())]
            for step in sorted(set(steps))
        ],
        numeric=frozenset(range(len(lines) + 1)),
    )
    legend = [("fill1", ours), *([("fill2", "the baseline of the panel")] if others != [ours] else [])]
    return Figure("forecast-steps", "CRPS by step ahead", reading, draw, table, legend=legend)


def _at(rows: list[dict[str, Any]], step: int) -> float | None:
    return next((row["value"] for row in rows if row["step"] == step), None)


def _by_noise(losses: pl.DataFrame) -> Figure:
    rows = [row for row in losses.sort("time").to_dicts() if not absent(row["loss"])]
    marks = padded([0.0, *(row["loss"] for row in rows)], 4)
    times = padded([0.0, *(row["time"] for row in rows)], 5)
    is_flow = max(row["time"] for row in rows) <= 1

    def draw(width: float) -> str:
        drawing = Drawing(width, 236, "Loss of the network by strength of the noise")
        panel = Panel(drawing, 46, 16, width - 62, 168, (times[0], times[-1]), (marks[0], marks[-1]))
        panel.y_axis(marks)
        points = [panel.at(row["time"], row["loss"]) for row in rows]
        panel.drawing.path(points, "mark line1")
        for row, point in zip(rows, points, strict=True):
            title = f"noise {row['time']:.4g}: loss {decimal(row['loss'], 4)}"
            panel.drawing.dot(point, "mark fill1", radius=2.5, title=title)
        panel.x_axis(times)
        panel.x_title("share of noise" if is_flow else "diffusion step: more noise to the right")
        return drawing.render()

    reading = "The network's loss on validation windows by how much noise it has to see through. "
    reading += (
        "At the left it cannot be told what is noise, so the loss is near 1; at the right it is what the "
        "past leaves open. Were nothing known of values of size 1, the curve would be a hill from 1 over 2 "
        "to 1: the lower it lies, the more the network has learned."
        if is_flow
        else "With little noise, at the left, it can hardly be told what is noise, so the loss is near 1; "
        "with much noise it is easier. Refinement works at the step whose loss is nearest to the mean."
    )
    table = Table(
        ["Noise", "Loss"],
        [[f"{row['time']:.4g}", decimal(row["loss"], 4)] for row in rows],
        numeric=frozenset({0, 1}),
    )
    return Figure("forecast-noise", "Loss by strength of the noise", reading, draw, table)
