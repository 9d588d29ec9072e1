"""Diffusion forecasters on the published sets, several seeds, beside the baselines, under the same windows.

    python benchmarks/tsdiff.py --data DIR [--sets m4_hourly] [--models flow,unconditional] [--seeds 3]

DIR holds the files of the sets. Each seed is a training of its own; weights, steps of the sampler, strength
of guidance and the correction of the spread are chosen on validation windows, then the networks are trained
again with these among the training steps, and the test is opened once, with the mean of the seeds' quantiles
as one more forecaster. Prints, and writes `benchmarks/results/tsdiff.csv`, where the rows of these sets and
models replace those that are there: every metric with its 95 % interval over series or windows, mean and
spread over seeds under the model's own name, and the seconds to fit and forecast, one thread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import PERCENTS, Forecasts
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
from edpipe.progress import track
from edpipe.settings import load_settings
from edpipe.training.tsdiff import train_tsdiff

RESULTS = Path(__file__).resolve().parent / "results" / "tsdiff.csv"
SHOWN = ("crps", "coverage_50", "coverage_90", "normalized_deviation")
MODELS = ("flow", "one_step", "unconditional")
FLOW: dict[str, Any] = {
    "scaling": "robust",
    "dropout": 0.1,
    "ema_decay": 0.998,
    "patience": 4,
    "max_epochs": 10,
    "num_samples": 100,
}
# Trained for long, because it is to know whole windows; no second training, because that would take as long.
UNCONDITIONAL: dict[str, Any] = {
    "model": "unconditional",
    "scaling": "robust",
    "learning_rate": 2e-3,
    "ema_decay": 0.998,
    "batches_per_epoch": 128,
    "max_epochs": 60,
    "patience": 15,
    "num_samples": 100,
    "guidance": "covariance",
    "num_steps": 10,
    "is_refitted": False,
}
# How a set is cut, and what a flow is trained with there; chosen on validation windows.
TASKS: dict[str, dict[str, Any]] = {
    "m4_hourly": {"context_length": 120, "lags": (168, 336), "num_valid_windows": 4},
    "exchange_rate": {"context_length": 60, "lags": (), "season": 1},
    "website_visits": {"context_length": 56, "lags": (28, 35)},
    "oulad": {"context_length": 56, "lags": (14, 21, 28)},
    "bike_sharing": {"context_length": 168, "lags": (168, 336, 504, 672)},
}
FLOWS: dict[str, dict[str, Any]] = {
    # Its series start at no date that is known; a few of them hold most of the metric.
    "m4_hourly": {"center": "linear", "calendar": False, "num_steps": 4, "level_weight": 0.5},
    # Eight random walks teach little beyond their spread: a small network, few steps.
    "exchange_rate": {
        "center": "linear",
        "calendar": False,
        "hidden_size": 16,
        "num_blocks": 2,
        "learning_rate": 5e-4,
        "batches_per_epoch": 32,
    },
    # One year of one series: what a network learned there was of no use in the next months.
    "website_visits": {
        "center": "seasonal_naive",
        "transform": "log1p",
        "hidden_size": 16,
        "num_blocks": 2,
        "learning_rate": 5e-4,
        "batches_per_epoch": 32,
    },
    "oulad": {"center": "linear", "transform": "sqrt", "batches_per_epoch": 32},
    "bike_sharing": {"center": "linear"},
}


class TrainedOnSeed(Forecaster):
    """A training of edpipe as one of the forecasters of a backtest."""

    def __init__(self, model: str, seed: int, home: Path, data: str) -> None:
        self.name = f"{model}_seed_{seed}"
        given = UNCONDITIONAL if model == "unconditional" else {"model": model, **FLOW, **FLOWS[data]}
        self._settings = load_settings(
            "small", file=home / "none.toml", home=home, progress="log", seed=seed, tsdiff=given
        )

    def fit(self, task: ForecastTask) -> None:
        """Train, choose on validation."""
        sourced = SourcedSeries(task.series, "file", task.minimum, None, {})
        run = train_tsdiff(self._settings, sourced=SourcedTask(task, sourced, task.name))
        self._trained = load_forecaster(run.run_dir, accelerator="auto")
        print(f"{self.name}: {dict(run.metrics)}, {run.data['num_steps']} steps, {run.seconds:.0f} s")

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Forecast with the chosen sampler, and keep the forecasts."""
        with track(f"Forecast with {self.name}", total=len(windows), unit="windows", mode="log") as work:
            self.made = forecast_windows(
                self._trained, series, windows, seed=self._settings.seed, on_windows=work.advance
            )
        return self.made


