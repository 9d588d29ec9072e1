"""Forecasts as long tables: a column a quantile, or a row a path and step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from edpipe.datasets.forecast_levels import quantile_name
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series import SeriesSet


def quantile_frame(series: SeriesSet, forecasts: Forecasts, levels: Sequence[float]) -> pl.DataFrame:
    """Return ``series_id, time, step, mean`` and a column a quantile, one row a series and step ahead.

    ``mean`` is there where forecasts are samples.
    """
    found = forecasts.quantile(levels).astype(np.float64)
    columns = {quantile_name(level): found[:, place].reshape(-1) for place, level in enumerate(levels)}
    if forecasts.samples is not None:
        columns = {"mean": forecasts.samples.mean(axis=1, dtype=np.float64).reshape(-1), **columns}
    return _keys(series, forecasts, 1).with_columns(**{name: pl.Series(one) for name, one in columns.items()})


def sample_frame(series: SeriesSet, forecasts: Forecasts, num_samples: int) -> pl.DataFrame:
    """Return ``series_id, time, step, sample, target``, one row a series, path and step ahead.

    Steps of one path belong together: sums and maxima over a path are those of one future.
    """
    paths = forecasts.paths(num_samples)
    _, number, _ = np.indices(paths.shape).reshape(3, -1)
    return _keys(series, forecasts, num_samples).with_columns(
        sample=pl.Series(number), target=pl.Series(paths.reshape(-1).astype(np.float64))
    )


def _keys(series: SeriesSet, forecasts: Forecasts, copies: int) -> pl.DataFrame:
    """Return ``series_id, time, step`` of each value, every window ``copies`` times in a row."""
    shape = (len(forecasts), copies, forecasts.prediction_length)
    window, _, step = np.indices(shape).reshape(3, -1)
    owner = forecasts.series[window]
    return pl.DataFrame(
        {
            "series_id": pl.Series(np.array(series.ids, dtype=object)[owner].tolist(), dtype=pl.String),
            "time": series.time_at(owner, forecasts.origins[window] + step),
            "step": step + 1,
        }
    )
