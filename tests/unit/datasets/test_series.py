"""Series sets: a regular grid, holes by a named rule, counts that add up."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edpipe.datasets.frequency import FREQUENCIES, frequency_named, infer_frequency
from edpipe.datasets.series import SeriesSet
from edpipe.errors import ContractError, SettingsError

at = datetime.fromisoformat


def table(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["series_id", "time", "target"], orient="row")


DAY = at("2024-01-01")


@pytest.mark.parametrize("frequency", FREQUENCIES, ids=lambda one: one.name)
def test_moments_and_steps_go_back_and_forth(frequency):
    start = np.datetime64("2024-01-31T00:00", "us")
    times = frequency.times(start, np.arange(300))
    number, offset = frequency.number(times)
    np.testing.assert_array_equal(np.diff(number), 1)
    assert len(set(offset.tolist())) == 1
    assert infer_frequency(times) == frequency
    assert times[0] == start


def test_months_keep_their_day_or_have_their_last():
    found = frequency_named("M").times(np.datetime64("2023-12-30T06:00"), np.arange(4))
    days = ["2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30"]
    assert found.tolist() == [at(f"{day} 06:00") for day in days]


def test_business_days_leave_weekends_out():
    frequency = frequency_named("B")
    found = frequency.times(np.datetime64("2024-01-05"), np.arange(2))  # a Friday
    assert found.astype("datetime64[D]").astype(str).tolist() == ["2024-01-05", "2024-01-08"]
    with pytest.raises(ContractError, match="not on a business-daily grid"):
        SeriesSet.from_frame(
            table([("a", date(2024, 1, 5), 1.0), ("a", date(2024, 1, 6), 1.0)]), frequency="B", holes="zero"
        )


def test_an_unknown_frequency_is_refused():
    with pytest.raises(SettingsError, match="hourly"):
        frequency_named("fortnightly")


@given(
    st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), st.integers(0, 1000), min_size=2)
)
def test_counts_add_up_whatever_is_missing(cells):
    rows = [(name, DAY + timedelta(days=day), float(count)) for (name, day), count in cells.items()]
    found = SeriesSet.from_frame(table(rows), frequency="daily", holes="zero")
    assert not np.isnan(found.values).any()
    for number, name in enumerate(found.ids):
        of_series = {day: count for (owner, day), count in cells.items() if owner == name}
        assert found.target(number).sum() == sum(of_series.values())
        assert found.lengths[number] == max(of_series) - min(of_series) + 1
    back = SeriesSet.from_frame(found.to_frame(), frequency="daily", holes="mask")
    np.testing.assert_array_equal(back.values, found.values)
    np.testing.assert_array_equal(back.starts, found.starts)


def test_holes_are_zero_for_counts_and_unobserved_for_rates():
    rows = [("a", DAY, 1.0), ("a", DAY + timedelta(days=1), None), ("a", DAY + timedelta(days=3), 4.0)]
    counts = SeriesSet.from_frame(table(rows), frequency="daily", holes="zero")
    np.testing.assert_array_equal(counts.target(0), [1, np.nan, 0, 4])
    rates = SeriesSet.from_frame(table(rows), frequency="daily", holes="mask")
    np.testing.assert_array_equal(rates.target(0), [1, np.nan, np.nan, 4])


def test_a_common_end_fills_what_stays_away():
    rows = [("a", DAY, 1.0), ("b", DAY, 2.0), ("b", DAY + timedelta(days=2), 3.0)]
    found = SeriesSet.from_frame(table(rows), frequency="daily", holes="zero", common_end=True)
    np.testing.assert_array_equal(found.target(0), [1, 0, 0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", DAY, 1.0), ("a", DAY, 2.0)], "Moments repeat"),
        ([("a", DAY, 1.0), ("a", DAY + timedelta(hours=5), 2.0)], "not on a daily grid"),
        ([("a", DAY, 1.0), (None, DAY, 2.0)], "no key"),
        ([("a", DAY, float("inf"))], "not finite"),
        ([], "empty"),
    ],
)
def test_broken_tables_are_refused(rows, message):
    frame = table(rows) if rows else table([("a", DAY, 1.0)]).clear()
    with pytest.raises(ContractError, match=message):
        SeriesSet.from_frame(frame, frequency="daily", holes="zero")


def test_a_moment_in_another_zone_is_the_same_moment():
    frame = table([("a", DAY, 1.0), ("a", DAY + timedelta(hours=1), 2.0)])
    zoned = frame.with_columns(pl.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Seoul"))
    found = SeriesSet.from_frame(zoned, holes="zero")
    assert found.frequency.name == "hourly"
    assert found.starts[0] == np.datetime64(DAY)


def test_cut_and_take_keep_names_and_starts():
    rows = [(name, DAY + timedelta(days=day), float(day)) for name in "ab" for day in range(5)]
    found = SeriesSet.from_frame(table(rows), holes="zero")
    cut = found.cut(np.array([2, 9]))
    assert cut.lengths.tolist() == [2, 5]
    taken = found.take(np.array([1]))
    assert taken.ids == ("b",)
    np.testing.assert_array_equal(taken.times(0), found.times(1))


def test_equal_names_are_refused():
    with pytest.raises(ContractError, match="same name"):
        SeriesSet.from_arrays(["a", "a"], np.full(2, np.datetime64("2024-01-01")), [np.ones(2)] * 2, "D")


def test_a_frequency_that_cannot_be_told_is_asked_for():
    rows = [("a", DAY, 1.0), ("b", DAY, 1.0)]
    with pytest.raises(ContractError, match="cannot be told"):
        SeriesSet.from_frame(table(rows), holes="zero")
    assert SeriesSet.from_frame(table(rows), frequency="D", holes="zero").num_series == 2
