"""Forecasts of a registered forecaster from the end of the present series, as a table."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from edpipe.datasets.forecast_levels import DEFAULT_LEVELS
from edpipe.datasets.series_source import SourcedSeries, sourced_series
from edpipe.families.tables import MadeFrom, is_made_from, replace_table, table_path
from edpipe.families.tsdiff_evaluation import settings_asked
from edpipe.prediction.forecast import TrainedForecaster, forecast_windows, load_forecaster, windows_at_end
from edpipe.prediction.forecast_frames import quantile_frame
from edpipe.progress import track

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion

FORECASTS: Final = "activity_forecasts"
# Raise it when the same model and data would give other rows: a table that is there is then made again.
TABLE_VERSION: Final = b"1"


def write_forecasts(settings: Settings, chosen: ModelVersion) -> Path:
    """Write forecasts of each series by a registered version, or find them up to date."""
    trained = load_forecaster(settings.runs_dir / chosen.run_key, accelerator=settings.tsdiff.accelerator)
    sourced = sourced_series(settings_asked(settings, trained.data["asked"]))
    made_from = MadeFrom(chosen.name, chosen.version, _digest(sourced, trained, settings.seed))
    if is_made_from(settings, FORECASTS, made_from):
        return table_path(settings, FORECASTS)
    windows = windows_at_end(sourced.series)
    with track("Forecast", total=len(windows), unit="series", mode=settings.progress) as work:
        found = forecast_windows(
            trained, sourced.series, windows, seed=settings.seed, on_windows=work.advance
        )
    asked = trained.data["asked"]
    zone = pl.Datetime("us", "UTC")
    frame = quantile_frame(sourced.series, found, DEFAULT_LEVELS)
    last = pl.DataFrame(
        {
            "series_id": list(sourced.series.ids),
            "last_known_at": sourced.series.time_at(windows.series, windows.origins - 1),
        }
    )
    rows = (
        frame.join(last, on="series_id", maintain_order="left")
        .select(
            pl.lit(sourced.source).alias("source"),
            pl.lit(str(trained.data["frequency"])).alias("frequency"),
            pl.lit("target" if asked["file"] else str(asked["measure"])).alias("measure"),
            "series_id",
            pl.col("last_known_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            pl.col("time").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("started_at"),
            pl.col("step").cast(pl.Int32),
            "mean",
            pl.col("^quantile_.*$"),
        )
        .with_columns(
            model_name=pl.lit(chosen.name),
            model_version=pl.lit(chosen.version, dtype=pl.Int32),
            scored_at=pl.lit(datetime.now(UTC), dtype=zone),
        )
    )
    return replace_table(settings, FORECASTS, rows, made_from)


def _digest(sourced: SourcedSeries, trained: TrainedForecaster, seed: int) -> str:
    """Return a digest of what is asked and how."""
    series = sourced.series
    digest = hashlib.sha256(TABLE_VERSION + "\n".join(series.ids).encode())
    for array in (series.starts, series.values, series.offsets):
        digest.update(array.tobytes())
    digest.update(repr((sorted(asdict(trained.sampling).items()), DEFAULT_LEVELS, seed)).encode())
    return digest.hexdigest()
