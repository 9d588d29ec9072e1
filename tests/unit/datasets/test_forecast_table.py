"""Forecasts as a long table: one row a window, step and level, at the right moment."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows

at = datetime.fromisoformat


def test_rows_say_series_moment_step_and_level():
    series = SeriesSet.from_arrays(["a", "b"], np.full(2, np.datetime64("2024-01-01")), [np.ones(3)] * 2, "D")
    windows = Windows(np.array([1]), np.array([3]))
    quantiles = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    forecasts = Forecasts.of_quantiles(windows, quantiles, [0.1, 0.9])
    found = forecasts.to_frame(series, [0.1, 0.9])
    assert found.rows() == [
        ("b", at("2024-01-03"), at("2024-01-04"), 1, 0.1, 1.0),
        ("b", at("2024-01-03"), at("2024-01-04"), 1, 0.9, 3.0),
        ("b", at("2024-01-03"), at("2024-01-05"), 2, 0.1, 2.0),
        ("b", at("2024-01-03"), at("2024-01-05"), 2, 0.9, 4.0),
    ]


def test_paths_have_a_row_a_sample():
    series = SeriesSet.from_arrays(["a"], np.full(1, np.datetime64("2024-01-01")), [np.ones(3)], "D")
    windows = Windows(np.array([0]), np.array([3]))
    samples = np.arange(6.0).reshape(1, 3, 2)
    found = Forecasts.of_samples(windows, samples).to_sample_frame(series, 3)
    assert found["sample"].to_list() == [0, 1, 2, 0, 1, 2]
    assert found["step"].to_list() == [1, 1, 1, 2, 2, 2]
    assert found["target"].to_list() == [0, 2, 4, 1, 3, 5]
