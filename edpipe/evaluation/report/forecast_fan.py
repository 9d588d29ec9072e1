"""Forecasts of some series as fans: what came before, and what came on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl

from edpipe.evaluation.report.drawing import Drawing, Panel, Point, padded
from edpipe.evaluation.report.forecast_run import ForecastRun
from edpipe.evaluation.report.names import without_middle
from edpipe.evaluation.report.numbers import absent, compact, decimal, whole
from edpipe.evaluation.report.page import Figure, Table

# Ends of each interval, the widest first, with its shade.
BANDS = ((0.05, 0.95, "shade1"), (0.1, 0.9, "shade2"), (0.25, 0.75, "shade4"))
LEGEND = (
    ("shade1", "90 %"),
    ("shade2", "80 %"),
    ("shade4", "50 %"),
    ("fill1", "median"),
    ("fill-ink", "what came"),
)
NUM_SERIES = 6
MOST_STEPS = 36
# Steps of a chart, history included; where fans leave less room, history has as many steps as they.
MOST_SHOWN = 64
LEFT, RIGHT, HEIGHT, ABOVE, BELOW = 46, 12, 150, 30, 32
LONGEST_NAME = 34


@dataclass(frozen=True, slots=True)
class Fan:
    """Forecasts of one window; quantiles by level, and what came, step by step from ``begin``."""

    begin: int
    quantiles: dict[float, list[float]]


@dataclass(frozen=True, slots=True)
class FanChart:
    """One series: its moments, what came at each (None where unobserved), and its fans.

    The moments before the first fan begins are history: the end of what its first forecast could see.
    ``score`` is the CRPS of all its test windows where it was kept; ``error``, which orders the charts, is
    the same, or else the loss of the quantiles that were kept.
    """

    series_id: str
    times: list[datetime]
    actual: list[float | None]
    fans: list[Fan]
    score: float | None
    error: float


def fan_figure(run: ForecastRun) -> Figure | None:
    """Draw forecasts of some series beside what came; None where none were kept."""
    if run.fan is None or run.fan.is_empty():
        return None
    rows = {one: run.row(run.forecaster, subset=f"series:{one}") for one in run.fan["series_id"].unique()}
    scores = {one: row["value"] for one, row in rows.items() if row is not None}
    charts = fan_charts(run.fan, scores, run.history)
    if not charts:
        return None
    many = run.fan["series_id"].n_unique() > len(charts)
    chosen = (
        "Of the series kept, those shown run from the best forecast to the worst, evenly by rank. "
        if many
        else "The best forecast series stands first. "
    )
    reading = (
        f"The last test windows, with what came before on the left. At each dashed line the forecaster "
        f"{run.forecaster!r} knew the line up to it and nothing after. About half of the dots should lie in "
        "the dark band, nine of ten in all three; a fan must be wide where the past says little. "
        f"{chosen}Each series has its own scale."
    )

    def draw(width: float) -> str:
        columns = 2 if width > 500 and len(charts) > 1 else 1
        cell = width / columns
        lines = -(-len(charts) // columns)
        size = ABOVE + HEIGHT + BELOW
        drawing = Drawing(width, lines * size, "Forecast bands of some series with what came")
        for index, chart in enumerate(charts):
            line, column = divmod(index, columns)
            panel = Panel(
                drawing,
                column * cell + LEFT,
                line * size + ABOVE,
                cell - LEFT - RIGHT,
                HEIGHT,
                (0, 1),
                (0, 1),
            )
            _chart(panel, chart)
        return drawing.render()

    return Figure("forecast-fans", "Forecasts and what came", reading, draw, _numbers(charts), legend=LEGEND)


def fan_charts(
    fan: pl.DataFrame, scores: Mapping[str, float], history: pl.DataFrame | None = None
) -> list[FanChart]:
    """Return the series to show, the best forecast first.

    Parameters
    ----------
    fan
        Rows ``series_id, origin_time, time, step, quantile_level, target, actual``.
    scores
        CRPS of each series, as far as it is known.
    history
        Rows ``series_id, time, actual`` before the first window of each series. As many steps are shown at
        most as a series has here, with those of earlier windows counted in.
    """
    before = history if history is not None else fan.clear()
    charts = [
        chart
        for (one,), part in fan.group_by("series_id", maintain_order=True)
        if (chart := _chart_of(str(one), part, scores.get(str(one)), before.filter(series_id=one)))
        is not None
    ]
    charts.sort(key=lambda chart: (chart.error, chart.series_id))
    if len(charts) <= NUM_SERIES:
        return charts
    return [charts[round(place * (len(charts) - 1) / (NUM_SERIES - 1))] for place in range(NUM_SERIES)]


def _chart_of(
    series_id: str, part: pl.DataFrame, score: float | None, history: pl.DataFrame
) -> FanChart | None:
    """Return the last windows of a series; None where nothing was observed."""
    known = part.drop_nulls("actual")
    if known.is_empty():
        return None
    size = max(float(np.abs(known["actual"].to_numpy()).mean()), 1e-12)
    error = float(known.select(_pinball()).to_series().to_numpy().mean()) / size
    starts = part.group_by("origin_time").agg(pl.col("time").min().alias("begin"), pl.col("step").max())
    starts = starts.sort("begin", descending=True).with_columns(pl.col("step").cum_sum().alias("num_steps"))
    kept = starts.filter((pl.col("num_steps") <= MOST_STEPS) | (pl.int_range(pl.len()) == 0))
    columns = ("time", "actual")
    came = pl.concat([history.select(columns), part.select(columns)]).unique("time", keep="first")
    came = came.sort("time")
    num_before = came.filter(pl.col("time") < kept["begin"].min()).height
    num_steps = len(came) - num_before
    most = max(MOST_SHOWN - num_steps, num_steps)
    came = came[max(num_before - min(most, len(history) or most), 0) :]
    part = part.join(kept.select("origin_time"), on="origin_time", how="semi")
    times, actual = came["time"].to_list(), came["actual"].to_list()
    place = {time: number for number, time in enumerate(times)}
    fans = []
    for (_,), window in part.sort("time").group_by("origin_time", maintain_order=True):
        quantiles = {
            float(level): rows.sort("time")["target"].to_list()
            for (level,), rows in window.group_by("quantile_level", maintain_order=True)
        }
        fans.append(Fan(place[window["time"].min()], quantiles))
    return FanChart(series_id, times, actual, fans, score, error if score is None else score)


def _pinball() -> pl.Expr:
    away = pl.col("actual") - pl.col("target")
    level = pl.col("quantile_level")
    return pl.max_horizontal(level * away, (level - 1) * away)


def _chart(empty: Panel, chart: FanChart) -> None:
    known = [value for value in chart.actual if value is not None]
    edges = [value for fan in chart.fans for level in (0.05, 0.95) for value in fan.quantiles[level]]
    marks = padded([*known, *edges], 4)
    panel = replace(empty, xs=(-0.6, len(chart.times) - 0.4), ys=(marks[0], marks[-1]))
    longest = int(min(LONGEST_NAME, (panel.width - 90) // 7))
    name = without_middle(chart.series_id, longest)
    panel.title(f"{name} · CRPS {decimal(chart.score)}" if chart.score is not None else name)
    panel.y_axis(marks)
    panel.x_axis(*_marks(chart, panel.width))
    for fan in chart.fans:
        for low, high, style in BANDS:
            above, below = (_level(panel, fan, level) for level in (high, low))
            panel.drawing.path([*above, *reversed(below)], f"mark {style}", closed=True)
        panel.drawing.path(_level(panel, fan, 0.5), "mark median")
        edge = panel.x(fan.begin - 0.5)
        panel.drawing.line((edge, panel.top), (edge, panel.top + panel.height), "guide")
    _came(panel, chart)


def _came(panel: Panel, chart: FanChart) -> None:
    """Draw what came: a line that ends at unobserved steps, and a dot a step that was forecast."""
    line: list[Point] = []
    for number, value in enumerate(chart.actual):
        if value is None:
            panel.drawing.path(line, "mark came")
            line = []
        else:
            line.append(panel.at(number, value))
    panel.drawing.path(line, "mark came")
    for number, (time, value) in enumerate(zip(chart.times, chart.actual, strict=True)):
        if value is not None and number >= chart.fans[0].begin:
            title = f"{chart.series_id}, {_moment(time)}: {compact(value)}"
            panel.drawing.dot(panel.at(number, value), "mark fill-ink", radius=1.8, title=title)


def _level(panel: Panel, fan: Fan, level: float) -> list[Point]:
    """Return a quantile's line, half a step longer at both ends: a step is as wide as its place."""
    values = fan.quantiles[level]
    points = [panel.at(fan.begin + number, value) for number, value in enumerate(values)]
    return [
        panel.at(fan.begin - 0.4, values[0]),
        *points,
        panel.at(fan.begin + len(values) - 0.6, values[-1]),
    ]


