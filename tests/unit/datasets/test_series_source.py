"""Which cells and series reach a forecaster, and what is said of the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from edpipe.datasets.frequency import frequency_named
from edpipe.datasets.series_source import (
    account_words,
    activity_series,
    fingerprint_of,
    lengths_of,
    sourced_task,
    task_of,
)
from edpipe.errors import TrainingError
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.settings import Settings

START = datetime(2024, 1, 1, tzinfo=UTC)


def activity(students: dict[str, list[int]], *, answers_each: int = 4) -> pl.DataFrame:
    """One row a series and day with at least one student; half of the answers are right."""
    rows = [
        (name, START + timedelta(days=day), count * answers_each, count, count * answers_each, count * 2)
        for name, counts in students.items()
        for day, count in enumerate(counts)
        if count
    ]
    columns = ["series_id", "started_at", "num_interactions", "num_students", "num_scored", "num_correct"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def asked(**given: object) -> TSDiffSettings:
    return TSDiffSettings(
        **{"min_students": 3, "context_length": 7, "prediction_length": 2, "num_windows": 2, **given}
    )


def test_days_of_few_students_are_unobserved_and_counted_and_days_of_none_are_zero():
    found = activity_series(activity({"s": [5, 2, 0, 1, 4, 6, 9, 5]}), asked())
    np.testing.assert_array_equal(found.series.target(0), [20, np.nan, 0, np.nan, 16, 24, 36])
    assert found.account["num_suppressed"] == 2
    assert found.account["num_cells"] == 7
    assert account_words(found.account) == ("2 of 7 periods have too few students and are suppressed.",)


def test_the_last_day_of_the_log_is_left_out_for_every_series():
    found = activity_series(activity({"a": [5, 5, 5, 5], "b": [5, 5, 5, 0]}), asked())
    assert found.account["num_open"] == 1
    assert found.series.lengths.tolist() == [3, 3]


def test_a_series_that_ends_early_goes_on_with_zeros():
    found = activity_series(activity({"a": [5, 5, 5, 5, 5], "b": [5, 5, 0, 0, 0]}), asked())
    np.testing.assert_array_equal(found.series.target(1), [20, 20, 0, 0])


def test_a_series_that_is_mostly_suppressed_is_left_out():
    found = activity_series(activity({"large": [5] * 6, "small": [2, 1, 2, 5, 1, 1]}), asked())
    assert found.series.ids == ("large",)
    assert found.account["num_mostly_suppressed"] == 1


def test_nothing_left_is_an_error_that_names_the_rule():
    with pytest.raises(TrainingError, match="periods suppressed"):
        activity_series(activity({"small": [1, 2, 1, 2]}), asked())
    with pytest.raises(TrainingError, match="no closed period"):
        activity_series(activity({}), asked())


def test_a_share_of_few_answers_is_not_observed_and_of_none_neither():
    found = activity_series(activity({"s": [5, 3, 0, 5, 5]}), asked(measure="accuracy", min_scored=15))
    np.testing.assert_array_equal(found.series.target(0), [0.5, np.nan, np.nan, 0.5])
    assert found.account["num_few_scored"] == 1
    assert (found.minimum, found.maximum) == (0.0, 1.0)


def test_students_can_be_forecast_instead_of_answers():
    found = activity_series(activity({"s": [5, 3, 4]}), asked(measure="students"))
    assert found.series.target(0).tolist() == [5, 3]


def test_series_that_are_too_short_are_left_out_of_the_task_and_counted():
    grown = activity({"long": [5] * 40, "late": [0] * 30 + [5] * 10})
    found = task_of(activity_series(grown, asked()), asked())
    assert found.task.series.ids == ("long",)
    assert found.sourced.account["num_too_short"] == 1
    with pytest.raises(TrainingError, match="at least 19 steps"):
        task_of(activity_series(activity({"s": [5] * 10}), asked()), asked())


def test_the_fingerprint_follows_values_and_windows_but_not_the_context():
    series = activity_series(activity({"s": [5] * 40}), asked())
    first = fingerprint_of(task_of(series, asked()).task)
    assert fingerprint_of(task_of(series, asked(context_length=9)).task) == first
    assert fingerprint_of(task_of(series, asked(num_windows=3)).task) != first
    other = activity_series(activity({"s": [5] * 38 + [6, 5]}), asked())
    assert fingerprint_of(task_of(other, asked()).task) != first


def test_lengths_that_are_left_open_follow_the_frequency():
    assert lengths_of(TSDiffSettings(), frequency_named("daily")) == (56, 14)
    assert lengths_of(TSDiffSettings(), frequency_named("hourly")) == (168, 24)


def test_a_file_of_series_is_a_task_without_a_warehouse(settings: Settings, tmp_path):
    path = tmp_path / "visits.csv"
    days = pl.date_range(START.date(), START.date() + timedelta(days=59), eager=True)
    pl.DataFrame({"series_id": "visits", "time": days, "target": range(60)}).write_csv(path)
    tsdiff = settings.tsdiff.model_copy(
        update={"file": str(path), "context_length": 14, "prediction_length": 7, "num_windows": 1}
    )
    found = sourced_task(settings.model_copy(update={"tsdiff": tsdiff}))
    assert found.task.name == "file"
    assert found.task.test_begins.tolist() == [53]
    assert found.task.minimum == 0.0