class SeedsTogether(Forecaster):
    """The mean over seeds of each quantile: as wide as they are, where pooled paths would be wider."""

    def __init__(self, model: str, members: list[TrainedOnSeed]) -> None:
        self.name = f"{model}_together"
        self._members = members

    def fit(self, task: ForecastTask) -> None:
        """Nothing: its members come before it."""

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Return the mean quantiles of what the members have just forecast."""
        del series
        quantiles = [member.made.quantile(PERCENTS) for member in self._members]
        return Forecasts.of_quantiles(windows, np.mean(quantiles, axis=0), PERCENTS)


def task_of(name: str, data: Path) -> ForecastTask:
    """Return a published task with the context, lags, season and validation windows asked for."""
    task = published_task(name, data)
    num_windows = len(task.test) // task.series.num_series
    given = {"season": task.season, "num_valid_windows": num_windows, **TASKS[name]}
    return ForecastTask.rolling(
        name,
        task.series,
        prediction_length=task.prediction_length,
        num_windows=num_windows,
        minimum=task.minimum,
        **given,
    )


def over_seeds(table: pl.DataFrame, model: str) -> pl.DataFrame:
    """Return the mean of each metric over seeds; its interval is that mean and twice the spread."""
    seeds = table.filter(pl.col("model").str.starts_with(f"{model}_seed_"))
    spread = pl.col("value").std().fill_null(float("nan"))
    return seeds.group_by("data", "metric", maintain_order=True).agg(
        model=pl.lit(model),
        value=pl.col("value").mean(),
        low=pl.col("value").mean() - 2 * spread,
        high=pl.col("value").mean() + 2 * spread,
        seconds=pl.col("seconds").mean(),
    )


def write(results: Path, table: pl.DataFrame) -> None:
    """Replace the rows of these models on this set, and keep the others."""
    if results.exists():
        old = pl.read_csv(results, schema=table.schema)
        table = pl.concat([old.join(table, on=["data", "model"], how="anti"), table])
    results.parent.mkdir(parents=True, exist_ok=True)
    partial = results.with_suffix(".partial")
    table.write_csv(partial, float_precision=6)
    partial.replace(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(PUBLISHED_TASKS))
    parser.add_argument("--models", default=MODELS[0], help="some of " + ", ".join(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--home", type=Path, help="keep the runs here")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = options.models.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.sets.split(","):
            task = task_of(name, options.data)
            home = (options.home or Path(scratch)) / name
            forecasters: list[Forecaster] = []
            for model in models:
                seeds = [TrainedOnSeed(model, seed, home, name) for seed in range(options.seeds)]
                forecasters += [*seeds, SeedsTogether(model, seeds)]
            baselines = [last_value(), seasonal_naive(), RidgeForecaster(), BoostedForecaster()]
            found = backtest(task, [*forecasters, *baselines], progress="log")
            table = found.table()
            table = pl.concat([table, *(over_seeds(table, model).select(table.columns) for model in models)])
            write(options.results, table)
            with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=4):
                shown = table.filter(pl.col("metric").is_in(SHOWN))
                print(shown.pivot("metric", index=["data", "model", "seconds"], values="value"), flush=True)
                ahead = found.differences(f"{models[0]}_together").filter(pl.col("metric") == "crps")
                print(ahead, flush=True)


if __name__ == "__main__":
    main()
