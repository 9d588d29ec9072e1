"""Evaluate a forecaster beside the baselines in a rolling backtest; open the test once a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.forecast.backtest import Backtest, backtest, scored_backtest
from edpipe.evaluation.forecast.baselines.forecaster import Forecaster
from edpipe.evaluation.forecast.levels import level_masks
from edpipe.evaluation.forecast.metrics import WindowScores, pit
from edpipe.evaluation.results import (
    CALIBRATION_SCHEMA,
    EVALUATION_FOLDER,
    METRIC_SCHEMA,
    Evaluation,
    is_evaluated,
    record_opening,
)
from edpipe.progress import track
from edpipe.settings import Settings

Part = Literal["valid", "test"]
PARTS: Final[tuple[Part, ...]] = ("valid", "test")
PAIRED_FILE: Final = "paired.parquet"
BY_STEP_FILE: Final = "by_step.parquet"
PIT_FILE: Final = "pit.parquet"
FAN_FILE: Final = "fan.parquet"
HISTORY_FILE: Final = "fan_history.parquet"
STEP_METRICS: Final = ("crps", "coverage_90", "normalized_deviation")
CALIBRATION_LEVELS: Final = tuple(number / 20 for number in range(1, 20))
FAN_LEVELS: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
NUM_PIT_BINS: Final = 10
# Series that the table of scores and the fan chart show one by one.
MAX_SERIES: Final = 24
COVERAGE_BAND: Final = (0.87, 0.93)
FEW_WINDOWS: Final = 40


def evaluate_forecasts(
    settings: Settings,
    run_dir: Path,
    *,
    task: ForecastTask,
    model: str,
    predict: Callable[[Part], Forecasts],
    baselines: Sequence[Forecaster],
    data_fingerprint: str,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Evaluate a run's forecaster beside the baselines on validation and test windows.

    For validation windows the baselines are fitted as they stood before these. The test is opened once: an
    evaluation of this run on this data is returned as it was stored, and every opening is written to a
    ledger in the run's folder before anything is forecast. In the tables ``num_interactions`` counts scored
    steps and ``num_students`` series. Beside them are written ``paired.parquet`` (the model minus each
    baseline, draws paired), ``by_step.parquet`` (scores by step ahead), ``pit.parquet`` (histograms that are
    level where spreads are right), ``fan.parquet`` (quantiles of the test windows, with what came) and
    ``fan_history.parquet`` (a context of each of these series, up to its first test step).

    Parameters
    ----------
    settings
        Seed, draws, and how progress is shown.
    run_dir
        Folder of the training run; ``evaluation/`` below it is written.
    task
        Series and windows.
    model
        Name of the forecaster.
    predict
        The forecaster: the windows of a part, in their order.
    baselines
        What to compare with.
    data_fingerprint
        Names the data and windows; another one means another evaluation.
    notes
        What else there is to warn of.
    """
    if is_evaluated(run_dir, data_fingerprint):
        return Evaluation.load(run_dir)
    num_openings = record_opening(run_dir, data_fingerprint)
    asked = settings.tsdiff
    tests: dict[Part, Backtest] = {}
    for part in PARTS:
        divided = task.before_validation() if part == "valid" else task
        windows = task.valid if part == "valid" else task.test
        fitted = backtest(
            divided, baselines, windows=windows, num_draws=0, seed=settings.seed, progress=settings.progress
        )
        with track("Forecast", total=len(windows), unit="windows", mode=settings.progress) as work:
            found = predict(part)
            work.advance(len(windows))
        forecasts = {model: found, **fitted.forecasts}
        seconds = {model: float("nan"), **fitted.seconds}
        tests[part] = scored_backtest(
            divided, forecasts, seconds, num_draws=asked.bootstrap, seed=settings.seed
        )
    metrics = pl.concat([_metrics(task, part, test) for part, test in tests.items()])
    paired = pl.concat([_paired(part, test, model) for part, test in tests.items()])
    evaluation = Evaluation(
        metrics=metrics,
        calibration=_calibration(task, tests["test"]),
        warnings=(*notes, *_warnings(metrics, paired, model, tests)),
        summary={
            "splits": list(PARTS),
            "data_fingerprint": data_fingerprint,
            "seed": settings.seed,
            "num_draws": asked.bootstrap,
            "num_openings": num_openings,
            "baselines": [baseline.name for baseline in baselines],
            "models": [model, *(baseline.name for baseline in baselines)],
            "num_series": task.series.num_series,
            "num_windows": {part: len(test.windows) for part, test in tests.items()},
            "seconds": {
                name: round(value, 3) for name, value in tests["test"].seconds.items() if name != model
            },
            "is_drawn_by_series": tests["test"].draws.is_by_series,
        },
    )
    save_frames(
        run_dir,
        {
            PAIRED_FILE: paired,
            BY_STEP_FILE: pl.concat([_by_step(part, test) for part, test in tests.items()]),
            PIT_FILE: pl.concat([_pit(task, part, test, settings.seed) for part, test in tests.items()]),
            FAN_FILE: _fan(task, tests["test"], model),
            HISTORY_FILE: _history(task),
        },
    )
    evaluation.save(run_dir)
    return evaluation


