"""What students learn: error rate by opportunity, and mastery of students on KCs."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from edpipe.evaluation.report.activity import shade
from edpipe.evaluation.report.drawing import Drawing, Panel, grid_of_panels
from edpipe.evaluation.report.names import short_names
from edpipe.evaluation.report.numbers import decimal, percent, whole, wilson
from edpipe.evaluation.report.page import NARROW, Figure, Section, Table, missing
from edpipe.evaluation.report.published import Published

NUM_CURVES = 9
MOST_OPPORTUNITIES = 15
FEWEST_ANSWERS = 10
NUM_STUDENTS = 24
NUM_KCS = 20
# Letters that fit above a panel on a screen and on a phone; how wide a capital is, in pixels.
LONGEST_TITLES = (18, 11)
LETTER = 8.6

CURVES = f"""
with top_kcs as (
    select kc_key, count(*) as num_answers
    from core.opportunities
    where is_correct is not null
    group by kc_key
    order by num_answers desc, kc_key
    limit {NUM_CURVES}
)
select
    kcs.kc_id,
    top_kcs.num_answers,
    steps.opportunity,
    count(*) as num_students,
    count(*) filter (where not steps.is_correct) as num_wrong
from core.opportunities as steps
inner join top_kcs using (kc_key)
inner join core.kcs as kcs using (kc_key)
where steps.is_correct is not null and steps.opportunity <= {MOST_OPPORTUNITIES}
group by all
having count(*) >= {FEWEST_ANSWERS}
order by top_kcs.num_answers desc, kcs.kc_id, steps.opportunity
"""
# Predictions carry published ids only, so both tables are read by those; of several sources the largest.
HEAT_MAP = """
with met as (
    select student_id, kc_id, mastery
    from {relation}
    where num_opportunities > 0
        and source = (select source from {relation} group by source order by count(*) desc, source limit 1)
),
top_kcs as (
    select kc_id
    from met
    group by kc_id
    order by count(*) desc, kc_id
    limit {num_kcs}
),
candidates as (
    select student_id, count(*) as num_kcs
    from met
    inner join top_kcs using (kc_id)
    group by student_id
),
-- An even draw among students who have met at least half as many of these KCs as the one who met most.
chosen as (
    select student_id
    from candidates
    where num_kcs >= 0.5 * (select max(num_kcs) from candidates)
    order by md5(student_id), student_id
    limit {num_students}
)
select met.student_id, met.kc_id, met.mastery
from met
inner join chosen using (student_id)
inner join top_kcs using (kc_id)
"""
MASTERY_COLUMNS = ("source", "student_id", "kc_id", "mastery", "num_opportunities")


def learning(published: Published) -> Section:
    """Show learning curves of the most practiced KCs and a mastery heat map."""
    figures, words = [], []
    needed = ("kc_key", "opportunity", "is_correct")
    curves = published.ask(CURVES) if published.has("core.opportunities", *needed) else pl.DataFrame()
    if len(curves):
        figures.append(_learning_curves(curves))
    else:
        words.append(f"No KC has an opportunity met by {FEWEST_ANSWERS} students: no learning curves.")
    relations = ("predictions.kc_mastery", "features.kc_mastery")
    relation = next((name for name in relations if published.has(name, *MASTERY_COLUMNS)), None)
    if relation is None:
        words.append("There is no mastery table yet: `edpipe build` and batch scoring write one.")
    else:
        sql = HEAT_MAP.format(relation=relation, num_kcs=NUM_KCS, num_students=NUM_STUDENTS)
        frame = published.ask(sql)
        if len(frame):
            figures.append(_heat_map(frame, relation))
        else:
            words.append("The mastery table is empty.")
    if not figures:
        return missing("learning", "Learning", " ".join(words))
    return Section("learning", "Learning", words=words, figures=figures)


def _learning_curves(frame: pl.DataFrame) -> Figure:
    curves: dict[str, list[dict[str, Any]]] = {}
    for row in frame.to_dicts():
        row["share"] = row["num_wrong"] / row["num_students"]
        row["low"], row["high"] = wilson(row["num_wrong"], row["num_students"])
        curves.setdefault(row["kc_id"], []).append(row)
    names = list(curves)

    def fill(panel: Panel, index: int, labels: list[str]) -> None:
        steps = curves[names[index]]
        panel.title(f"KC {labels[index]}")
        panel.y_axis([0.0, 0.5, 1.0], ["0", "50", "100"])
        above = [panel.at(step["opportunity"], step["high"]) for step in steps]
        below = [panel.at(step["opportunity"], step["low"]) for step in steps]
        panel.drawing.path([*above, *reversed(below)], "mark band1", closed=True)
        points = [panel.at(step["opportunity"], step["share"]) for step in steps]
        panel.drawing.path(points, "mark line1")
        for step, point in zip(steps, points, strict=True):
            title = (
                f"KC {names[index]}, opportunity {step['opportunity']}: "
                f"{percent(step['share'])} wrong of {whole(step['num_students'])} students"
            )
            panel.drawing.dot(point, "mark fill1", radius=2.5, title=title)
        panel.x_axis([1, 5, 10, 15])

    def draw(width: float) -> str:
        labels = short_names(names, longest=LONGEST_TITLES[width <= NARROW])
        return grid_of_panels(
            len(names),
            width,
            "Share of wrong answers by opportunity, one panel per KC",
            partial(fill, labels=labels),
            smallest=165,
            ratio=0.62,
            xs=(1, MOST_OPPORTUNITIES),
            ys=(0, 1),
        )

    rows = [
        [
            kc,
            whole(step["opportunity"]),
            whole(step["num_students"]),
            percent(step["share"]),
            f"{percent(step['low'])} – {percent(step['high'])}",
        ]
        for kc, steps in curves.items()
        for step in steps
    ]
    columns = ["KC", "Opportunity", "Students", "Wrong", "95 % interval"]
    reading = (
        "Each panel is one of the most practiced KCs: the share of wrong answers, in percent, when students "
        "meet it the first, second, … time, with a 95 % band; a falling line is what learning looks like. "
        "Students who stop early leave the line, so its end describes those who went on."
    )
    table = Table(columns, rows, numeric=frozenset({1, 2, 3, 4}))
    return Figure("learning-curves", "Learning curves", reading, draw, table)


def _heat_map(frame: pl.DataFrame, relation: str) -> Figure:
    values = {(row["student_id"], row["kc_id"]): row["mastery"] for row in frame.to_dicts()}
    by_student = frame.group_by("student_id").agg(pl.col("mastery").mean()).sort("mastery", "student_id")
    by_kc = frame.group_by("kc_id").agg(pl.col("mastery").mean()).sort("mastery", "kc_id")
    students, kcs = by_student["student_id"].to_list(), by_kc["kc_id"].to_list()
    student_labels, kc_labels = short_names(students), short_names(kcs)

    def draw(width: float) -> str:
        left = max(64.0, 10 + LETTER * max(len(label) for label in student_labels))
        cell = min(48.0, (width - left - 4) / len(kcs))
        height = min(18.0, max(13.0, cell))
        below = 12 + 7.0 * max(len(label) for label in kc_labels)
        label = "Mastery of students (rows) on KCs (columns)"
        drawing = Drawing(width, len(students) * height + below, label)
        for row, student in enumerate(students):
            drawing.text((left - 6, (row + 0.5) * height + 4), student_labels[row], anchor="end")
            for column, kc in enumerate(kcs):
                value = values.get((student, kc))
                title = f"student {student}, KC {kc}: {'not met' if value is None else decimal(value, 2)}"
                x, y = left + column * cell, row * height
                if value is None:
                    center = (x + cell / 2, y + height / 2)
                    drawing.dot(center, "mark absent", radius=1.3, title=title)
                else:
                    drawing.rect(x, y, cell - 1, height - 1, f"mark {shade(value)}", title=title)
        base = len(students) * height
        for column in range(len(kcs)):
            at = (left + (column + 0.5) * cell + 4, base + 6)
            drawing.text(at, kc_labels[column], anchor="end", turned=True)
        return drawing.render()

    rows = [[student, *(decimal(values.get((student, kc)), 2) for kc in kcs)] for student in students]
    origin = (
        "the registered model"
        if relation.startswith("predictions")
        else "the recency-weighted share of right answers"
    )
    reading = (
        f"A row is a student, a column a KC, the color the mastery estimated by {origin} "
        "(`" + relation + "`); students and KCs are sorted by their mean, a dot is a KC not met."
    )
    legend = [(f"shade{index}", text) for index, text in ((0, "0"), (2, ""), (4, "0.5"), (6, ""), (8, "1"))]
    table = Table(["Student", *kcs], rows, numeric=frozenset(range(1, len(kcs) + 1)))
    return Figure("mastery", "Mastery of students on KCs", reading, draw, table, legend=legend)
