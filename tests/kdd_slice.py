"""The published slice of Bridge to Algebra read without the pipeline: an independent, plain way."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl

from edpipe.datasets.strategy import StrategyDataset, strategy_dataset_of

SLICE = Path("education/kddcup2010/bridge_to_algebra_2008_2009_test_slice.txt")
KEY = ["Anon Student Id", "Problem Hierarchy", "Problem Name", "Problem View"]
NUM_FOLDS = 5


def read_slice(path: Path, kc_model: str) -> StrategyDataset:
    """Return the problem attempts of the slice under one KC model.

    Steps stand in the order of ``Row`` (their times are blank), KCs of a step in the order of their names; a
    step without a KC is passed over, an attempt without any too.

    Parameters
    ----------
    path
        The tab-separated file.
    kc_model
        ``SubSkills`` or ``KTracedSkills``.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    frame = pl.DataFrame(
        [[row[name] for name in ("Row", *KEY, "Step Name", f"KC({kc_model})")] for row in rows],
        schema=["row", *KEY, "step", "kcs"],
        orient="row",
    ).with_columns(pl.col("row").cast(pl.Int64), pl.col("Problem View").cast(pl.Int32))
    steps = (
        frame.sort("row")
        .unique([*KEY, "step"], keep="first", maintain_order=True)
        .with_columns(pl.col("kcs").str.split("~~").list.unique().list.sort())
        .filter(pl.col("kcs").list.join("") != "")
    )
    names = sorted(set(steps["kcs"].explode()))
    code = {name: number for number, name in enumerate(names)}
    attempts = (
        steps.with_columns(size=pl.col("kcs").list.len(), number=pl.int_range(pl.len()))
        .group_by(KEY, maintain_order=True)
        .agg(
            kc_keys=pl.col("kcs").explode(),
            step_sizes=pl.col("size"),
            order=pl.col("number").first(),
        )
        .with_columns(pl.col("kc_keys").list.eval(pl.element().replace_strict(code, return_dtype=pl.Int64)))
    )
    section = pl.col("Problem Hierarchy")
    problem = pl.concat_str(section, pl.lit("/"), "Problem Name")
    examples = attempts.select(
        attempt_key=pl.int_range(pl.len()),
        student_key=pl.col(KEY[0]).rank("dense"),
        student_id=KEY[0],
        section_key=section.rank("dense"),
        section_id=section,
        problem_key=problem.rank("dense"),
        problem_id=problem,
        problem_view="Problem View",
        attempt_number=pl.col("order").rank("dense").over(KEY[0]),
        started_at=pl.lit(None, dtype=pl.Datetime("us", "UTC")),
        split=pl.lit("train"),
        published_split=pl.lit("test"),
        kc_keys="kc_keys",
        step_sizes="step_sizes",
    )
    edges = (
        examples.select("attempt_key", kc_key=pl.col("kc_keys").list.unique())
        .explode("kc_key")
        .with_columns(
            num_steps=pl.lit(1),
            **{name: pl.lit(0) for name in ("num_scored", "num_correct", "prior_scored", "prior_correct")},
        )
    )
    return strategy_dataset_of("kddcup", examples, edges, kc_names=dict(enumerate(names)))


def student_folds(dataset: StrategyDataset, *, seed: int = 0) -> np.ndarray:
    """Return the fold of each attempt, that of its student."""
    fold = np.random.default_rng(seed).permutation(dataset.num_students) % NUM_FOLDS
    return fold[dataset.student]
