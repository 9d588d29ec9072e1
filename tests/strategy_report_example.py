"""A run of a strategy predictor, its clusters and their profiles, made by hand, for tests of the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from report_example import example_query

from edpipe.evaluation.results import CALIBRATION_SCHEMA, METRIC_SCHEMA
from edpipe.evaluation.strategy.learning_curve import CURVE_SCHEMA
from edpipe.evaluation.strategy.score import EQUITY_SCHEMA, PAIRED_SCHEMA

MODELS = (
    "transformer",
    "lookup",
    "lookup_sampled",
    "neighbors",
    "problem_mode",
    "section_mode",
    "markov_1",
    "global_mode",
)
SAMPLERS = ("clusters", "uniform", "sections", "kmeans", "kcenter", "adaptive", "coreset")
BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
FIFTHS = ("lowest", "low", "middle", "high", "highest")
GROUPS = (*FIFTHS, "lowest_decile", "short_history")
CLUSTERS_KEY, EMBEDDING_KEY = "c0ffee", "deface"
NUM_PROFILES = 24

PROFILES = """
create table predictions.cluster_profiles as
    select
        'kddcup' as source, number as cluster, (4000 / (1 + number))::bigint as num_attempts,
        30 + number as num_students, 12 + number % 7 as num_problems,
        list_transform(range(1 + number % 9), lambda k: 'synthetic/Write <expression> ' || (k + number))
            as typical_strategy,
        0.9 - 0.02 * number as typical_share, 0.3 + 0.1 * number as entropy,
        0.4 + 0.02 * number as mean_mastery, ['synthetic/Add'] as strongest_kcs,
        ['synthetic/Divide', 'synthetic/Round'] as weakest_kcs, 0.8 - 0.03 * number as symmetry
    from range(24) as numbers(number);
"""


def example_strategy_query(seed: int = 7) -> Callable[[str], pl.DataFrame]:
    """Return what answers SQL over the example's tables with profiles of clusters beside them."""
    query = example_query(seed)
    connection = duckdb.connect()
    connection.execute("create schema predictions")
    connection.execute(PROFILES)

    def answer(sql: str) -> pl.DataFrame:
        if "information_schema" in sql:
            return pl.concat([query(sql), connection.execute(sql).pl()])
        return connection.execute(sql).pl() if "cluster_profiles" in sql else query(sql)

    return answer


def example_strategy_run(folder: Path, *, gain: float = 0.04) -> Path:
    """Write a run with its evaluation and learning curve, and return its folder.

    ``gain`` is the exact match of the predictor less that of the lookup.
    """
    run = folder / "strategy-1"
    evaluation = run / "evaluation"
    evaluation.mkdir(parents=True)
    rows = [row for place, model in enumerate(MODELS) for row in _metrics(model, place, gain)]
    pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row").write_parquet(evaluation / "metrics.parquet")
    bins = [
        (model, number, (number + 0.5) / 10, (number + 0.5) / 10 * (0.95 - 0.1 * place), 30 + 20 * number)
        for place, model in enumerate(MODELS[:2])
        for number in range(1, 10)
    ]
    pl.DataFrame(bins, schema=CALIBRATION_SCHEMA, orient="row").write_parquet(
        evaluation / "calibration.parquet"
    )
    (evaluation / "warnings.json").write_text(json.dumps(["Few attempts <here>."]))
    summary = {"baselines": list(MODELS[1:]), "models": list(MODELS), "num_openings": 1}
    (evaluation / "summary.json").write_text(json.dumps(summary))
    _paired(gain).write_parquet(evaluation / "paired.parquet")
    _rates().write_parquet(evaluation / "equity.parquet")
    example_budgets().write_parquet(evaluation / "learning_curve.parquet")
    (run / "curves.csv").write_text(
        "epoch,train_loss,valid_loss,valid_next_accuracy\n"
        + "".join(f"{e},{1.5 + 0.9 / e:.4f},{1.6 + 0.8 / e:.4f},{0.6 - 0.2 / e:.4f}\n" for e in range(1, 9))
    )
    data = {"embedding_key": EMBEDDING_KEY, "clusters_key": CLUSTERS_KEY}
    facts = {"model": "strategy", "seed": 7, "data": data}
    (run / "run.json").write_text(json.dumps(facts))
    return run


def example_budgets(seed: int = 7) -> pl.DataFrame:
    """Return a learning curve: the first sampler ahead, all of them at one height with all attempts."""
    random = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []
    points = [
        (equal, place, sampler, budget, number)
        for equal in ("epochs", "steps")
        for place, sampler in enumerate((*SAMPLERS, "all"))
        for budget in ((1.0,) if sampler == "all" else BUDGETS)
        for number in range(5)
    ]
    for equal, place, sampler, budget, number in points:
        lost = 0.03 * (1 + 0.35 * place) * np.log10(1 / budget) ** 2
        seconds = (4.0 * place, 20 + 900 * budget + 4 * place)
        values = {"exact_match": 0.62 - lost + random.normal(0, 0.008), "mastery_gap": 0.04 + lost / 2}
        for metric, value in values.items():
            span = (value - 0.02, value + 0.02)
            key = (sampler, "transformer", budget, int(9000 * budget), number, equal, metric)
            rows.append((*key, value, *span, *seconds))
            rows.append((*key[:1], "lookup", *key[2:], value - 0.1, *span, *seconds))
    return pl.DataFrame(rows, schema=CURVE_SCHEMA, orient="row")


