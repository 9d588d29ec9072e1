"""What the data are: sources, counts, and whether every source row is accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from edpipe.evaluation.report.numbers import NOTHING, percent, whole
from edpipe.evaluation.report.page import Cell, Section, Table, missing
from edpipe.evaluation.report.published import Published

SOURCES = """
with answers as (
    select
        source,
        count(*) as num_interactions,
        count(*) filter (where not is_answered) as num_unanswered,
        count(is_correct) as num_marked,
        count(*) filter (where is_correct) as num_correct,
        strftime(min(answered_at) at time zone 'UTC', '%Y-%m-%d') as first_day,
        strftime(max(answered_at) at time zone 'UTC', '%Y-%m-%d') as last_day
    from core.interactions
    group by source
),
students as (select source, count(*) as num_students from core.students group by source),
items as (select source, count(*) as num_items from core.items group by source),
kcs as (select source, count(*) as num_kcs from core.kcs group by source)
select *
from answers
left join students using (source)
left join items using (source)
left join kcs using (source)
order by source
"""

CLICKS = """
select
    split_part(item_id, ':', 1) as log,
    count(distinct student_key) as num_students,
    count(*) as num_behaviors,
    count(distinct catalog_key) as num_items,
    strftime(min(acted_at) at time zone 'UTC', '%Y-%m-%d') as first_day,
    strftime(max(acted_at) at time zone 'UTC', '%Y-%m-%d') as last_day
from core.clicks
group by log
order by log
"""

RECONCILIATION = """
select check_name, source, relation, observed, expected, is_ok, detail, {severity} as severity
from core.reconciliation
order by coalesce(is_ok, false), severity, source, relation, check_name
"""
NUMERIC = frozenset({1, 2, 3, 4, 5, 6})
CLICKS_NUMERIC = frozenset({1, 2, 3})


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of the whole warehouse, and the sections that show them."""

    key_figures: list[tuple[str, str, str]]
    subtitle: str
    sections: list[Section]
    warnings: list[str]


def overview(published: Published) -> Overview:
    """Count what is published and list the checks of the last build."""
    if not published.has("core.interactions"):
        reason = "No warehouse has been built here: the models learned from files."
        sections = [
            missing("reconciliation", "Reconciliation", reason),
            missing("sources", "Sources", reason),
        ]
        return Overview([], "models of files", sections, [])
    sources = published.ask(SOURCES)
    checks, warnings, state = _reconciliation(published)
    marked = _total(sources, "num_marked")
    share = _total(sources, "num_correct") / marked if marked else None
    clicks = published.ask(CLICKS) if published.has("core.clicks") else pl.DataFrame()
    dated = [part for part in (sources, clicks) if not part.is_empty()]
    days = [day for part in dated for day in [*part["first_day"], *part["last_day"]] if day]
    names = " and ".join([*sources["source"], *([] if clicks.is_empty() else ["clicks"])]) or "no source"
    period = f"{min(days)} to {max(days)}" if days else "without dates"
    figures = [
        ("Students", whole(_total(sources, "num_students")), ""),
        ("Interactions", whole(_total(sources, "num_interactions")), "questions given"),
        ("Right answers", percent(share), "of answered questions"),
        ("Unanswered", whole(_total(sources, "num_unanswered")), "neither right nor wrong"),
        ("Items", whole(_total(sources, "num_items")), "in the contents tables"),
        ("KCs", whole(_total(sources, "num_kcs")), "knowledge components"),
        ("Reconciliation", *state),
    ]
    if not clicks.is_empty():
        told = f"of {whole(_total(clicks, 'num_students'))} students in logs of clicks"
        figures.insert(-1, ("Behaviors", whole(_total(clicks, "num_behaviors")), told))
        if sources.is_empty():
            # Without an answered question, six zeros would hide what there is.
            figures = figures[-2:]
    return Overview(figures, f"{names}, {period}", [checks, _sources(sources, clicks)], warnings)


def _total(sources: pl.DataFrame, column: str) -> int:
    return int(sources[column].fill_null(0).sum())


def _clicks(clicks: pl.DataFrame) -> Table:
    rows = [
        [
            row["log"],
            whole(row["num_students"]),
            whole(row["num_behaviors"]),
            whole(row["num_items"]),
            _period(row),
        ]
        for row in clicks.to_dicts()
    ]
    columns = ["Log of clicks", "Students", "Behaviors", "Items", "Period (UTC)"]
    return Table(columns, rows, numeric=CLICKS_NUMERIC)


