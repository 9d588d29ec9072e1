"""When students work and how much: activity over time, the week's rhythm, answers per student."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import polars as pl

from edpipe.evaluation.report.drawing import Drawing, Panel
from edpipe.evaluation.report.numbers import compact, ticks, whole
from edpipe.evaluation.report.page import Figure, Section, Table, missing
from edpipe.evaluation.report.published import Published

SPAN = """
select
    date_diff('day', min(hour), max(hour)) + 1 as num_days,
    sum(num_interactions) as num_interactions
from features.activity_hourly
"""
PERIODS = """
select
    date_trunc('{unit}', hour at time zone 'UTC')::date as first_day,
    sum(num_interactions)::bigint as num_interactions,
    sum(num_correct)::bigint as num_correct
from features.activity_hourly
group by all
order by all
"""
RHYTHM = """
select
    isodow(hour at time zone 'UTC')::integer as weekday,
    extract('hour' from hour at time zone 'UTC')::integer as hour_of_day,
    sum(num_interactions)::bigint as num_interactions
from features.activity_hourly
group by all
order by all
"""
PER_STUDENT = """
select
    floor(log2(num_interactions))::integer as doubling,
    count(*) as num_students
from core.students
where num_interactions > 0
group by all
order by all
"""
QUARTILES = """
select quantile_cont(num_interactions, [0.25, 0.5, 0.75, 0.99]) as points, max(num_interactions) as most
from core.students
where num_interactions > 0
"""
# Most days (up to the number) that are shown by day, by week; longer spans are shown by month.
MOST_DAYS_BY = {"day": 150, "week": 1100}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NUM_SHADES = 9


def activity(published: Published) -> Section:
    """Show interactions over time, by hour of the week, and per student."""
    figures = []
    words: list[str] = []
    if published.has("features.activity_hourly", "hour", "num_interactions", "num_correct"):
        span = published.ask(SPAN).row(0, named=True)
        if span["num_interactions"]:
            figures += [_over_time(published, span["num_days"]), _rhythm(published.ask(RHYTHM))]
        else:
            words.append("No interaction has a time, so nothing can be shown over time.")
    else:
        words.append("There is no table of hourly activity: `edpipe build` writes it.")
    if published.has("core.students", "num_interactions"):
        counts = published.ask(PER_STUDENT)
        if len(counts):
            figures.append(_per_student(counts, published.ask(QUARTILES).row(0, named=True)))
    if not figures:
        return missing("activity", "Activity", " ".join(words))
    return Section("activity", "Activity", words=words, figures=figures)


def _over_time(published: Published, num_days: int) -> Figure:
    unit = next((unit for unit, most in MOST_DAYS_BY.items() if num_days <= most), "month")
    rows = published.ask(PERIODS.format(unit=unit)).to_dicts()
    length = {"day": 1, "week": 7, "month": 30}[unit]

    def draw(width: float) -> str:
        drawing = Drawing(width, 218, f"Interactions per {unit}")
        days = [row["first_day"].toordinal() for row in rows]
        heights = ticks(0, max(row["num_interactions"] for row in rows))
        panel = Panel(
            drawing, 46, 14, width - 60, 180, (days[0], days[-1] + length), (heights[0], heights[-1])
        )
        panel.y_axis(heights, [compact(height) for height in heights])
        for day, row in zip(days, rows, strict=True):
            left, right = panel.x(day), panel.x(day + length)
            gap = min(1.5, (right - left) * 0.15)
            title = f"{row['first_day']}: {whole(row['num_interactions'])}"
            top = panel.y(row["num_interactions"])
            drawing.rect(left, top, right - left - gap, panel.y(0) - top, "mark fill1", title=title)
        marks = _date_ticks(days[0], days[-1] + length, most=max(2, int(width // 95)))
        panel.x_axis([day for day, _ in marks], [label for _, label in marks])
        return drawing.render()

    table = Table(
        [f"First day of the {unit} (UTC)", "Interactions", "Right answers"],
        [
            [
                str(row["first_day"]),
                whole(row["num_interactions"]),
                whole(row["num_correct"]),
            ]
            for row in rows
        ],
        numeric=frozenset({1, 2}),
    )
    reading = f"The height of a bar is the number of questions given in that {unit}; a gap means none."
    return Figure("over-time", f"Interactions per {unit}", reading, draw, table)


def _date_ticks(first: int, last: int, most: int) -> list[tuple[int, str]]:
    """Return round dates between two day numbers: days, firsts of months or of years."""
    days = last - first
    if days <= 60:
        step = max(1, math.ceil(days / most))
        return [(day, f"{date.fromordinal(day):%d %b}") for day in range(first, last, step)]
    months = max(1, math.ceil(days / 30.4 / most))
    step = next((size for size in (1, 2, 3, 6) if size >= months), 12 * math.ceil(months / 12))
    marks = []
    for day in range(first, last):
        when = date.fromordinal(day)
        if when.day == 1 and (when.year * 12 + when.month - 1) % step == 0:
            marks.append((day, f"{when:%b %Y}" if step < 12 else f"{when:%Y}"))
    return marks or [(first, str(date.fromordinal(first)))]


def _rhythm(frame: pl.DataFrame) -> Figure:
    counts = {(row["weekday"], row["hour_of_day"]): row["num_interactions"] for row in frame.to_dicts()}
    most = max(counts.values())

    def draw(width: float) -> str:
        cell = (width - 46) / 24
        height = max(14.0, min(24.0, cell))
        drawing = Drawing(width, 7 * height + 44, "Interactions by weekday and hour of the day, UTC")
        for weekday, name in enumerate(WEEKDAYS, start=1):
            top = (weekday - 1) * height + 4
            drawing.text((36, top + height / 2 + 4), name, anchor="end")
            for hour in range(24):
                count = counts.get((weekday, hour), 0)
                title = f"{name} {hour:02d}:00: {whole(count)}"
                style = f"mark {shade(count / most)}"
                drawing.rect(42 + hour * cell, top, cell - 1, height - 1, style, title=title)
        for hour in range(0, 24, 3 if width > 500 else 6):
            drawing.text((42 + (hour + 0.5) * cell, 7 * height + 20), f"{hour:02d}", anchor="middle")
        drawing.text((42 + 12 * cell, 7 * height + 38), "hour of the day (UTC)", "name", anchor="middle")
        return drawing.render()

    rows = [
        [name, *(whole(counts.get((weekday, hour), 0)) for hour in range(24))]
        for weekday, name in enumerate(WEEKDAYS, start=1)
    ]
    columns = ["Weekday", *(f"{hour:02d}" for hour in range(24))]
    reading = (
        f"The stronger the color of a cell, the more questions in that hour of the week; "
        f"the strongest stands for {whole(most)}."
    )
    table = Table(columns, rows, numeric=frozenset(range(1, 25)))
    return Figure("rhythm", "Rhythm of the week", reading, draw, table)


def shade(share: float) -> str:
    """Return the style of a share in [0, 1] on the sequential scale; ``shade0`` is the lowest."""
    return f"shade{min(NUM_SHADES - 1, max(0, int(share * NUM_SHADES)))}"


def _per_student(frame: pl.DataFrame, points: dict[str, Any]) -> Figure:
    rows = dict(frame.select("doubling", "num_students").rows())
    doublings = list(range(min(rows), max(rows) + 1))

    def draw(width: float) -> str:
        drawing = Drawing(width, 234, "Number of students by number of interactions")
        heights = ticks(0, max(rows.values()))
        xs = (doublings[0], doublings[-1] + 1)
        panel = Panel(drawing, 46, 14, width - 62, 180, xs, (heights[0], heights[-1]))
        panel.y_axis(heights, [compact(height) for height in heights])
        for doubling in doublings:
            count = rows.get(doubling, 0)
            left, top = panel.at(doubling, count)
            size = panel.x(doubling + 1) - left - 2
            drawing.rect(left, top, size, panel.y(0) - top, "mark fill1", title=f"{_bin(doubling)}: {count}")
        step = max(1, math.ceil(len(doublings) * 48 / width))
        edges = [*doublings, doublings[-1] + 1][::step]
        panel.x_axis(edges, [whole(2**edge) for edge in edges])
        panel.x_title("interactions of a student (each bar doubles)")
        return drawing.render()

    quarter, middle, three, top = (whole(point) for point in points["points"])
    reading = (
        f"Each bar counts the students whose number of interactions lies between the two labels. Half of "
        f"them have between {quarter} and {three} (median {middle}); one in a hundred has more than {top}."
    )
    table = Table(
        ["Interactions", "Students"],
        [[_bin(doubling), whole(rows.get(doubling, 0))] for doubling in doublings],
        numeric=frozenset({1}),
    )
    return Figure("per-student", "Interactions per student", reading, draw, table)


def _bin(doubling: int) -> str:
    low, high = 2**doubling, 2 ** (doubling + 1) - 1
    return whole(low) if low == high else f"{whole(low)} – {whole(high)}"