def example_map(clusters_dir: Path, *, num_students: int = 1500, num_problems: int = 400) -> pl.DataFrame:
    """Write the map of clusters and return it."""
    random = np.random.default_rng(3)
    frames = []
    for kind, count, num_clusters in (("student", num_students, 14), ("problem", num_problems, 23)):
        centers = random.normal(size=(num_clusters, 2))
        cluster = np.minimum(random.geometric(0.2, count) - 1, num_clusters - 1)
        places = centers[cluster] + 0.16 * random.normal(size=(count, 2))
        mastery = np.clip(0.5 + 0.25 * centers[cluster, 0] + 0.1 * random.normal(size=count), 0, 1)
        frames.append(
            pl.DataFrame(
                {
                    "kind": [kind] * count,
                    "id": [f"synthetic/{kind}_{number}" for number in range(count)],
                    "x": places[:, 0],
                    "y": places[:, 1],
                    "cluster": cluster,
                    "mastery": [None if number % 50 == 0 else value for number, value in enumerate(mastery)],
                }
            )
        )
    frame = pl.concat(frames)
    folder = clusters_dir / CLUSTERS_KEY
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "map.parquet")
    _rounds().write_parquet(folder / "rounds.parquet")
    return frame


def example_estimators(embeddings_dir: Path) -> None:
    """Write the manifest of the embedding with its comparison of estimators."""
    folder = embeddings_dir / EMBEDDING_KEY
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (name, 0.4 + 0.02 * place, place == 0) for place, name in enumerate(("pfa", "tracer", "bkt", "mean"))
    ]
    estimators = [
        {
            "estimator": name,
            "log_loss": loss,
            "log_loss_low": loss - 0.01,
            "log_loss_high": loss + 0.01,
            "auc": 0.75,
            "rmse": 0.38,
            "num_steps": 5000,
            "seconds": 1.5,
            "is_used": is_used,
        }
        for name, loss, is_used in rows
    ]
    (folder / "embedding.json").write_text(json.dumps({"estimators": estimators}))


def _rounds() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "round": [0, 1],
            "refined": ["students", "problems"],
            "radius": [0.8, 0.68],
            "num_student_clusters": [8, 14],
            "num_problem_clusters": [12, 23],
            "num_clusters": [80, 240],
            "objective": [900.0, 700.0],
            "symmetry": [0.4, 0.6],
            "symmetry_low": [0.35, 0.55],
            "symmetry_high": [0.45, 0.65],
            "rand_index": [None, 0.7],
            "median_size": [40.0, 12.0],
            "validation": [0.5, 0.58],
            "is_best": [False, True],
        }
    )


def _metrics(model: str, place: int, gain: float) -> list[tuple[object, ...]]:
    level = 0.56 - 0.05 * (place - 1) if place else 0.56 + gain
    rows: list[tuple[object, ...]] = []
    subsets = {
        "all": (4000, 300, level),
        "seen_problems": (2600, 290, level + 0.1),
        "unseen_problems": (1400, 240, level - 0.2),
        "departures": (1200, 260, 0.3 * (place == 0)),
    }
    for subset, (num_attempts, num_students, height) in subsets.items():
        values = {
            "exact_match": height,
            "jaccard": height + 0.25,
            "edit_similarity": height + 0.2,
            "lcs_f1": height + 0.22,
            "length_error": 1.2 + 0.2 * place,
        }
        if place == 0:
            values |= {"next_kc_accuracy": 0.84, "log_likelihood": -0.31}
        for metric, value in values.items():
            rows.append(
                (model, "test", subset, metric, value, value - 0.02, value + 0.02, num_attempts, num_students)
            )
    for number, group in enumerate(GROUPS):
        scores = {"exact_match": level + 0.01 * number, "jaccard": level + 0.2, "calibration_error": 0.04}
        for metric, value in scores.items():
            rows.append(
                (model, "test", f"mastery:{group}", metric, value, value - 0.03, value + 0.03, 500, 60)
            )
    gaps = {
        ("gap", "exact_match"): 0.06,
        ("gap_standardized", "exact_match"): 0.02,
        ("gap_by_chance", "exact_match"): 0.04,
        ("gap_over_lookup", "exact_match"): 0.05,
        ("worst", "exact_match"): level,
        ("ratio", "exact_match"): 0.9,
        ("gap", "false_positive_rate"): 0.03,
        ("gap", "false_negative_rate"): 0.05,
    }
    for (kind, metric), value in gaps.items():
        low, high = (value - 0.01, value + 0.01) if metric == "exact_match" else (None, None)
        rows.append((model, "test", f"mastery:{kind}", metric, value, low, high, 4000, 300))
    return rows


def _paired(gain: float) -> pl.DataFrame:
    gains = {"all": gain, "seen_problems": gain, "unseen_problems": gain + 0.02, "departures": 0.3}
    rows = [
        ("transformer", "lookup", "test", subset, metric, value, value - 0.02, value + 0.02)
        for subset, value in (gains | {f"mastery:{group}": gain for group in GROUPS}).items()
        for metric in ("exact_match", "jaccard", "edit_similarity")
    ]
    return pl.DataFrame(rows, schema=PAIRED_SCHEMA, orient="row")


def _rates() -> pl.DataFrame:
    rows = [
        ("transformer", "test", kc, group, 0.1 + 0.01 * kc, 0.2 + 0.1 * place, 100, 50 * (1 + kc))
        for kc in range(3)
        for place, group in enumerate(FIFTHS)
    ]
    return pl.DataFrame(rows, schema=EQUITY_SCHEMA, orient="row")