def save_frames(run_dir: Path, frames: Mapping[str, pl.DataFrame]) -> None:
    """Write frames into the folder of the evaluation, each replaced by rename."""
    folder = run_dir / EVALUATION_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.write_parquet(folder / f".{name}")
        (folder / f".{name}").replace(folder / name)


def verdicts(metrics: pl.DataFrame, paired: pl.DataFrame, model: str) -> Iterator[str]:
    """Say in words how the forecaster does on the test beside the baseline that validation would choose."""
    crps = metrics.filter((pl.col("subset") == "all") & (pl.col("metric") == "crps"))
    rivals = crps.filter((pl.col("split") == "valid") & (pl.col("model") != model)).drop_nulls("value")
    if rivals.height:
        best = rivals.sort("value", "model")["model"][0]
        row = paired.filter(split="test", model=model, reference=best, metric="crps")
        difference, low, high = row.select("difference", "low", "high").row(0)
        words = f"by {difference:+.4f} CRPS ({_number(low)} to {_number(high)})"
        if high is not None and high < 0:
            yield f"On the test {model!r} is ahead of {best!r}, the best baseline on validation, {words}."
        elif low is not None and low > 0:
            yield f"On the test {best!r}, the best baseline on validation, is ahead of {model!r}: {words}."
        else:
            yield (
                f"On the test {model!r} and {best!r}, the best baseline on validation, cannot be told apart: "
                f"they differ {words}."
            )
    covered = metrics.filter(split="test", model=model, subset="all", metric="coverage_90")
    if covered.height:
        yield f"The 90 % interval of {model!r} holds {covered['value'][0]:.1%} of the test's steps."


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.4f}"


def _metrics(task: ForecastTask, part: Part, test: Backtest) -> pl.DataFrame:
    """Return one row a model, subset and metric: all windows, thirds by level, series where they are few."""
    observed = np.isfinite(task.truth(test.windows))
    counts = (int(observed.sum()), len(np.unique(test.windows.series)))
    rows: list[tuple[object, ...]] = [
        (
            row["model"],
            part,
            "all",
            row["metric"],
            *(_nan(row[key]) for key in ("value", "low", "high")),
            *counts,
        )
        for row in test.table().iter_rows(named=True)
    ]
    everything = pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row")
    parts = subset_metrics(task, part, test.windows, test.scores)
    return pl.concat([everything, parts.filter(pl.col("subset") != "all")])


def subset_metrics(
    task: ForecastTask, part: Part, windows: Windows, scores: Mapping[str, WindowScores]
) -> pl.DataFrame:
    """Return some metrics of each model, without intervals: over all windows, and by groups of series.

    Groups are thirds by level, ``level:low`` and so on, and single series where they are few.

    Parameters
    ----------
    task
        Series and windows.
    part
        Name of the part, for the table.
    windows
        Windows of that part.
    scores
        Scores of each model on them, by its name.
    """
    observed = np.isfinite(task.truth(windows))
    names = np.unique(windows.series)
    masks = {"all": np.ones(len(windows), dtype=bool), **dict(level_masks(task, windows))}
    for number in names.tolist() if len(names) <= MAX_SERIES else []:
        masks[f"series:{task.series.ids[number]}"] = windows.series == number
    missing = float("nan")
    rows: list[tuple[object, ...]] = []
    for subset, mask in masks.items():
        counts = (int(observed[mask].sum()), len(np.unique(windows.series[mask])))
        for model, found in scores.items():
            for metric in STEP_METRICS:
                top, bottom = (sums[metric][mask].sum() for sums in (found.tops, found.bottoms))
                value = float(top / bottom) if bottom > 0 else missing
                rows.append((model, part, subset, metric, value, missing, missing, *counts))
    return pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row")


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _paired(part: Part, test: Backtest, model: str) -> pl.DataFrame:
    """Return the forecaster minus each baseline, by metric; below 0 it is ahead on a loss."""
    parts = [
        test.differences(other).filter(pl.col("model") == model) for other in test.scores if other != model
    ]
    schema = {"model": pl.String, "reference": pl.String, "metric": pl.String}
    numbers = dict.fromkeys(("value", "low", "high"), pl.Float64)
    found = pl.concat([pl.DataFrame(schema={"data": pl.String, **schema, **numbers}), *parts])
    return found.select(
        pl.lit(part).alias("split"), *schema, pl.col("value").alias("difference"), "low", "high"
    )


