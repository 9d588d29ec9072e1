"""The report says of each family what drifted, draws it, and has no section where nobody looked."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from report_example import example_query

from edpipe.evaluation.drift.compare import SCHEMA
from edpipe.evaluation.report import drift as section
from edpipe.evaluation.report import write_report

SINCE, CHECKED = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, 2, 0, tzinfo=UTC)
ROWS = [
    ("input", "elapsed_seconds", None, 900, 40, 0.31, 0.05, None, None, None, None, "strong"),
    ("input", "items a day", None, 900, 40, 0.02, 0.05, None, None, None, None, "stable"),
    ("score", "probability", None, 900, 40, 0.13, 0.05, None, None, None, None, "some"),
    *(
        (
            *("calibration", f"2026-03-{day:02}", datetime(2026, 3, day, tzinfo=UTC), 225, 30),
            *(value, None, value - 0.03, value + 0.03, 0.7, 0.7 + value, "stable"),
        )
        for day, value in ((2, 0.01), (9, -0.02), (16, 0.0), (23, 0.02))
    ),
    ("unseen", "items", None, 900, 40, 0.08, None, None, None, None, None, "some"),
    ("volume", "rows a day", None, 900, 40, 1.1, None, None, None, None, None, "stable"),
]


@pytest.fixture
def checked(monkeypatch):
    rows = pl.DataFrame(ROWS, schema=SCHEMA, orient="row").with_columns(
        family=pl.lit("tracing"), model_version=pl.lit(3), since=pl.lit(SINCE), checked_at=pl.lit(CHECKED)
    )
    monkeypatch.setattr(section, "latest_drift", lambda settings: rows)
    return rows


def test_signs_are_counted_and_drawn_and_a_strong_one_is_a_warning(checked, settings):
    (found,) = section.drift(settings)
    assert found.words == [
        "tracing version 3, checked 2026-04-01 02:00 UTC, since 2026-03-01: 3 signs of drift."
    ]
    assert [figure.name for figure in found.figures] == ["drift-index", "drift-weeks"]
    assert section.drift_warnings(settings) == [
        "What tracing is asked about has drifted since its training: input elapsed_seconds."
    ]
    text = write_report(settings, run_dir=None, query=example_query()).read_text("utf-8")
    assert 'id="drift-index"' in text
    assert "elapsed_seconds: 0.310" in text


def test_where_nobody_looked_there_is_no_section(settings):
    assert section.drift(settings) == []
    assert section.drift_warnings(settings) == []
