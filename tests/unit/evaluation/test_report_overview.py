"""The first page counts behaviors of click logs, and speaks of answers only where there are some."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import polars as pl
import pytest
from report_example import example_query

from edpipe.evaluation.report.overview import overview
from edpipe.evaluation.report.published import Published

CLICKS = """
create or replace table core.clicks as
select * from (values
    (1, 1, 'shop_a:1', timestamptz '2020-01-05 10:00:00+00'),
    (1, 2, 'shop_a:2', timestamptz '2020-02-05 10:00:00+00'),
    (2, 1, 'shop_a:1', timestamptz '2020-01-07 10:00:00+00'),
    (3, 9, 'shop_b:1', null)
) as rows(student_key, catalog_key, item_id, acted_at)
"""


@pytest.fixture
def both() -> Callable[[str], pl.DataFrame]:
    query = example_query()
    query(CLICKS)
    return query


def test_logs_of_clicks_stand_beside_answers(both):
    found = overview(Published(both))
    assert found.subtitle.startswith("ednet and clicks, ")
    assert ("Behaviors", "4", "of 3 students in logs of clicks") in found.key_figures
    assert "Students" in [name for name, _, _ in found.key_figures]
    answers, clicks = found.sections[1].tables
    assert answers.columns[0] == "Source"
    assert clicks.rows == [
        ["shop_a", "2", "3", "2", "2020-01-05 – 2020-02-05"],
        ["shop_b", "1", "1", "1", "–"],
    ]


def test_a_home_of_clicks_alone_shows_no_zeros():
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    tables = ("interactions", "students", "items", "kcs", "reconciliation")

    def query(sql: str) -> pl.DataFrame:
        return connection.execute(sql).pl()

    filled = example_query()
    connection.execute("create schema core")
    for name in tables:
        connection.register("given", filled(f"select * from core.{name} limit 0").to_arrow())
        connection.execute(f"create table core.{name} as select * from given")
    connection.execute(CLICKS)
    found = overview(Published(query))
    assert found.subtitle == "clicks, 2020-01-05 to 2020-02-05"
    assert [name for name, _, _ in found.key_figures] == ["Behaviors", "Reconciliation"]
    assert [table.columns[0] for table in found.sections[1].tables] == ["Log of clicks"]
    assert found.sections[1].words == []


def test_a_home_without_any_row_says_so():
    filled = example_query()
    filled("delete from core.interactions")
    found = overview(Published(filled))
    assert found.subtitle == "no source, without dates"
    assert [table.columns[0] for table in found.sections[1].tables] == ["Source"]