def _period(row: dict[str, str]) -> str:
    return f"{row['first_day']} – {row['last_day']}" if row["first_day"] else NOTHING


def _sources(sources: pl.DataFrame, clicks: pl.DataFrame) -> Section:
    rows = [
        [
            row["source"],
            whole(row["num_students"]),
            whole(row["num_interactions"]),
            percent(row["num_correct"] / max(1, row["num_marked"])),
            whole(row["num_unanswered"]),
            whole(row["num_items"]),
            whole(row["num_kcs"]),
            _period(row),
        ]
        for row in sources.to_dicts()
    ]
    columns = ["Source", "Students", "Interactions", "Right", "Unanswered", "Items", "KCs", "Period (UTC)"]
    words = []
    tables = []
    if not sources.is_empty() or clicks.is_empty():
        words.append(
            "Unanswered questions are kept apart: they are neither right nor wrong, and no model trains on "
            "them."
        )
        tables.append(Table(columns, rows, numeric=NUMERIC))
    if "ednet" in sources["source"]:
        words.append("EdNet's dates were shifted before publication; read them as relative.")
    if not clicks.is_empty():
        tables.append(_clicks(clicks))
    return Section("sources", "Sources", words=words, tables=tables)


def _reconciliation(published: Published) -> tuple[Section, list[str], tuple[str, str]]:
    name, title = "reconciliation", "Reconciliation"
    if not published.has("core.reconciliation", "check_name", "is_ok"):
        reason = "There is no reconciliation table: `edpipe build` writes it."
        return missing(name, title, reason), [reason], (NOTHING, "not made")
    severity = "severity" if published.has("core.reconciliation", "severity") else "'error'"
    rows = published.ask(RECONCILIATION.format(severity=severity)).to_dicts()
    counts = [row for row in rows if row["severity"] == "info"]
    checks = [row for row in rows if row["severity"] != "info"]
    failed = [row for row in checks if not row["is_ok"]]
    passed = [row for row in checks if row["is_ok"]]
    words = [
        "Each check compares what the tables hold with what the source rows, or a published identity, demand."
    ]
    warnings: list[str] = []
    if failed:
        words.append(
            f"{len(failed)} of {len(checks)} checks {'does' if len(failed) == 1 else 'do'} not hold. "
            "Marked as lost: rows were lost or invented "
            "on the way. Marked as odd: something in the source, kept in the tables and counted."
        )
        warnings += _reconciliation_warnings(failed, len(checks))
    elif checks:
        words.append(f"All {len(checks)} checks hold: every source row is accounted for.")
    else:
        words.append("No check was made.")
    parts = (
        (passed, f"{len(passed)} checks that hold"),
        (counts, f"{len(counts)} counts to know, without an expectation"),
    )
    section = Section(
        name,
        title,
        words=words,
        tables=[_checks(failed, "Checks that do not hold")] if failed else [],
        folded=[_checks(rows, caption) for rows, caption in parts if rows],
    )
    return section, warnings, (f"{len(passed)} / {len(checks)}", "checks hold")


def _reconciliation_warnings(failed: list[dict[str, object]], num_checks: int) -> list[str]:
    odd = [check for check in failed if check["severity"] == "warning"]
    kinds = (
        (len(failed) - len(odd), "failed: rows were lost or invented on the way. Do not use these tables"),
        (len(odd), "found something odd in the source, which is kept"),
    )
    return [
        f"{number} of {num_checks} reconciliation checks {words} (see below)."
        for number, words in kinds
        if number
    ]


def _checks(checks: list[dict[str, object]], caption: str) -> Table:
    rows: list[list[Cell | str]] = [
        [
            _state(check),
            str(check["check_name"]).replace("_", " "),
            f"{check['source'] or ''} {check['relation'] or ''}".strip(),
            _value(check["observed"]),
            _value(check["expected"]),
            str(check["detail"] or ""),
        ]
        for check in checks
    ]
    columns = ["State", "Check", "Relation", "Observed", "Expected", "In words"]
    return Table(columns, rows, caption=caption, numeric=frozenset({3, 4}))


def _state(check: dict[str, object]) -> Cell:
    """Errors mean lost or invented rows; warnings are oddities of the source that stay in the tables."""
    if check["severity"] == "info":
        return Cell("count")
    if check["is_ok"]:
        return Cell("holds", state="good")
    return Cell("odd" if check["severity"] == "warning" else "lost", state="bad")


def _value(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return str(value)
    number = float(value)
    return whole(number) if number.is_integer() else f"{number:,.4g}"
