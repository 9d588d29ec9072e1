"""Published sets: sizes and parts as published, and no part lies in another."""

from __future__ import annotations

import numpy as np
import pytest

from edpipe.datasets.published_series import PUBLISHED_TASKS, published_task
from edpipe.errors import SettingsError, SourceError

# Series, shortest and longest, context, prediction, test windows.
SIZES = {
    "exchange_rate": (8, 6221, 6221, 360, 30, 40),
    "m4_hourly": (414, 748, 1008, 312, 48, 414),
    "bike_sharing": (1, 17544, 17544, 336, 24, 28),
    "website_visits": (1, 522, 522, 56, 28, 3),
    "oulad": (15, 235, 269, 56, 14, 60),
}


@pytest.mark.parametrize("name", PUBLISHED_TASKS)
def test_sets_are_as_published(real_data, name):
    task = published_task(name, real_data / "timeseries")
    lengths = task.series.lengths
    found = (
        len(lengths),
        lengths.min(),
        lengths.max(),
        task.context_length,
        task.prediction_length,
        len(task.test),
    )
    assert found == SIZES[name]
    assert not np.isnan(task.truth(task.test)).any()
    assert not np.isnan(task.truth(task.valid)).any()
    assert (task.valid.origins + task.prediction_length <= task.test_begins[task.valid.series]).all()
    assert (task.train_ends[task.valid.series] <= task.valid.origins).all()


def test_unknown_sets_and_missing_files_are_told(tmp_path):
    with pytest.raises(SettingsError, match="oulad"):
        published_task("solar", tmp_path)
    for name in PUBLISHED_TASKS:
        with pytest.raises(SourceError):
            published_task(name, tmp_path)
