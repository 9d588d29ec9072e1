"""A run of a forecaster with its rolling backtest, made by hand, for tests of the report."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from edpipe.evaluation.forecast.evaluate import CALIBRATION_LEVELS, FAN_LEVELS
from edpipe.evaluation.results import CALIBRATION_SCHEMA, METRIC_SCHEMA

FORECASTER = "flow"
BASELINES = ("ridge", "seasonal_naive", "last_value")
MODELS = (FORECASTER, *BASELINES)
NUM_SERIES, NUM_WINDOWS, NUM_STEPS = 9, 4, 14
NUM_HISTORY = 42
BEGIN = datetime.fromisoformat("2024-03-04")
# Standard normal quantiles of the levels of the fan.
NORMAL = (-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645)


def example_forecast_run(folder: Path, *, gain: float = 0.01, coverage: float = 0.9) -> Path:
    """Write a run with its evaluation, and return its folder.

    Parameters
    ----------
    folder
        Where the run's folder is made.
    gain
        CRPS of the best baseline less that of the forecaster.
    coverage
        Share of steps in the forecaster's 90 % interval.
    """
    run = folder / "tsdiff-1"
    evaluation = run / "evaluation"
    evaluation.mkdir(parents=True)
    rows = [row for place, model in enumerate(MODELS) for row in _metrics(model, place, gain, coverage)]
    pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row").write_parquet(evaluation / "metrics.parquet")
    bins = [
        (model, number, level, level, 504)
        for model in MODELS
        for number, level in enumerate(CALIBRATION_LEVELS)
    ]
    pl.DataFrame(bins, schema=CALIBRATION_SCHEMA, orient="row").write_parquet(
        evaluation / "calibration.parquet"
    )
    warnings = ["'ridge' has 0.0100 less CRPS on the test than 'flow': it is enough.", "Few <windows>."]
    (evaluation / "warnings.json").write_text(json.dumps(warnings[gain > 0 :]))
    summary = {"baselines": list(BASELINES), "models": list(MODELS), "num_openings": 1}
    (evaluation / "summary.json").write_text(json.dumps(summary))
    _paired(gain).write_parquet(evaluation / "paired.parquet")
    _by_step(gain).write_parquet(evaluation / "by_step.parquet")
    _pit().write_parquet(evaluation / "pit.parquet")
    example_fan().write_parquet(evaluation / "fan.parquet")
    example_history().write_parquet(evaluation / "fan_history.parquet")
    losses = pl.DataFrame({"time": [0.1, 0.4, 0.7, 1.0], "loss": [0.9, 0.3, 0.1, 0.08]})
    losses.write_parquet(evaluation / "diffusion_loss.parquet")
    (run / "curves.csv").write_text(
        "epoch,train_loss,valid_loss,valid_crps\n"
        + "".join(f"{e},{1 / (e + 1):.4f},{0.9 / (e + 1):.4f},{0.1 + 0.1 / (e + 1):.4f}\n" for e in range(6))
    )
    facts = {"model": "tsdiff", "seed": 7, "data": {"frequency": "daily"}}
    (run / "run.json").write_text(json.dumps(facts))
    return run


def example_fan(*, num_series: int = NUM_SERIES, hours: int = 24, seed: int = 3) -> pl.DataFrame:
    """Return fans of rolling windows; noise grows with the series' number, and a step is missing."""
    random = np.random.default_rng(seed)
    rows = []
    for series in range(num_series):
        spread = 3 + 2 * series
        for window in range(NUM_WINDOWS):
            origin = window * NUM_STEPS
            for step in range(NUM_STEPS):
                middle = 100 + 30 * np.sin(2 * np.pi * (origin + step) / 7)
                came = None if (window, step) == (3, 5) else middle + spread * random.normal()
                time = BEGIN + timedelta(hours=hours * (origin + step))
                known = BEGIN + timedelta(hours=hours * (origin - 1))
                name = _name(series)
                rows += [
                    (name, known, time, step + 1, level, middle + spread * place, came)
                    for level, place in zip(FAN_LEVELS, NORMAL, strict=True)
                ]
    columns = ["series_id", "origin_time", "time", "step", "quantile_level", "target", "actual"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def example_history(
    *, num_series: int = NUM_SERIES, num_steps: int = NUM_HISTORY, hours: int = 24, seed: int = 5
) -> pl.DataFrame:
    """Return what came before the first window of each series; the last step but two is missing."""
    random = np.random.default_rng(seed)
    rows = [
        (
            _name(series),
            BEGIN + timedelta(hours=hours * step),
            None
            if step == -3
            else 100 + 30 * np.sin(2 * np.pi * step / 7) + (3 + 2 * series) * random.normal(),
        )
        for series in range(num_series)
        for step in range(-num_steps, 0)
    ]
    return pl.DataFrame(rows, schema=["series_id", "time", "actual"], orient="row")


def _name(series: int) -> str:
    return f"ednet/part {series + 1} of <many>"


def _metrics(model: str, place: int, gain: float, coverage: float) -> list[tuple[object, ...]]:
    crps = 0.08 - gain if place == 0 else 0.08 + 0.05 * (place - 1)
    values = {
        "crps": crps,
        "coverage_50": 0.5,
        "coverage_80": 0.8,
        "coverage_90": coverage if place == 0 else 0.9,
        "normalized_deviation": crps * 1.3,
        "mase": crps * 10,
    }
    rows: list[tuple[object, ...]] = [
        (model, split, "all", metric, value, value - 0.004, value + 0.004, 504, NUM_SERIES)
        for split in ("valid", "test")
        for metric, value in values.items()
    ]
    rows += [
        (model, "test", f"series:{name}", "crps", crps + 0.01 * number, None, None, 56, 1)
        for number, name in enumerate(example_fan()["series_id"].unique(maintain_order=True))
    ]
    return rows


def _paired(gain: float) -> pl.DataFrame:
    rows = [
        (split, FORECASTER, reference, "crps", difference, difference - 0.004, difference + 0.004)
        for split in ("valid", "test")
        for place, reference in enumerate(BASELINES)
        for difference in [-gain - 0.05 * place]
    ]
    columns = ["split", "model", "reference", "metric", "difference", "low", "high"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _by_step(gain: float) -> pl.DataFrame:
    rows = [
        ("test", model, metric, step, 0.05 + 0.005 * step + 0.02 * place - gain * (step > 4) * (place == 0))
        for place, model in enumerate(MODELS)
        for metric in ("crps", "coverage_90")
        for step in range(1, NUM_STEPS + 1)
    ]
    return pl.DataFrame(rows, schema=["split", "model", "metric", "step", "value"], orient="row")


def _pit() -> pl.DataFrame:
    rows = [
        ("test", model, number, number / 10, (number + 1) / 10, 0.08 + 0.04 * (number % 2), 50)
        for model in MODELS
        for number in range(10)
    ]
    columns = ["split", "model", "bin", "low", "high", "share", "count"]
    return pl.DataFrame(rows, schema=columns, orient="row")
