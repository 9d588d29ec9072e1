"""How good a predictor becomes with how many attempts, chosen by which sampler, in how many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final, Literal

import polars as pl

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.samplers import NEEDS_CLUSTERS, NEEDS_EMBEDDING, Pool, budget_of, make_sampler
from edpipe.datasets.strategy import Places
from edpipe.evaluation.strategy.groups import MasteryGroups
from edpipe.evaluation.strategy.score import score_strategies
from edpipe.settings import Settings

CURVE_FILE = "learning_curve.parquet"
BUDGETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
Equal = Literal["epochs", "steps"]
CURVE_SCHEMA = {
    "sampler": pl.String,
    "model": pl.String,
    "budget": pl.Float64,
    "num_attempts": pl.Int64,
    "seed": pl.Int64,
    "equal": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "seconds_sampler": pl.Float64,
    "seconds_total": pl.Float64,
}
KEY = ["sampler", "model", "budget", "seed", "equal"]
# Name in the curve, to subset and metric of the evaluation.
MEASURED: Final = {
    "exact_match": ("all", "exact_match"),
    "jaccard": ("all", "jaccard"),
    "edit_similarity": ("all", "edit_similarity"),
    "next_kc_accuracy": ("all", "next_kc_accuracy"),
    "log_likelihood": ("all", "log_likelihood"),
    "calibration_error": ("all", "calibration_error"),
    "departure_recall": ("departures", "exact_match"),
    "exact_match_seen": ("seen_problems", "exact_match"),
    "mastery_gap": ("mastery:gap", "exact_match"),
    "mastery_gap_standardized": ("mastery:gap_standardized", "exact_match"),
    "mastery_gap_by_chance": ("mastery:gap_by_chance", "exact_match"),
    "mastery_worst": ("mastery:worst", "exact_match"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a learner is given.

    Attributes
    ----------
    rows
        Sampled training attempts, rising.
    seed
        Seed of the training.
    passes
        By what the usual number of passes over the rows is to be multiplied: 1 for equal epochs; for equal
        steps, all training attempts over the sampled ones.
    """

    rows: Places
    seed: int
    passes: float = 1.0


# Learns, and returns what predicts rows.
Learner = Callable[[Lesson], Callable[[Places], PredictedStrategies]]


def learning_curve(
    pool: Pool,
    test: Places,
    learners: Mapping[str, Learner],
    settings: Settings,
    *,
    samplers: Sequence[str] = ("clusters", "uniform"),
    budgets: Sequence[float] = BUDGETS,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    equals: Sequence[Equal] = ("epochs",),
    groups: MasteryGroups | None = None,
    seconds_embedding: float = 0.0,
    seconds_clusters: float = 0.0,
    num_draws: int = 200,
    file: Path | None = None,
    on_point: Callable[[pl.DataFrame], None] | None = None,
    measure: Callable[[PredictedStrategies], Mapping[str, float]] | None = None,
) -> pl.DataFrame:
    """Sample, learn and score at every budget.

    Parameters
    ----------
    pool
        All training attempts with their embedding and clusters.
    test
        Attempts to score, of no training.
    learners
        Predictor name to what trains it.
    settings
        For the samplers.
    samplers, budgets, seeds, equals
        What is combined; budgets are shares in (0, 1]. ``all`` is measured at budget 1 only. Equal epochs
        give each sample as many passes, equal steps as many batches as all attempts would take.
    groups
        Mastery groups of all training attempts, for the gap.
    seconds_embedding, seconds_clusters
        What these cost; a sampler that needs them pays, and every total pays the embedding once.
    num_draws
        Draws of students for the interval of each value.
    file
        Where the curve is kept: what it holds already is not measured again, and every new point is on disk
        before the next begins.
    on_point
        Called with the rows of each new point.
    measure
        Further numbers of each prediction by name, without interval.

    Returns
    -------
    DataFrame
        Columns :data:`CURVE_SCHEMA`; one row a point and metric of :data:`MEASURED`. ``seconds_sampler``
        holds sampling and what it needs, ``seconds_total`` also learning; prediction is left out.
    """
    known = pl.read_parquet(file) if file is not None and file.exists() else pl.DataFrame(schema=CURVE_SCHEMA)
    done = set(known.select(KEY).unique().rows())
    for sampler, budget, seed in product(samplers, budgets, seeds):
        if sampler == "all" and budget != 1.0:
            continue
        points = [(sampler, model, budget, seed, equal) for model in learners for equal in equals]
        if all(point in done for point in points):
            continue
        begun = time.perf_counter()
        rows = make_sampler(sampler, settings).sample(replace(pool, seed=seed), budget_of(budget, len(pool)))
        seconds = time.perf_counter() - begun
        seconds += seconds_clusters if sampler in NEEDS_CLUSTERS else 0.0
        paid = seconds + (seconds_embedding if sampler in NEEDS_EMBEDDING else 0.0)
        for point in points:
            if point in done:
                continue
            passes = len(pool) / len(rows) if point[-1] == "steps" else 1.0
            begun = time.perf_counter()
            predict = learners[point[1]](Lesson(rows, seed, passes))
            total = seconds + seconds_embedding + time.perf_counter() - begun
            said = predict(test)
            values = list(_measured(pool, said, groups, num_draws, settings.seed))
            further = {} if measure is None else measure(said)
            values += [(name, value, float("nan"), float("nan")) for name, value in further.items()]
            frame = pl.DataFrame(
                [
                    (sampler, point[1], budget, len(rows), seed, point[-1], *value, paid, total)
                    for value in values
                ],
                schema=CURVE_SCHEMA,
                orient="row",
            )
            known = pl.concat([known, frame])
            if file is not None:
                _keep(known, file)
            if on_point is not None:
                on_point(frame)
    return known


def _measured(
    pool: Pool, predicted: PredictedStrategies, groups: MasteryGroups | None, num_draws: int, seed: int
) -> Iterator[tuple[str, float, float, float]]:
    frame = score_strategies(
        pool.dataset, {"model": predicted}, pool.rows, groups=groups, num_draws=num_draws, seed=seed
    ).metrics
    columns = frame.select("subset", "metric", "value", "low", "high").rows()
    found = {row[:2]: row[2:] for row in columns}
    for name, place in MEASURED.items():
        if place in found:
            yield (name, *found[place])


def _keep(frame: pl.DataFrame, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}")
    frame.write_parquet(scratch)
    scratch.replace(file)
