"""Baselines of forecasting on the five published sets, with and without calibration of the spread.

    python benchmarks/forecast_baselines.py --data DIR [--sets oulad,m4_hourly] [--peers] [--only ridge]

DIR holds the files of the sets. `--peers` adds AutoARIMA, AutoETS and three networks of GluonTS, which need
`pip install -e '.[peers]'` (an environment of its own is best). All forecast the same rolling test windows;
contexts, widths and calibrations are chosen on windows before them. Prints CRPS and coverage, and writes
`benchmarks/results/forecast_baselines.csv` after each set: every metric with its 95 % interval and the
seconds to fit and forecast, one thread.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl

from edpipe.datasets.published_series import PUBLISHED_TASKS, published_task
from edpipe.evaluation.forecast.backtest import CalibratedForecaster, backtest
from edpipe.evaluation.forecast.baselines.boosted import BoostedForecaster
from edpipe.evaluation.forecast.baselines.forecaster import Forecaster
from edpipe.evaluation.forecast.baselines.gluonts import KINDS, GluontsForecaster
from edpipe.evaluation.forecast.baselines.naive import last_value, seasonal_naive
from edpipe.evaluation.forecast.baselines.ridge import RidgeForecaster
from edpipe.evaluation.forecast.baselines.statistical import auto_arima, auto_ets
from edpipe.evaluation.forecast.calibration import QuantileOffsets, SpreadFactor

RESULTS = Path(__file__).resolve().parent / "results" / "forecast_baselines.csv"
SHOWN = ("crps", "crps_exact", "coverage_50", "coverage_80", "coverage_90")


symmetric = partial(QuantileOffsets.fit, symmetric=True)


def forecasters(with_peers: bool) -> list[Forecaster]:
    """Return all, each calibrated one after its own."""
    found: list[Forecaster] = [
        last_value(spread="none"),
        seasonal_naive(spread="none"),
        RidgeForecaster(width="none"),
    ]
    makes: list[Callable[[], Forecaster]] = [
        last_value,
        seasonal_naive,
        RidgeForecaster,
        BoostedForecaster,
    ]
    for make in makes:
        found.append(make())
        name = found[-1].name
        found.append(CalibratedForecaster(make(), SpreadFactor.fit, name=f"{name}_factor"))
        found.append(CalibratedForecaster(make(), QuantileOffsets.fit, name=f"{name}_offsets"))
        found.append(CalibratedForecaster(make(), symmetric, name=f"{name}_symmetric"))
    found.append(RidgeForecaster(width="common"))
    if with_peers:
        found += [auto_ets(), auto_arima(), *(GluontsForecaster(kind) for kind in KINDS)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(PUBLISHED_TASKS))
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--only", default="", help="forecasters whose name begins with one of these")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    tables = []
    for name in options.sets.split(","):
        task = published_task(name, options.data)
        chosen = [
            forecaster
            for forecaster in forecasters(options.peers)
            if forecaster.name.startswith(tuple(options.only.split(",")))
        ]
        table = backtest(task, chosen, progress="log").table()
        tables.append(table)
        wide = table.filter(pl.col("metric").is_in(SHOWN)).pivot(
            "metric", index=["data", "model", "seconds"], values="value"
        )
        with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=4):
            print(wide, flush=True)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        partial = options.results.with_suffix(".partial")
        pl.concat(tables).write_csv(partial, float_precision=6)
        partial.replace(options.results)


if __name__ == "__main__":
    main()
