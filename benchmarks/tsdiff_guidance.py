"""Guided forecasts and refinement of one unconditional model, beside the sampler as it was published.

    python benchmarks/tsdiff_guidance.py --model FILE --data DIR [--windows 20] [--samples 16] [--part valid]

FILE is the `tsdiff.pt` of an unconditional model that `benchmarks/tsdiff.py --models unconditional --home`
trained on a published set, DIR holds the files of the sets. The published sampler takes 100 steps with two
calls of the network each: an ancestral step, then the gradient at the values it led to. Ours asks once a
step, at the values before it. Seconds are those of the processor, one thread; the scale of each sampler is
the best of a few on the same windows, so look at `valid` to choose and at `test` with `--scales` to report.
A student of one step, where `--student` names one, has a row too.
Writes `benchmarks/results/tsdiff_guidance.csv`, where rows of the same windows, paths and name are replaced.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch
from torch import Tensor
from tsdiff import task_of

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series_batches import WindowEncoder
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.forecast.baselines.naive import seasonal_naive
from edpipe.evaluation.forecast.metrics import window_scores
from edpipe.prediction.forecast import load_forecaster
from edpipe.training.tsdiff_validation import some_windows
from models.batches import WindowBatch
from models.diffusion import DDIM, DDPM, DPMSolver2M, Sampler, VariancePreserving, normal_like
from models.tsdiff import (
    ConditionalForecaster,
    SeriesDiffusion,
    TSDiff,
    guided_sample,
    refine,
    representative_step,
)
from models.tsdiff.conditions import observed_condition
from models.tsdiff.guidance import log_likelihood, spread_levels
from models.tsdiff.guided import frozen

RESULTS = Path(__file__).resolve().parent / "results" / "tsdiff_guidance.csv"
# Validation windows that tell which diffusion step stands for all of them.
STEP_WINDOWS = 200
Forecast = Callable[[WindowBatch], Tensor]


def published_sample(
    model: TSDiff,
    batch: WindowBatch,
    num_samples: int,
    generator: torch.Generator,
    *,
    kind: str = "quantile",
    guidance_scale: float = 4.0,
) -> Tensor:
    """Return paths of whole windows as the published sampler draws them: two calls of the network a step.

    The squared error is without the factor 1/2 there, and the gradient is taken at values one step cleaner
    than the time the network is told.
    """
    process = model.process
    assert isinstance(process, VariancePreserving)
    factor = 2.0 if kind == "mean_square" else 1.0
    condition = observed_condition(batch, kind=kind, guidance_scale=factor * guidance_scale)
    condition = condition.repeat(num_samples)
    levels = spread_levels(num_samples).repeat(len(batch))
    shape = (len(batch) * num_samples, batch.target.shape[1], model.channels)
    x = normal_like(batch.target.new_empty(shape), generator)
    with frozen(model):
        for step in range(process.num_steps - 1, -1, -1):
            time = torch.full((len(x),), step)
            signal, spread = process.signal(time[:1]), process.spread(time[:1])
            before, left = process.signal(time[:1] - 1), process.spread(time[:1] - 1)
            beta = 1 - (signal / before).square()
            variance = beta * (left / spread).square()
            with torch.no_grad():
                noise = model.denoise(x, time).noise
                mean = (x - beta / spread * noise) * before / signal
                x = mean + variance.sqrt() * normal_like(x, generator)
            with torch.enable_grad():
                leaf = x.requires_grad_()
                likelihood = log_likelihood(condition, model.denoise(leaf, time).x0, process, time, levels)
                (gradient,) = torch.autograd.grad(likelihood.sum(), leaf)
            x = (x + variance * gradient).detach()
    return batch.unscale(x[..., 0].view(len(batch), num_samples, -1))


def forecasters(model: TSDiff, num_samples: int, scales: dict[str, list[float]]) -> dict[str, Forecast]:
    """Return every sampler at each of its scales, by name."""
    seeded = partial(torch.Generator().manual_seed, 0)
    found: dict[str, Forecast] = {}
    for kind in ("quantile", "mean_square"):
        for scale in scales["published"]:
            found[f"published {kind} 100 steps scale {scale:g}"] = lambda batch, k=kind, s=scale: (
                published_sample(model, batch, num_samples, seeded(), kind=k, guidance_scale=s)
            )
    samplers: list[tuple[str, Sampler, list[int]]] = [
        ("ddpm", DDPM(), [100]),
        ("ddim", DDIM(), [50, 20, 10, 5]),
        ("dpm", DPMSolver2M(), [50, 20, 10, 5]),
    ]
    for name, sampler, all_steps in samplers:
        for num_steps in all_steps:
            for kind in ("quantile", "mean_square", "variance", "covariance"):
                for scale in scales[kind] if kind != "covariance" else [1.0]:
                    found[f"{name} {kind} {num_steps} steps scale {scale:g}"] = (
                        lambda batch, k=kind, s=scale, n=num_steps, with_=sampler: guided_sample(
                            model, batch, num_samples, n, seeded(), kind=k, guidance_scale=s, sampler=with_,
                            num_iterations=3,
                        )
                    )  # fmt: skip
    return found


def in_one_step(student: SeriesDiffusion, num_samples: int, batch: WindowBatch) -> Tensor:
    """Return paths of the future from one call of the network each."""
    assert isinstance(student, ConditionalForecaster)
    return student.sample(batch, num_samples, 1, torch.Generator().manual_seed(0), is_antithetic=True)


def refinements(
    model: TSDiff,
    base: Tensor,
    step: int,
    num_samples: int,
    step_sizes: list[float],
    temperatures: list[float],
) -> dict[str, Forecast]:
    """Return refinements of a point forecast, by name: as published, and noised and sampled again."""
    found: dict[str, Forecast] = {}
    for start in (5, 9, 18, step):
        found[f"resample from step {start} dpm quantile 6 steps"] = lambda batch, at=start: guided_sample(
            model, batch, num_samples, min(6, at + 1), torch.Generator().manual_seed(0), kind="quantile",
            guidance_scale=2.0, sampler=DPMSolver2M(), base=base, start=at,
        )  # fmt: skip
    ways = [("langevin", temperature) for temperature in temperatures] + [("maximum_likelihood", 0.0)]
    for energy, (method, temperature), regularizer, step_size in itertools.product(
        ("loss", "score"), ways, ("mean_square", "quantile"), step_sizes
    ):
        name = f"refine {energy} {method} {temperature:g} {regularizer} step size {step_size:g}"
        found[name] = lambda batch, e=energy, m=method, t=temperature, r=regularizer, s=step_size: refine(
            model, batch, base, step=step, num_samples=num_samples, method=m, regularizer=r, energy=e,
            step_size=s, temperature=t, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
    return found


def measure(
    task: ForecastTask, windows: Windows, batch: WindowBatch, named: dict[str, Forecast], only: str
) -> pl.DataFrame:
    """Return CRPS, coverage and seconds of each forecaster, best first; print them as they come."""
    rows = []
    for name, forecast in named.items():
        if not any(part in name for part in only.split(",")):
            continue
        before = time.process_time()
        paths = forecast(batch)[..., -task.prediction_length :]
        seconds = time.process_time() - before
        samples = np.nan_to_num(paths.numpy(), nan=0.0, posinf=1e6, neginf=-1e6)
        scores = window_scores(Forecasts.of_samples(windows, samples), task.truth(windows))
        row = {"forecast": name, "crps": scores.value("crps"), "coverage_90": scores.value("coverage_90")}
        rows.append({**row, "seconds": seconds})
        print(f"{name:60s} {row['crps']:.4f} {row['coverage_90']:.2f} {seconds:7.1f} s", flush=True)
    return pl.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", default="m4_hourly")
    parser.add_argument("--part", choices=["valid", "test"], default="valid")
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--scales", default="1,4,16,64", help="of the quantile and mean-square guidance")
    parser.add_argument("--step-sizes", default="0.1", help="of the refinement")
    parser.add_argument(
        "--student", type=Path, help="`tsdiff.pt` of a one-step student, trained on the same set"
    )
    parser.add_argument(
        "--temperatures", default="0.01", help="of Langevin refinement; 0.01 is the published one"
    )
    parser.add_argument("--season", type=int, help="of the seasonal naive to refine, where not the set's")
    parser.add_argument("--only", default="", help="forecasts whose name contains one of these")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    trained = load_forecaster(options.model)
    model = trained.members[0]
    assert isinstance(model, TSDiff)
    task = task_of(options.set, options.data)
    scaling = Scaling.fit(task.series, task.train_ends, trained.scaling)
    encoder = WindowEncoder(task.series, trained.shape, scaling)
    windows = task.valid if options.part == "valid" else task.test
    windows = windows.take(np.linspace(0, len(windows) - 1, options.windows).astype(int))
    batch = encoder.encode(windows, with_future=False)
    scales = [float(scale) for scale in options.scales.split(",")]
    named = forecasters(
        model,
        options.samples,
        {"published": scales, "quantile": scales, "mean_square": scales, "variance": [1.0, 3.0, 8.0]},
    )
    naive = seasonal_naive(spread="none")
    naive.fit(replace(task, season=options.season or task.season))
    base = torch.from_numpy(naive.predict(task.series, windows).values[:, :1].copy())
    judged = encoder.encode(some_windows(task.valid, STEP_WINDOWS), with_future=True)
    step = representative_step(model, [judged], torch.Generator().manual_seed(0))
    print(f"seasonal naive is refined at the diffusion step {step}", flush=True)
    named = {"seasonal naive": lambda _: base, **named}
    if options.student is not None:
        student = load_forecaster(options.student)
        named["one-step student"] = partial(in_one_step, student.members[0], options.samples)
    step_sizes = [float(size) for size in options.step_sizes.split(",")]
    temperatures = [float(one) for one in options.temperatures.split(",")]
    named |= refinements(model, base, step, options.samples, step_sizes, temperatures)
    table = measure(task, windows, batch, named, options.only)
    rows = table.select(
        pl.lit(options.set).alias("set"),
        pl.lit(options.part).alias("part"),
        pl.lit(options.windows).alias("num_windows"),
        pl.lit(options.samples).alias("num_samples"),
        pl.all(),
    )
    if options.results.exists():
        old = pl.read_csv(options.results, schema=rows.schema)
        keys = ["set", "part", "num_windows", "num_samples", "forecast"]
        rows = pl.concat([old.join(rows, on=keys, how="anti"), rows])
    options.results.parent.mkdir(parents=True, exist_ok=True)
    partial_file = options.results.with_suffix(".partial")
    rows.write_csv(partial_file, float_precision=5)
    partial_file.replace(options.results)


if __name__ == "__main__":
    main()
