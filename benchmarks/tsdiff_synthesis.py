"""Synthetic windows of TSDiff beside TimeVAE, blocks of real windows and a normal law, on a published set.

    python benchmarks/tsdiff_synthesis.py --set m4_hourly --model FILE --data DIR [--windows 10000]

FILE is the `tsdiff.pt` of an unconditional model that `benchmarks/tsdiff.py --models unconditional --home`
trained on the set, DIR holds the files of the sets. All generators learn from steps before validation, and
give as many windows. The table has the Linear Predictive Score (lower is better; `real` learned from real
windows), two forecasters with a spread, how well trees tell synthetic from real windows, and what a release
leaks. Prints it with the verdicts and writes `benchmarks/results/tsdiff_synthesis.csv`, the rows of other
sets kept. One thread.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch
from peers.time_vae import TimeVAEConfig, draw_time_vae, fit_time_vae
from tsdiff import task_of

from edpipe.datasets.published_series import PUBLISHED_TASKS
from edpipe.evaluation.synthesis.judge import judge_synthesis
from edpipe.evaluation.synthesis.real_windows import real_unit_windows
from edpipe.prediction.forecast import load_forecaster
from edpipe.prediction.synthesize import synthesize

RESULTS = Path(__file__).resolve().parent / "results" / "tsdiff_synthesis.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=sorted(PUBLISHED_TASKS), default="m4_hourly")
    parser.add_argument("--model", type=Path, help="leave out for the plain generators and TimeVAE alone")
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--sampler", choices=["ddim", "ddpm"], default="ddim")
    parser.add_argument("--vae-steps", type=int, default=2_000)
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = task_of(options.set, options.data)
    generators = {}
    trained = None
    if options.model is not None:
        trained = load_forecaster(options.model)
        found = synthesize(
            trained,
            task,
            num_windows=options.windows,
            num_steps=options.steps,
            sampler=options.sampler,
            seed=options.seed,
        )
        generators["tsdiff"] = found.unit_windows()
    real = real_unit_windows(task, options.windows, np.random.default_rng(options.seed))
    config = TimeVAEConfig(task.shape.length, task.season, num_steps=options.vae_steps)
    vae = fit_time_vae(real.values, config, seed=options.seed)
    generators["time_vae"] = draw_time_vae(vae, options.windows, seed=options.seed)
    judgement = judge_synthesis(task, generators, trained=trained, num_trees=options.trees, seed=options.seed)
    for one in judgement.verdicts:
        print(one.sentence)
    rows = judgement.scores.select(
        pl.lit(options.set).alias("set"),
        pl.lit(task.context_length).alias("context_length"),
        pl.lit(options.windows).alias("num_windows"),
        pl.lit(options.seed).alias("seed"),
        pl.all(),
    )
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True):
        print(rows.drop("context_length", "num_windows", "seed"))
    options.results.parent.mkdir(parents=True, exist_ok=True)
    if options.results.exists():
        earlier = pl.read_csv(options.results, schema_overrides=rows.schema)
        is_same = (pl.col("set") == options.set) & (pl.col("seed") == options.seed)
        rows = pl.concat([earlier.filter(~is_same), rows])
    scratch = options.results.with_suffix(".writing")
    rows.write_csv(scratch, float_precision=5)
    scratch.replace(options.results)


if __name__ == "__main__":
    main()