def _by_step(part: Part, test: Backtest) -> pl.DataFrame:
    frames = [
        test.by_step(metric).select(
            pl.lit(part).alias("split"), "model", pl.lit(metric).alias("metric"), "step", "value"
        )
        for metric in STEP_METRICS
    ]
    return pl.concat(frames)


def _pit(task: ForecastTask, part: Part, test: Backtest, seed: int) -> pl.DataFrame:
    """Return the share of steps in each tenth of what a model thought likely; a tenth each if it is right."""
    truth = task.truth(test.windows)
    edges = np.linspace(0, 1, NUM_PIT_BINS + 1)
    frames = []
    for model, found in test.forecasts.items():
        # Models are asked with the same draws.
        places = pit(found, truth, np.random.default_rng(seed))
        counts, _ = np.histogram(places[np.isfinite(places)], bins=edges)
        frames.append(
            pl.DataFrame(
                {
                    "split": [part] * NUM_PIT_BINS,
                    "model": [model] * NUM_PIT_BINS,
                    "bin": np.arange(NUM_PIT_BINS),
                    "low": edges[:-1],
                    "high": edges[1:],
                    "share": counts / max(int(counts.sum()), 1),
                    "count": counts,
                }
            )
        )
    return pl.concat(frames)


def _calibration(task: ForecastTask, test: Backtest) -> pl.DataFrame:
    """Return for each level the share of steps at or below that quantile."""
    truth = task.truth(test.windows)
    observed = np.isfinite(truth)
    rows: list[tuple[object, ...]] = []
    for model, found in test.forecasts.items():
        quantiles = found.quantile(CALIBRATION_LEVELS)
        for number, level in enumerate(CALIBRATION_LEVELS):
            share = float((truth <= quantiles[:, number])[observed].mean())
            rows.append((model, number, level, share, int(observed.sum())))
    return pl.DataFrame(rows, schema=CALIBRATION_SCHEMA, orient="row")


def _fan(task: ForecastTask, test: Backtest, model: str) -> pl.DataFrame:
    """Return quantiles of the test windows of some series, with what came as ``actual``."""
    chosen = np.flatnonzero(test.windows.series < MAX_SERIES)
    frame = test.forecasts[model].take(chosen).to_frame(task.series, FAN_LEVELS)
    actual = task.truth(test.windows.take(chosen)).astype(np.float64)
    return frame.with_columns(
        pl.Series("actual", np.repeat(actual.reshape(-1), len(FAN_LEVELS))).fill_nan(None)
    )


def _history(task: ForecastTask) -> pl.DataFrame:
    """Return ``series_id, time, actual`` of the last context before the test of the series of the fans."""
    frames = [pl.DataFrame(schema={"series_id": pl.String, "time": pl.Datetime("us"), "actual": pl.Float64})]
    for number in np.unique(task.test.series[task.test.series < MAX_SERIES]).tolist():
        end = int(task.test_begins[number])
        steps = slice(max(end - task.context_length, 0), end)
        actual = task.series.target(number)[steps].astype(np.float64)
        frames.append(
            pl.DataFrame(
                {
                    "series_id": [task.series.ids[number]] * len(actual),
                    "time": task.series.times(number)[steps],
                    "actual": pl.Series(actual).fill_nan(None),
                }
            )
        )
    return pl.concat(frames)


def _warnings(
    metrics: pl.DataFrame, paired: pl.DataFrame, model: str, tests: Mapping[Part, Backtest]
) -> Iterator[str]:
    own = metrics.filter((pl.col("model") == model) & (pl.col("subset") == "all"))
    for part in PARTS:
        coverage = own.filter(split=part, metric="coverage_90")["value"][0]
        if not COVERAGE_BAND[0] <= coverage <= COVERAGE_BAND[1]:
            yield (
                f"The 90 % interval of {model!r} holds {coverage:.1%} of the steps of the {part} windows, "
                f"outside of {COVERAGE_BAND[0]:.0%} to {COVERAGE_BAND[1]:.0%}."
            )
    ahead = paired.filter((pl.col("split") == "test") & (pl.col("metric") == "crps") & (pl.col("low") > 0))
    for reference, difference in ahead.select("reference", "difference").rows():
        yield f"{reference!r} has {difference:.4f} less CRPS on the test than {model!r}: it is enough."
    if len(tests["test"].windows) < FEW_WINDOWS:
        yield (
            f"The test has {len(tests['test'].windows)} windows, fewer than {FEW_WINDOWS}: intervals over so "
            "few say little."
        )
