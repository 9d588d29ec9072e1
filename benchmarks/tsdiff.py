"""Diffusion forecasters on the published sets, several seeds, beside the baselines, under the same windows.

    python benchmarks/tsdiff.py --data DIR [--sets m4_hourly] [--seeds 3]

DIR holds the files of the sets. Each seed is a training of its own; weights, steps of the sampler and the
correction of the spread are chosen on validation windows, then the test is opened once, with the seeds
pooled as one more forecaster. Prints and writes `benchmarks/results/tsdiff.csv` after each set: every metric
with its 95 % interval over series or windows, mean and spread over seeds under `flow`, and the seconds to fit
and forecast, one thread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import torch

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts, pool
from edpipe.datasets.published_series import PUBLISHED_TASKS, published_task
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_source import SourcedSeries, SourcedTask
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.forecast.backtest import backtest
from edpipe.evaluation.forecast.baselines.boosted import BoostedForecaster
from edpipe.evaluation.forecast.baselines.forecaster import Forecaster
from edpipe.evaluation.forecast.baselines.naive import last_value, seasonal_naive
from edpipe.evaluation.forecast.baselines.ridge import RidgeForecaster
from edpipe.prediction.forecast import forecast_windows, load_forecaster
from edpipe.settings import load_settings
from edpipe.training.tsdiff import train_tsdiff

RESULTS = Path(__file__).resolve().parent / "results" / "tsdiff.csv"
SHOWN = ("crps", "coverage_50", "coverage_90", "normalized_deviation")
COMMON: dict[str, Any] = {
    "model": "flow",
    "scaling": "robust",
    "center": "linear",
    "dropout": 0.1,
    "ema_decay": 0.998,
    "patience": 4,
    "max_epochs": 10,
    "num_samples": 100,
}
# Context, lags and what differs, by set; chosen on validation windows.
SETS: dict[str, dict[str, Any]] = {
    "m4_hourly": {"context_length": 120, "lags": (168, 336), "num_valid_windows": 4},
    "exchange_rate": {"context_length": 60, "lags": (30, 60), "center": "seasonal_naive", "season": 1},
    "website_visits": {"context_length": 56, "lags": (28, 35), "batches_per_epoch": 32},
    "oulad": {"context_length": 56, "lags": (14, 21, 28), "batches_per_epoch": 32},
    "bike_sharing": {"context_length": 168, "lags": (168, 336, 504, 672)},
}


class FlowForecaster(Forecaster):
    """A training of edpipe as one of the forecasters of a backtest."""

    def __init__(self, seed: int, home: Path, asked: dict[str, Any]) -> None:
        self.name = f"flow_seed_{seed}"
        self._settings = load_settings(
            "small",
            file=home / "none.toml",
            home=home,
            progress="log",
            seed=seed,
            tsdiff={**COMMON, **{name: value for name, value in asked.items() if name != "season"}},
        )

    def fit(self, task: ForecastTask) -> None:
        """Train, choose on validation."""
        sourced = SourcedSeries(task.series, "file", task.minimum, None, {})
        run = train_tsdiff(self._settings, sourced=SourcedTask(task, sourced, task.name))
        self._trained = load_forecaster(run.run_dir / "tsdiff.pt")
        print(f"{self.name}: {dict(run.metrics)}, {run.data['num_steps']} steps, {run.seconds:.0f} s")

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Forecast with the chosen sampler."""
        return forecast_windows(self._trained, series, windows, seed=self._settings.seed)


class PooledForecaster(Forecaster):
    """The forecasts of several forecasters as one."""

    name = "flow_pooled"

    def __init__(self, members: list[FlowForecaster]) -> None:
        self._members = members

    def fit(self, task: ForecastTask) -> None:
        """Nothing: its members come before it."""

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Return all paths of all members."""
        return pool([member.predict(series, windows) for member in self._members])


def task_of(name: str, data: Path) -> tuple[ForecastTask, dict[str, Any]]:
    """Return a published task with the context, lags and season asked for, and what is left to train with."""
    task, asked = published_task(name, data), dict(SETS[name])
    num_series = task.series.num_series
    num_windows = len(task.test) // num_series
    again = ForecastTask.rolling(
        name,
        task.series,
        context_length=asked.pop("context_length"),
        prediction_length=task.prediction_length,
        num_windows=num_windows,
        season=asked.pop("season", task.season),
        lags=asked.pop("lags"),
        minimum=task.minimum,
        num_valid_windows=asked.pop("num_valid_windows", num_windows),
    )
    return again, asked


def over_seeds(table: pl.DataFrame) -> pl.DataFrame:
    """Return the mean of each metric over seeds; its interval is that mean and twice the spread."""
    seeds = table.filter(pl.col("model").str.starts_with("flow_seed_"))
    spread = pl.col("value").std().fill_null(float("nan"))
    return seeds.group_by("data", "metric", maintain_order=True).agg(
        model=pl.lit("flow"),
        value=pl.col("value").mean(),
        low=pl.col("value").mean() - 2 * spread,
        high=pl.col("value").mean() + 2 * spread,
        seconds=pl.col("seconds").mean(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(PUBLISHED_TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--home", type=Path, help="keep the runs here")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.sets.split(","):
            task, asked = task_of(name, options.data)
            home = (options.home or Path(scratch)) / name
            flows = [FlowForecaster(seed, home, asked) for seed in range(options.seeds)]
            baselines = [last_value(), seasonal_naive(), RidgeForecaster(), BoostedForecaster()]
            table = backtest(task, [*flows, PooledForecaster(flows), *baselines], progress="log").table()
            mean = over_seeds(table)
            tables.append(pl.concat([table, mean.select(table.columns)]))
            with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=4):
                shown = tables[-1].filter(pl.col("metric").is_in(SHOWN))
                print(shown.pivot("metric", index=["data", "model", "seconds"], values="value"), flush=True)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            partial = options.results.with_suffix(".partial")
            pl.concat(tables).write_csv(partial, float_precision=6)
            partial.replace(options.results)


if __name__ == "__main__":
    main()
