"""Baselines of forecasting on the five published sets, and forecasters of other packages.

    python benchmarks/forecast_baselines.py --data DIR [--sets oulad,m4_hourly] [--peers] [--seeds 0,1,2]
        [--corrections] [--only ridge] [--keep]

DIR holds the files of the sets. `--peers` adds AutoETS, AutoARIMA and three networks of GluonTS, one a seed,
which need `pip install -e '.[peers]'` (an environment of its own is best). `--corrections` adds each baseline
with its spread corrected in several ways. All forecast the same rolling test windows; contexts, widths,
epochs and corrections are chosen on windows before them. Prints CRPS and coverage, and writes
`benchmarks/results/forecast_baselines.csv` after each set: every metric with its 95 % interval, the seconds
to fit and forecast, one thread, and under `limits` what was held short to save time. `--keep` leaves the
rows of that file that are not measured anew; without it they go.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import torch

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
SHOWN = ("crps", "normalized_deviation", "coverage_50", "coverage_90")
KEYS = ["data", "model"]
MAKES: list[Callable[[], Forecaster]] = [last_value, seasonal_naive, RidgeForecaster, BoostedForecaster]


symmetric = partial(QuantileOffsets.fit, symmetric=True)


def corrected() -> list[Forecaster]:
    """Return the baselines without a spread of their own, and with spreads corrected on validation."""
    found: list[Forecaster] = []
    for make in MAKES:
        name = make().name
        found.append(CalibratedForecaster(make(), SpreadFactor.fit, name=f"{name}_factor"))
        found.append(CalibratedForecaster(make(), QuantileOffsets.fit, name=f"{name}_offsets"))
        found.append(CalibratedForecaster(make(), symmetric, name=f"{name}_symmetric"))
    points = {
        "last_value_point": last_value(spread="none"),
        "seasonal_naive_point": seasonal_naive(spread="none"),
        "ridge_point": RidgeForecaster(width="none"),
        "ridge_common": RidgeForecaster(width="common"),
    }
    for name, forecaster in points.items():
        forecaster.name = name
    return [*found, *points.values()]


def forecasters(seeds: list[int], *, with_peers: bool, with_corrections: bool) -> list[Forecaster]:
    """Return all, the quick ones first."""
    found = [make() for make in MAKES]
    if with_corrections:
        found += corrected()
    if with_peers:
        found += [auto_ets(), auto_arima()]
        found += [
            GluontsForecaster(kind, seed=seed, name=f"{kind}_seed_{seed}") for seed in seeds for kind in KINDS
        ]
    return found


def with_means(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with the mean over seeds of each network; its interval is the least and the most."""
    seeds = table.filter(pl.col("model").str.contains("_seed_"))
    means = seeds.group_by(
        "data", pl.col("model").str.replace(r"_seed_\d+$", ""), "metric", maintain_order=True
    ).agg(
        pl.col("value").mean(),
        low=pl.col("value").min(),
        high=pl.col("value").max(),
        seconds=pl.col("seconds").mean(),
        limits=pl.format("seeds: {}; {}", pl.len(), pl.col("limits").first()),
    )
    return pl.concat([table, means.select(table.columns)])


def measured(name: str, data: Path, chosen: list[Forecaster]) -> pl.DataFrame:
    """Return every metric of every forecaster on one set."""
    table = backtest(published_task(name, data), chosen, progress="log").table()
    limits = {forecaster.name: forecaster.limits for forecaster in chosen}
    return table.with_columns(limits=pl.col("model").replace_strict(limits, return_dtype=pl.String))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(PUBLISHED_TASKS))
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--seeds", default="0", help="of the networks")
    parser.add_argument("--corrections", action="store_true")
    parser.add_argument("--only", default="", help="forecasters whose name begins with one of these")
    parser.add_argument("--keep", action="store_true", help="keep other rows of the results")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    table: pl.DataFrame | None = None
    if options.keep and options.results.exists():
        table = pl.read_csv(options.results, schema_overrides={"limits": pl.String})
        table = table.with_columns(pl.col("limits").fill_null(""))
    for name in options.sets.split(","):
        chosen = [
            forecaster
            for forecaster in forecasters(
                seeds, with_peers=options.peers, with_corrections=options.corrections
            )
            if forecaster.name.startswith(tuple(options.only.split(",")))
        ]
        found = measured(name, options.data, chosen)
        if table is not None:
            # Means over seeds are computed anew.
            old = table.join(found, on=KEYS, how="anti").filter(~pl.col("model").is_in(KINDS))
            found = pl.concat([old, found])
        table = with_means(found)
        wide = table.filter((pl.col("data") == name) & pl.col("metric").is_in(SHOWN)).pivot(
            "metric", index=["data", "model", "seconds"], values="value"
        )
        with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=4):
            print(wide, flush=True)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        unfinished = options.results.with_suffix(".partial")
        table.sort("data", maintain_order=True).write_csv(unfinished, float_precision=6)
        unfinished.replace(options.results)


if __name__ == "__main__":
    main()
