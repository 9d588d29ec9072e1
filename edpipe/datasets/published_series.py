"""Published sets of time series with their usual splits, as tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.frequency import frequency_named
from edpipe.datasets.series import SeriesSet
from edpipe.errors import SettingsError, SourceError
from edpipe.sources.series import read_gluonts_series, read_long_series, read_row_series

# M4 and OULAD give no dates: their series start on a date that stands for none.
_NO_DATE: Final = np.datetime64("1970-01-01", "us")


def published_task(name: str, folder: Path) -> ForecastTask:
    """Read one of the published sets.

    Parameters
    ----------
    name
        One of :data:`PUBLISHED_TASKS`.
    folder
        Folder with the files.

    Raises
    ------
    SettingsError
        If the name is unknown.
    SourceError
        If a file is missing or not as published.
    """
    if name not in PUBLISHED_TASKS:
        raise SettingsError(
            "The set of series is unknown.",
            where="`name`",
            found=repr(name),
            expected=f"one of {', '.join(PUBLISHED_TASKS)}",
            next_step="Name one of these.",
        )
    return PUBLISHED_TASKS[name](folder)


def exchange_rate(folder: Path) -> ForecastTask:
    """Read eight exchange rates on business days; 5 rolling windows of 30 steps.

    The published test part repeats each series with five growing ends; the last holds all the others.
    """
    path = folder / "exchange_rate_nips.tar.gz"
    train = read_gluonts_series(path, "train")
    test = read_gluonts_series(path, "test")
    num_series, num_windows, prediction_length = len(train), 5, 30
    longest = test[-num_series:]
    frequency = frequency_named("business-daily")
    ends = np.array([len(one.target) for one in train], dtype=np.int64)
    expected = [
        (int(ends[number % num_series]) + prediction_length * (number // num_series + 1))
        for number in range(num_series * num_windows)
    ]
    if [len(one.target) for one in test] != expected:
        raise SourceError(
            "The test part is not as published.",
            where=f"{path}, part `test`",
            found=f"{len(test)} series",
            expected=f"{num_windows} growing ends of each of {num_series} series",
            next_step="Download the file again.",
        )
    series = SeriesSet.from_arrays(
        [one.series_id for one in train],
        [np.datetime64(one.start, "us") if one.start else _NO_DATE for one in longest],
        [one.target for one in longest],
        frequency,
    )
    return ForecastTask.rolling(
        "exchange_rate",
        series,
        context_length=360,
        prediction_length=prediction_length,
        num_windows=num_windows,
        lags=frequency.published_lags,
    )


def m4_hourly(folder: Path) -> ForecastTask:
    """Read the hourly series of the M4 competition; one window of 48 steps a series."""
    train = read_row_series(folder / "m4_hourly_train.csv")
    test = {one.series_id: one.target for one in read_row_series(folder / "m4_hourly_test.csv")}
    missing = [one.series_id for one in train if one.series_id not in test]
    if missing:
        raise SourceError(
            "Series lack their test steps.",
            where=str(folder / "m4_hourly_test.csv"),
            found=f"{len(missing)} of {len(train)} missing, first {missing[0]!r}",
            expected="a row for each series of the training file",
            next_step="Download both files again.",
        )
    series = SeriesSet.from_arrays(
        [one.series_id for one in train],
        np.full(len(train), _NO_DATE),
        [np.concatenate([one.target, test[one.series_id]]) for one in train],
        "hourly",
    )
    return ForecastTask.rolling(
        "m4_hourly", series, context_length=312, prediction_length=48, num_windows=1, lags=()
    )


def bike_sharing(folder: Path) -> ForecastTask:
    """Read bike hires an hour in Washington D.C.; 28 windows of a day."""
    frame = read_long_series(
        folder / "bike_sharing_hourly.csv",
        series_column=None,
        time_column="date_time",
        target_column="users",
    )
    return ForecastTask.rolling(
        "bike_sharing",
        SeriesSet.from_frame(frame, frequency="hourly", holes="zero"),
        context_length=336,
        prediction_length=24,
        num_windows=28,
        minimum=0.0,
    )


def website_visits(folder: Path) -> ForecastTask:
    """Read daily visitors of a site that teaches data science; 3 windows of four weeks."""
    frame = read_long_series(
        folder / "website_visits_daily.csv",
        series_column=None,
        time_column="date",
        target_column="users",
        time_format="%d/%m/%y",
    )
    return ForecastTask.rolling(
        "website_visits",
        SeriesSet.from_frame(frame, frequency="daily", holes="zero"),
        context_length=56,
        prediction_length=28,
        num_windows=3,
        minimum=0.0,
    )


def oulad(folder: Path) -> ForecastTask:
    """Read submissions a day of 15 courses of the Open University; 4 windows of two weeks each.

    Days count from the start of the course, so weekdays are unknown.
    """
    path = folder / "oulad_daily_assessments.csv"
    try:
        table = pl.read_csv(path)
        frame = table.select(
            pl.concat_str("code_module", "code_presentation", separator="-").alias("series_id"),
            (pl.lit(_NO_DATE) + pl.duration(days="day")).alias("time"),
            pl.col("n_submissions").cast(pl.Float64).alias("target"),
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            "Daily submissions cannot be read.",
            where=str(path),
            found=str(error).splitlines()[0],
            expected="a CSV table with module, presentation, day and number of submissions",
            next_step="Check the path and the file.",
        ) from error
    return ForecastTask.rolling(
        "oulad",
        SeriesSet.from_frame(frame, frequency="daily", holes="zero"),
        context_length=56,
        prediction_length=14,
        num_windows=4,
        minimum=0.0,
    )


PUBLISHED_TASKS: Final[dict[str, Callable[[Path], ForecastTask]]] = {
    "exchange_rate": exchange_rate,
    "m4_hourly": m4_hourly,
    "bike_sharing": bike_sharing,
    "website_visits": website_visits,
    "oulad": oulad,
}
