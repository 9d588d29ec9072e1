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
    found = Forecasts.of_quantiles(windows, quantiles, [0.1, 0.9]).to_frame(series, [0.1, 0.9])
    assert found.rows() == [
        ("b", at("2024-01-03"), at("2024-01-04"), 1, 0.1, 1.0),
        ("b", at("2024-01-03"), at("2024-01-04"), 1, 0.9, 3.0),
        ("b", at("2024-01-03"), at("2024-01-05"), 2, 0.1, 2.0),
        ("b", at("2024-01-03"), at("2024-01-05"), 2, 0.9, 4.0),
    ]
