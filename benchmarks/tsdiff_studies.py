"""What noise schedule, curriculum, gaps in the context and diffusion in steps do to forecasts.

    python benchmarks/tsdiff_studies.py --data DIR --home HOME [--parts schedules,curriculum,missing,cond]

DIR holds the published sets. All networks of a part are of one size, trained for the same number of steps on
the same windows, without early stop; the averaged weights at the end are used. Steps of the sampler and
strength of guidance are chosen on validation windows, then the test windows are forecast. Nothing corrects
the spread. Networks and forecasts are kept in HOME, so that a part that was interrupted goes on; another
context, size or state of the code needs another HOME.

- `schedules`: the unconditional model under each schedule, guided by the past (DDIM, quantile levels);
- `curriculum`: the same, noise levels drawn from strong to all over half of the steps, or always all;
- `missing`: half of the context hidden (at random, its first half, the half next to the forecast), the same
  steps for all: unconditional model, flow trained without gaps, last value carried forward;
- `cond`: diffusion in steps told the past, beside flows.

Writes `benchmarks/results/tsdiff_studies.csv`, each part anew: a row for each seed and number of steps, and
for each option the mean over seeds with its difference from the first option of the part, with the paired
95 % interval over series at these seeds. Seconds are those of the processor, one thread.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch
from tsdiff_networks import Outcome, Study, best, forecast, outcomes, scored

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.published_series import published_task
from edpipe.datasets.series_windows import MISSING_PATTERNS, hidden_context, hide
from edpipe.evaluation.forecast.baselines.naive import last_value, seasonal_naive
from edpipe.evaluation.forecast.intervals import WindowDraws
from edpipe.evaluation.forecast.metrics import WindowScores
from edpipe.setting_groups_forecast import TSDiffSettings

RESULTS = Path(__file__).resolve().parent / "results" / "tsdiff_studies.csv"
PARTS = ("schedules", "curriculum", "missing", "cond")
NUM_DRAWS = 1_000
FREE = {"model": "unconditional"}
SCHEDULES: dict[str, dict[str, Any]] = {
    "linear, noise": {**FREE, "schedule": "linear"},
    "cosine, velocity": {**FREE, "schedule": "cosine"},
    "chosen, velocity": {**FREE, "schedule": "chosen"},
    "zero terminal, velocity": {**FREE, "schedule": "zero_terminal"},
    "sigmoid, velocity": {**FREE, "schedule": "sigmoid"},
    "linear, velocity": {**FREE, "schedule": "linear", "parameterization": "velocity"},
}
TOLD: dict[str, dict[str, Any]] = {
    "flow around the seasonal naive": {"model": "flow", "center": "seasonal_naive"},
    "steps, linear, noise": {"model": "conditional", "schedule": "linear"},
    "flow": {"model": "flow", "center": "none"},
}
# Options of a part, by case and name; the first of a case is what the others are compared with.
OPTIONS: dict[str, dict[tuple[str, str], dict[str, Any]]] = {
    "schedules": {("", name): given for name, given in SCHEDULES.items()},
    "curriculum": {
        (schedule, name): {**SCHEDULES[schedule], **given}
        for schedule in ("linear, noise",)
        for name, given in {"off": {}, "half of the steps": {"curriculum": 0.5}}.items()
    },
    "cond": {("", name): given for name, given in TOLD.items()},
}
# Takes an option, its case, and what came of it.
Report = Callable[[str, str, list[Outcome]], None]


def compared(study: Study, options: dict[tuple[str, str], dict[str, Any]], report: Report) -> None:
    """Train and score options, named by case and option."""
    for (case, option), given in options.items():
        report(option, case, [one for seed in study.seeds for one in outcomes(study, seed, **given)])


def missing(study: Study, report: Report) -> None:
    """Forecast with steps hidden, by networks that never saw a gap, the sampler chosen without any."""
    task = study.task
    free = {f"guided, {name}": SCHEDULES[name] for name in ("linear, noise", "cosine, velocity")}
    named = {"flow around the seasonal naive": TOLD["flow around the seasonal naive"], **free}
    chosen = {
        name: [best(outcomes(study, seed, **given)) for seed in study.seeds] for name, given in named.items()
    }
    for pattern in ("none", *MISSING_PATTERNS):
        hidden = np.zeros((len(task.test), task.context_length), dtype=bool)
        if pattern != "none":
            hidden = hidden_context(
                pattern,
                num_windows=len(task.test),
                context_length=task.context_length,
                random=np.random.default_rng(2023),
            )
        for name, given in named.items():
            rows = []
            for one in chosen[name]:
                model, seconds = study.network(one.seed, **given)
                before = time.process_time()
                found = forecast(
                    study, model, task.test, one.num_steps, scale=one.scale or 1.0, hidden=hidden
                )
                spent = time.process_time() - before
                scores = scored(study, found)
                rows.append(Outcome(one.seed, one.num_steps, one.scale, None, scores, seconds, spent))
            report(name, pattern, rows)
        series, windows = hide(task.series, task.test, hidden, task.prediction_length)
        naives = [last_value()] if task.season == 1 else [last_value(), seasonal_naive()]
        for naive in naives:
            naive.fit(task)
            found = naive.predict(series, windows).at_least(task.minimum)
            again = replace(found, series=task.test.series, origins=task.test.origins)
            report(naive.name, pattern, [Outcome(0, 0, None, None, scored(study, again), 0.0, 0.0)])


class Table:
    """The rows of a part, and its means over seeds; written after each option."""

    def __init__(self, part: str, study: Study, path: Path) -> None:
        self._rows: list[dict[str, Any]] = []
        self._path = path
        self._part = part
        self._study = study
        self._draws = WindowDraws(study.task.test, num_draws=NUM_DRAWS, seed=0)
        self._first: dict[str, WindowScores] = {}

    def report(self, option: str, case: str, found: list[Outcome]) -> None:
        """Add an option: each outcome, then the mean over seeds of those that validation chooses."""
        key = {"part": self._part, "data": self._study.task.name, "case": case, "option": option}
        for one in found:
            self._rows.append({**key, **self._row(one)})
        chosen = [best([one for one in found if one.seed == seed]) for seed in {one.seed for one in found}]
        mean = mean_scores([one.scores for one in chosen])
        first = self._first.setdefault(case, mean)
        apart = self._draws.difference(mean, first, "crps")
        low, high = apart.interval
        crps = [one.scores.value("crps") for one in chosen]
        self._rows.append(
            {
                **key,
                "seed": f"mean of {len(chosen)}",
                "training_steps": self._study.training_steps if chosen[0].training_seconds else 0,
                "crps": mean.value("crps"),
                "crps_least": min(crps),
                "crps_most": max(crps),
                "coverage_90": mean.value("coverage_90"),
                **({} if mean is first else {"difference": apart.value, "low": low, "high": high}),
                "training_seconds": sum(one.training_seconds for one in chosen) / len(chosen),
                "sampling_seconds": sum(one.sampling_seconds for one in chosen) / len(chosen),
            }
        )
        print(self._part, case, option, *(f"{value:.4f}" for value in crps), flush=True)
        write(self._path, self._part, self._study.task.name, self._rows)

    def _row(self, one: Outcome) -> dict[str, Any]:
        return {
            "seed": str(one.seed) if one.training_seconds else "",
            "training_steps": self._study.training_steps if one.training_seconds else 0,
            "sampler_steps": one.num_steps or None,
            "guidance_scale": one.scale,
            "valid_crps": one.valid_crps,
            "crps": one.scores.value("crps"),
            "coverage_90": one.scores.value("coverage_90"),
            "training_seconds": one.training_seconds,
            "sampling_seconds": one.sampling_seconds,
        }


def mean_scores(scores: Sequence[WindowScores]) -> WindowScores:
    """Return scores whose ratios are means over seeds: all seeds share what stands below."""
    tops = {name: sum(one.tops[name] for one in scores) / len(scores) for name in scores[0].tops}
    return replace(scores[0], tops=tops)


COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("part", "data", "case", "option", "seed"), pl.String),
    **dict.fromkeys(("training_steps", "sampler_steps"), pl.Int64),
    **dict.fromkeys(("guidance_scale", "valid_crps", "crps", "crps_least", "crps_most"), pl.Float64),
    **dict.fromkeys(("coverage_90", "difference", "low", "high"), pl.Float64),
    **dict.fromkeys(("training_seconds", "sampling_seconds"), pl.Float64),
}


def write(path: Path, part: str, data: str, rows: list[dict[str, Any]]) -> None:
    """Replace the rows of a part and set, keep the others."""
    table = pl.DataFrame(rows, schema=COLUMNS)
    if path.exists():
        kept = pl.read_csv(path, schema=COLUMNS)
        others = kept.filter((pl.col("part") != part) | (pl.col("data") != data))
        table = pl.concat([others, table])
    order = pl.col("part").replace_strict({name: place for place, name in enumerate(PARTS)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_suffix(".partial")
    table.sort(order, maintain_order=True).write_csv(partial_file, float_precision=6)
    partial_file.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True, help="keep the networks here")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--set", default="exchange_rate")
    parser.add_argument("--context", type=int, default=60)
    parser.add_argument("--season", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=500, help="training steps of each network")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    published = published_task(options.set, options.data)
    task = ForecastTask.rolling(
        options.set,
        published.series,
        context_length=options.context,
        prediction_length=published.prediction_length,
        num_windows=len(published.test) // published.series.num_series,
        season=options.season,
        lags=(),
        minimum=published.minimum,
    )
    asked = TSDiffSettings(
        scaling="robust",
        hidden_size=32,
        num_blocks=2,
        batch_size=32,
        state_size=32,
        learning_rate=2e-3,
        ema_decay=0.995,
    )
    seeds = tuple(range(options.seeds))
    study = Study(task, asked, options.steps, options.samples, seeds, options.home)
    for part in options.parts.split(","):
        table = Table(part, study, options.results)
        if part == "missing":
            missing(study, table.report)
        else:
            compared(study, OPTIONS[part], table.report)


if __name__ == "__main__":
    main()