def _marks(chart: FanChart, width: float) -> tuple[list[int], list[str]]:
    """Return places on the horizontal axis with their moments: where history and fans begin.

    A single fan without history has its begin and middle. Labels are left out where there is no room, that of
    the history first.
    """
    places = [fan.begin for fan in chart.fans]
    if places == [0]:
        places = sorted({0, len(chart.times) // 2})
    elif places[0] > 0:
        places.append(0)
    moments = [chart.times[place] for place in places]
    has_hours = any(abs(b - a) < timedelta(days=1) for a, b in pairwise(chart.times))
    form, room = ("%d %b %H h", 72.0) if has_hours else ("%d %b", 48.0)
    labels: list[str] = []
    taken: list[float] = []
    for place, moment in zip(places, moments, strict=True):
        middle = width * (place + 0.6) / len(chart.times)
        fits = all(abs(middle - other) >= room for other in taken) and middle + room / 2 <= width + RIGHT
        labels.append(moment.strftime(form) if fits else "")
        taken += [middle] if fits else []
    return places, labels


def _moment(time: datetime) -> str:
    return time.strftime("%Y-%m-%d" if (time.hour, time.minute) == (0, 0) else "%Y-%m-%d %H:%M")


def _numbers(charts: Sequence[FanChart]) -> Table:
    rows = [
        [
            chart.series_id,
            _moment(chart.times[fan.begin + step]),
            whole(step + 1),
            _short(chart.actual[fan.begin + step]),
            *(_short(fan.quantiles[level][step]) for level in (0.05, 0.5, 0.95)),
        ]
        for chart in charts
        for fan in chart.fans
        for step in range(len(fan.quantiles[0.5]))
    ]
    columns = ["Series", "Time", "Step", "What came", "5 %", "Median", "95 %"]
    return Table(columns, rows, numeric=frozenset(range(2, 7)))


def _short(value: float | None) -> str:
    return "–" if value is None or absent(value) else f"{value:,.4g}" if abs(value) < 1e4 else whole(value)
