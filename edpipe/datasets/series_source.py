"""Series to forecast: activity out of the warehouse, or a file of the user's; short cells suppressed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.frequency import Frequency
from edpipe.datasets.series import SeriesSet
from edpipe.errors import TrainingError
from edpipe.setting_groups_forecast import DEFAULT_CONTEXT, DEFAULT_PREDICTION, TSDiffSettings
from edpipe.settings import Settings
from edpipe.sources.series import read_long_series

FILE_SOURCE: Final = "file"
TABLE: Final = "features.activity_series"
# A series of which less is observed says more of the rule that hid the rest than of its students.
LEAST_OBSERVED: Final = 0.5
_SERIES: Final = f"""
    select series_id, started_at, num_interactions, num_students, num_scored, num_correct
    from {TABLE}
    where source = ? and grain = ? and grouped_by in (?, ?)
    order by series_id, started_at
"""
_GROUPS: Final = {"all": ("total", "part"), "total": ("total", "total"), "part": ("part", "part")}
_FREQUENCIES: Final = {"hour": "hourly", "day": "daily"}


@dataclass(frozen=True, slots=True, eq=False)
class SourcedSeries:
    """Series with an account of what was left out, by named rule.

    Attributes
    ----------
    series
        The series.
    source
        Source of the logs, or ``file``.
    minimum, maximum
        Least and greatest possible value; None if there is none.
    account
        Numbers: ``num_cells`` of the grid, ``num_suppressed`` of them with too few students,
        ``num_few_scored`` with too few answers for a share, ``num_open`` rows of the last period, which the
        log may not fill, ``num_mostly_suppressed`` and, for a task, ``num_too_short`` series.
    """

    series: SeriesSet
    source: str
    minimum: float | None
    maximum: float | None
    account: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class SourcedTask:
    """A task, where its series come from, and a fingerprint of its values and windows."""

    task: ForecastTask
    sourced: SourcedSeries
    fingerprint: str


def sourced_series(settings: Settings) -> SourcedSeries:
    """Return the series that ``settings.tsdiff`` describes, from its file or from the published tables.

    Raises
    ------
    TrainingError
        If there is no usable series.
    ContractError
        If nothing has been published, or the file breaks the grid.
    """
    asked = settings.tsdiff
    if asked.file:
        return file_series(read_long_series(Path(asked.file)), asked)
    from edpipe import warehouse

    with warehouse.open_reader(settings) as connection:
        rows = connection.execute(_SERIES, [asked.source, asked.grain, *_GROUPS[asked.series]]).pl()
    return activity_series(rows, asked)


def file_series(
    frame: pl.DataFrame, asked: TSDiffSettings, *, frequency: Frequency | str | None = None
) -> SourcedSeries:
    """Return the series of a long table ``series_id, time, target``; nothing of it is suppressed."""
    series = SeriesSet.from_frame(frame, holes=asked.holes, frequency=frequency)
    known = series.values[~np.isnan(series.values)]
    minimum = 0.0 if len(known) and known.min() >= 0 else None
    return SourcedSeries(series, FILE_SOURCE, minimum, None, {"num_cells": len(series.values)})


def activity_series(rows: pl.DataFrame, asked: TSDiffSettings) -> SourcedSeries:
    """Return series of activity, small cells unobserved, mostly suppressed series left out.

    A period without a row is 0 for counts and unobserved for shares. The last period of the source is left
    out: the log may end in the middle of it.

    Parameters
    ----------
    rows
        ``series_id, started_at, num_interactions, num_students, num_scored, num_correct``.
    asked
        Measure, grain, and how many students and answers a cell needs.

    Raises
    ------
    TrainingError
        If no series is left.
    """
    closed = rows.filter(pl.col("started_at") < pl.col("started_at").max())
    is_share = asked.measure == "accuracy"
    value = {
        "interactions": pl.col("num_interactions").cast(pl.Float64),
        "students": pl.col("num_students").cast(pl.Float64),
        "accuracy": pl.col("num_correct") / pl.col("num_scored"),
    }[asked.measure]
    is_small = pl.col("num_students") < asked.min_students
    has_few = (pl.col("num_scored") < asked.min_scored) & ~is_small if is_share else pl.lit(value=False)
    marked = closed.with_columns(is_small=is_small, has_few=has_few)
    if not marked.height:
        raise _nothing(asked, "no closed period with an answer")
    series = SeriesSet.from_frame(
        marked.select(
            "series_id",
            pl.col("started_at").alias("time"),
            pl.when(pl.col("is_small") | pl.col("has_few")).then(None).otherwise(value).alias("target"),
        ),
        frequency=_FREQUENCIES[asked.grain],
        holes="mask" if is_share else "zero",
        common_end=True,
    )
    observed = np.array([np.isfinite(series.target(one)).mean() for one in range(series.num_series)])
    kept = np.flatnonzero(observed >= LEAST_OBSERVED)
    account = {
        "num_cells": len(series.values),
        "num_suppressed": int(marked["is_small"].sum()),
        "num_few_scored": int(marked["has_few"].sum()),
        "num_open": rows.height - closed.height,
        "num_mostly_suppressed": series.num_series - len(kept),
    }
    if not len(kept):
        raise _nothing(asked, f"{account['num_suppressed']:,} of {marked.height:,} periods suppressed")
    return SourcedSeries(series.take(kept), asked.source, 0.0, 1.0 if is_share else None, account)


def lengths_of(asked: TSDiffSettings, frequency: Frequency) -> tuple[int, int]:
    """Return context and prediction in steps; what the settings leave open follows the frequency."""
    grain = "hour" if 0 < frequency.step_seconds <= 3_600 else "day"
    return (
        asked.context_length or DEFAULT_CONTEXT[grain],
        asked.prediction_length or DEFAULT_PREDICTION[grain],
    )


def sourced_task(settings: Settings) -> SourcedTask:
    """Return series with validation and test windows; too short ones are left out and counted.

    Raises
    ------
    TrainingError
        If no series is long enough.
    """
    return task_of(sourced_series(settings), settings.tsdiff)


def task_of(sourced: SourcedSeries, asked: TSDiffSettings) -> SourcedTask:
    """Return the task that settings make of series."""
    series = sourced.series
    context, prediction = lengths_of(asked, series.frequency)
    # What lies before validation must hold a window to learn from and one to choose by.
    needed = context + prediction * (2 + 2 * asked.num_windows)
    kept = np.flatnonzero(series.lengths >= needed)
    if not len(kept):
        raise TrainingError(
            "No series is long enough.",
            where=f"series of {sourced.source!r}",
            found=f"the longest has {int(series.lengths.max()):,} {series.frequency.name} steps",
            expected=f"at least {needed:,} steps: context {context}, prediction {prediction}, "
            f"{asked.num_windows} windows each of validation and test",
            next_step="Lower `tsdiff.context_length`, `tsdiff.prediction_length` or `tsdiff.num_windows`.",
            state="Nothing was written.",
        )
    account = {**sourced.account, "num_too_short": series.num_series - len(kept)}
    chosen = SourcedSeries(series.take(kept), sourced.source, sourced.minimum, sourced.maximum, account)
    task = ForecastTask.rolling(
        sourced.source,
        chosen.series,
        context_length=context,
        prediction_length=prediction,
        num_windows=asked.num_windows,
        lags=asked.lags or None,
        minimum=chosen.minimum,
    )
    return SourcedTask(task, chosen, fingerprint_of(task))


def fingerprint_of(task: ForecastTask) -> str:
    """Return a digest of values and windows, which fix what a forecaster is asked and scored on."""
    series = task.series
    digest = hashlib.sha256("\n".join([series.frequency.name, *series.ids]).encode())
    for array in (
        series.starts,
        series.values,
        series.offsets,
        task.train_ends,
        task.valid.origins,
        task.test.origins,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(str(task.prediction_length).encode())
    return digest.hexdigest()


def account_words(account: dict[str, Any]) -> tuple[str, ...]:
    """Say in sentences what was left out and why; nothing where nothing was."""
    said = {
        "num_suppressed": "{n} of {cells} periods have too few students and are suppressed.",
        "num_few_scored": "{n} of {cells} periods have too few answers for a share and are not observed.",
        "num_mostly_suppressed": "{n} series are left out: most of their periods are suppressed.",
        "num_too_short": "{n} series are left out: they are too short.",
    }
    cells = f"{account.get('num_cells', 0):,}"
    return tuple(
        text.format(n=f"{account[name]:,}", cells=cells) for name, text in said.items() if account.get(name)
    )


def _nothing(asked: TSDiffSettings, found: str) -> TrainingError:
    return TrainingError(
        "There is no series to forecast.",
        where=f"{TABLE}, source {asked.source!r}, {asked.grain}s, series {asked.series!r}",
        found=found,
        expected=f"at least half of a series' periods with {asked.min_students} students",
        next_step="Ingest more students, take days instead of hours, or `--set tsdiff.series=total`.",
        state="Nothing was written.",
    )
