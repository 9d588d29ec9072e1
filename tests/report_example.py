"""A small published database and training run, made by hand, for tests of the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

NUM_STUDENTS = 60
NUM_KCS = 14
MODELS = ("attention", "dkt", "logistic regression", "BKT", "item difficulty", "majority")

TABLES = """
create schema core; create schema features; create schema predictions;
create table core.interactions as select *, true as is_answered from answers;
update core.interactions set is_answered = false, is_correct = null where interaction_number % 97 = 0;
create table core.students as
    select student_key, 'ednet' as source, student_id, 'train' as split, count(*) as num_interactions
    from core.interactions group by all;
create table core.items as
    select distinct item_key, 'ednet' as source, 'q' || item_key as item_id, 1 as part from answers;
create table core.kcs as select distinct kc_key, 'ednet' as source, '' || kc_key as kc_id from answers;
create table core.opportunities as
    select student_key, kc_key, is_correct, source,
        row_number() over (partition by student_key, kc_key order by interaction_number) as opportunity
    from core.interactions;
create table features.activity_hourly as
    select source, date_trunc('hour', answered_at) as hour, count(*) as num_interactions,
        count(distinct student_key) as num_students, count(*) filter (where is_correct) as num_correct
    from core.interactions group by all;
create table features.kc_mastery as
    select source, student_key, student_id, kc_key, '' || kc_key as kc_id,
        count(*) as num_opportunities, avg(is_correct::integer) as mastery
    from core.interactions where is_answered group by all;
create table core.reconciliation as
    select * from (values
        ('rows_accounted', 'ednet', 'kt1', 1000.0, 1000.0, true, 'error', 'Every row is kept or rejected.'),
        ('empty_answers', 'ednet', 'kt1', 12.0, null, true, 'info', 'Rows without an answer, kept apart.'),
        ('enter_equals_submit', 'ednet', 'kt4', 995.0, 1000.0, false, 'warning', 'Each bundle is <left>.')
    ) as checks(check_name, source, relation, observed, expected, is_ok, severity, detail);
"""


PREDICTIONS = """
create table predictions.kc_mastery as
    select student_id, source, kc_id, mastery, num_opportunities,
        'tracing' as model_name, 3 as model_version, now() as scored_at
    from features.kc_mastery;
"""


def example_query(seed: int = 7, *, predicted: bool = False) -> Callable[[str], pl.DataFrame]:
    """Build the tables in memory and return what answers SQL over them."""
    random = np.random.default_rng(seed)
    counts = np.clip(random.lognormal(4, 1.1, NUM_STUDENTS).astype(int), 3, 900)
    student = np.repeat(np.arange(1, NUM_STUDENTS + 1), counts)
    number = np.concatenate([np.arange(1, count + 1) for count in counts])
    kc = 1 + np.minimum(random.geometric(0.18, len(student)) - 1, NUM_KCS - 1)
    ability = random.normal(0.3, 0.9, NUM_STUDENTS + 1)[student] + 0.004 * number
    right = random.random(len(student)) < 1 / (1 + np.exp(-ability + 0.08 * kc))
    hour = random.choice(24, len(student), p=_rhythm())
    minutes = (number // 4 + random.integers(0, 150, len(student))) * 1440 + hour * 60
    answers = pl.DataFrame(
        {
            "source": ["ednet"] * len(student),
            "student_key": student.astype(np.int32),
            "student_id": [f"u{key * 7919}" for key in student],
            "interaction_number": number.astype(np.int32),
            "item_key": (kc * 10 + random.integers(0, 10, len(student))).astype(np.int32),
            "kc_key": kc.astype(np.int32),
            "is_correct": right,
            "answered_at": pl.Series(minutes * 60_000_000 + 1_546_300_800_000_000).cast(
                pl.Datetime("us", "UTC")
            ),
        }
    )
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.register("answers", answers.to_arrow())
    connection.execute(TABLES + (PREDICTIONS if predicted else ""))
    return lambda sql: connection.execute(sql).pl()


def _times(minutes: np.ndarray) -> pl.Series:
    return pl.Series(minutes * 60_000_000 + 1_546_300_800_000_000).cast(pl.Datetime("us", "UTC"))


def _rhythm() -> np.ndarray:
    weights = 1.2 + np.sin((np.arange(24) - 9) / 24 * 2 * np.pi)
    return weights / weights.sum()


def example_run(folder: Path) -> Path:
    """Write a training run with an evaluation, and return its folder."""
    run = folder / "run-1"
    (run / "evaluation").mkdir(parents=True)
    metrics = [row for place, model in enumerate(MODELS) for row in _metrics(model, place)]
    columns = [
        "model",
        "split",
        "subset",
        "metric",
        "value",
        "low",
        "high",
        "num_interactions",
        "num_students",
    ]
    pl.DataFrame(metrics, schema=columns, orient="row").write_parquet(run / "evaluation" / "metrics.parquet")
    bins = [
        (model, number, (number + 0.5) / 15, min(1.0, (number + 0.5) / 15 + 0.02 * place), 40 + 90 * number)
        for place, model in enumerate(MODELS[:-1])
        for number in range(2, 15)
    ]
    bins.append(("majority", 9, 0.63, 0.62, 9000))
    frame = pl.DataFrame(bins, schema=["model", "bin", "predicted", "observed", "count"], orient="row")
    frame.write_parquet(run / "evaluation" / "calibration.parquet")
    (run / "evaluation" / "warnings.json").write_text(json.dumps(["The AUC of 'dkt' is <odd>."]))
    summary = {"baselines": list(MODELS[2:]), "models": list(MODELS), "num_first": 20, "num_openings": 1}
    (run / "evaluation" / "summary.json").write_text(json.dumps(summary))
    (run / "curves.csv").write_text(
        "epoch,train_loss,valid_loss,valid_auc\n"
        + "".join(
            f"{e},{0.5 + 0.2 / e:.4f},{0.54 + 0.15 / e:.4f},{0.78 - 0.1 / e:.4f}\n" for e in range(1, 9)
        )
    )
    (run / "run.json").write_text(json.dumps({"model": "attention", "seed": 7, "data_fingerprint": "ab12"}))
    return run


def _metrics(model: str, place: int) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for offset, subset in enumerate(("all", "mastery:low", "mastery:middle", "mastery:high", "mastery:gap")):
        size = (9040, 20) if subset != "all" else (27120, 60)
        values = {
            "auc": 0.79 - 0.035 * place - 0.01 * offset,
            "log_loss": 0.52 + 0.02 * place,
            "accuracy": 0.74 - 0.01 * place,
            "calibration_error": 0.012 + 0.004 * ((place + 2) % 4),
            "false_positive_rate": 0.2 + 0.1 * offset + 0.01 * place,
        }
        if subset == "mastery:gap":
            values = {"auc": 0.02 + 0.01 * place, "false_positive_rate": 0.2 + 0.02 * place}
        for metric, value in values.items():
            rows.append((model, "test", subset, metric, value, value - 0.011, value + 0.012, *size))
    return rows
