import numpy as np
import pytest

from edpipe.datasets.calendar_features import calendar_features, num_calendar_features
from edpipe.datasets.frequency import FREQUENCIES, frequency_named
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_batches import WindowEncoder
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_windows import Windows, WindowShape


@pytest.mark.parametrize("frequency", FREQUENCIES, ids=lambda frequency: frequency.name)
def test_numbers_and_moments_of_a_grid_belong_together(frequency):
    numbers = np.arange(-400, 3_000, 7)
    times = frequency.times_of(numbers)
    again, _ = frequency.number(times)
    np.testing.assert_array_equal(again, numbers)
    features = calendar_features(frequency, times)
    assert features.shape == (len(numbers), num_calendar_features(frequency))
    assert np.abs(features).max() <= 1


def test_days_are_told_by_weekday_from_monday():
    monday = np.datetime64("2024-01-01", "us")
    days = monday + np.arange(14) * np.timedelta64(1, "D")
    np.testing.assert_array_equal(
        calendar_features(frequency_named("daily"), days), np.tile(np.eye(7), (2, 1))
    )


def test_hours_are_told_by_weekday_and_waves_of_the_day():
    hours = np.datetime64("2024-01-02", "us") + np.array([0, 6, 12, 18, 23]) * np.timedelta64(1, "h")
    found = calendar_features(frequency_named("hourly"), hours)
    np.testing.assert_array_equal(found[:, :7], np.tile(np.eye(7)[1], (5, 1)))
    angle = 2 * np.pi * np.array([0, 6, 12, 18, 23]) / 24
    expected = np.stack([np.sin(angle), np.sin(2 * angle), np.cos(angle), np.cos(2 * angle)], axis=1)
    np.testing.assert_allclose(found[:, 7:], expected, atol=1e-6)


def test_months_come_back_each_year():
    months = np.array(["2023-03", "2024-03", "2023-09"], dtype="datetime64[M]").astype("datetime64[us]")
    first, again, other = calendar_features(frequency_named("monthly"), months)
    np.testing.assert_allclose(first, again, atol=0.04)  # leap years begin March a day later
    assert np.abs(first - other).max() > 1


@pytest.mark.parametrize("name", ["hourly", "daily", "business-daily", "weekly", "monthly"])
def test_windows_are_told_the_calendar_of_their_own_steps(name):
    starts = [np.datetime64("2024-02-01T05:00", "us"), np.datetime64("2024-05-03T05:00", "us")]
    frequency = frequency_named(name)
    series = SeriesSet.from_arrays(["a", "b"], starts, [np.arange(40.0)] * 2, frequency)
    scaling = Scaling.fit(series, series.lengths, "context_mean")
    windows = Windows(np.array([0, 1]), np.array([20, 40]))
    batch = WindowEncoder(series, WindowShape(6, 3, ()), scaling).encode(windows, with_future=False)
    for row, (number, origin) in enumerate([(0, 20), (1, 40)]):
        # Months and weeks are told by their beginning; the others by the moment, but for the hour of a day.
        times = frequency.times_of(
            frequency.number(frequency.times(starts[number], np.arange(origin - 6, origin + 3)))[0]
        )
        np.testing.assert_array_equal(batch.calendar[row], calendar_features(frequency, times))
