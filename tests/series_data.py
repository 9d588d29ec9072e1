"""Series of planted weekly patterns, and the smallest settings that learn from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_source import SourcedSeries, SourcedTask, task_of
from edpipe.settings import Settings

START = np.datetime64("2024-01-01")
TINY: dict[str, Any] = {
    "context_length": 14,
    "prediction_length": 7,
    "lags": (7, 14),
    "num_windows": 2,
    "hidden_size": 8,
    "num_blocks": 1,
    "state_size": 8,
    "num_diffusion_steps": 10,
    "batch_size": 16,
    "batches_per_epoch": 4,
    "max_epochs": 3,
    "patience": 3,
    "ema_decay": 0.9,
    "is_refitted": False,
    "num_samples": 10,
    "num_steps": 2,
    "accelerator": "cpu",
    "devices": "1",
}


def tiny(settings: Settings, **given: Any) -> Settings:
    """Settings of a small, quick forecaster."""
    return settings.model_copy(update={"tsdiff": settings.tsdiff.model_copy(update={**TINY, **given})})


def weekly_series(*, num_series: int = 4, length: int = 120, noise: float = 0.2, seed: int = 0) -> SeriesSet:
    """A week's pattern of each series, times its own level, plus normal noise; above 0."""
    random = np.random.default_rng(seed)
    steps = np.arange(length)
    targets = [
        10
        * (number + 1)
        * np.maximum(2 + np.sin(2 * np.pi * steps / 7) + noise * random.normal(size=length), 0)
        for number in range(num_series)
    ]
    ids = [f"s{number}" for number in range(num_series)]
    return SeriesSet.from_arrays(ids, np.full(num_series, START), targets, "daily")


def sourced(settings: Settings, **given: Any) -> SourcedTask:
    """The task that settings make of weekly series."""
    series = weekly_series(**given)
    account = {"num_cells": len(series.values), "num_suppressed": 0}
    return task_of(SourcedSeries(series, "planted", 0.0, None, account), settings.tsdiff)


def weekly_frame(**given: Any) -> pl.DataFrame:
    """The long table of the same series."""
    return weekly_series(**given).to_frame()
