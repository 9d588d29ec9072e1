"""Forecasts as tables: names, order, whole paths."""

from __future__ import annotations

import numpy as np
import pytest
from series_data import weekly_series

from edpipe.datasets.forecast_levels import quantile_name
from edpipe.datasets.forecasts import Forecasts
from edpipe.prediction.forecast import windows_at_end
from edpipe.prediction.forecast_frames import quantile_frame, sample_frame

SERIES = weekly_series(num_series=2, length=10)
PATHS = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
FORECASTS = Forecasts.of_samples(windows_at_end(SERIES), PATHS)


@pytest.mark.parametrize(
    ("level", "name"), [(0.05, "quantile_05"), (0.5, "quantile_50"), (0.975, "quantile_97_5")]
)
def test_quantiles_have_names_that_sql_takes(level, name):
    assert quantile_name(level) == name


def test_quantiles_stand_in_columns_with_the_moments_after_the_end():
    frame = quantile_frame(SERIES, FORECASTS, [0.5])
    assert frame.columns == ["series_id", "time", "step", "mean", "quantile_50"]
    assert frame["series_id"].to_list() == ["s0"] * 3 + ["s1"] * 3
    assert frame["step"].to_list() == [1, 2, 3] * 2
    assert str(frame["time"][0]) == "2024-01-11 00:00:00"
    assert frame["mean"].to_list() == [6, 7, 8, 21, 22, 23]
    assert frame["quantile_50"].to_list() == frame["mean"].to_list()


def test_paths_stay_whole():
    frame = sample_frame(SERIES, FORECASTS, 5)
    assert frame.height == 2 * 5 * 3
    path = frame.filter(series_id="s1", sample=2)
    assert path["target"].to_list() == PATHS[1, 2].tolist()
    assert path["step"].to_list() == [1, 2, 3]
