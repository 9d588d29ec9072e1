"""Rows whose drift is measured, for each family: what its models read, when, and what they said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from edpipe.evaluation.drift.histogram import Kind

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.training.run import TrainingRun

Part = Literal["training", "since"]

TRACING: Final = """
    with named as (select item_key, list(kc_id order by kc_id) as kcs from core.item_kcs group by item_key)
    select e.student_key as student, e.interaction_number, e.answered_at as at, i.item_id as item, named.kcs,
        e.elapsed_seconds, e.lag_seconds, e.is_correct, i.part, hour(e.answered_at) as hour,
        cast(e.is_correct as double) as observed
    from training.tracing_examples e
    join core.items i using (item_key) left join named using (item_key)
    where e.source = '{source}' {since}
"""
STRATEGY: Final = """
    with named as (select map(list(kc_key), list(kc_id)) as of_key from core.kcs)
    select e.student_id as student, e.started_at as at, e.problem_id as item,
        list_transform(e.kc_keys, lambda k: named.of_key[k]) as kcs,
        len(e.kc_keys) as num_kcs, e.section_id as section, e.problem_view, hour(e.started_at) as hour
    from training.strategy_examples e, named where e.source = '{source}' {since}
"""
SERIES: Final = """
    select series_id as student, started_at as at, series_id as item,
        num_interactions / nullif(num_students, 0) as interactions_a_student,
        num_correct / nullif(num_scored, 0) as share_correct, dayname(started_at) as weekday
    from features.activity_series
    where source = '{source}' and grain = 'day' {since}
"""
BEHAVIORS: Final = """
    select e.student_key as student, e.requested_at as at, c.item_id as item, c.category_ids as kcs,
        e.history_length, e.is_correct, c.part, hour(e.requested_at) as hour
    from training.recommendation_examples e join core.catalog c using (catalog_key)
    where e.source = '{source}' and e.log_name = '{log}' {since}
"""
# What the champion foretold before, beside what came.
FORECAST: Final = """
    select f.series_id as item, f.started_at as at, 0.9 as score,
        cast(case f.measure when 'interactions' then s.num_interactions when 'students' then s.num_students
            else s.num_correct / nullif(s.num_scored, 0) end between f.quantile_05 and f.quantile_95
            as double) as observed
    from predictions.activity_forecasts f
    join features.activity_series s on s.source = f.source and s.series_id = f.series_id
        and s.started_at = f.started_at
        and s.grain = case f.frequency when 'hourly' then 'hour' else 'day' end
    where f.source = '{source}' and f.model_version = {version} and s.started_at > f.last_known_at
"""


@dataclass(frozen=True, slots=True)
class DriftSource:
    """Where the rows of a family come from.

    Attributes
    ----------
    features
        Kind of each feature.
    sql, time
        Query of the published tables, and its column of time.
    """

    features: Mapping[str, Kind]
    sql: str
    time: str


SOURCES: Final[Mapping[str, DriftSource]] = {
    "tracing": DriftSource(
        {
            "elapsed_seconds": "number",
            "lag_seconds": "number",
            "is_correct": "category",
            "part": "category",
            "hour": "category",
        },
        TRACING,
        "e.answered_at",
    ),
    "strategy": DriftSource(
        {"num_kcs": "number", "section": "category", "problem_view": "number", "hour": "category"},
        STRATEGY,
        "e.started_at",
    ),
    "tsdiff": DriftSource(
        {"interactions_a_student": "number", "share_correct": "number", "weekday": "category"},
        SERIES,
        "started_at",
    ),
    "diffumin": DriftSource(
        {"history_length": "number", "is_correct": "category", "part": "category", "hour": "category"},
        BEHAVIORS,
        "e.requested_at",
    ),
}


def drift_rows(
    settings: Settings, run: TrainingRun, part: Part, *, since: datetime | None = None, version: int = 0
) -> pl.DataFrame:
    """Return the rows of a family as they are published now.

    Parameters
    ----------
    settings
        Where the published tables are.
    run
        Training run of the champion.
    part
        ``training``: all rows, with scores of validation rows alone; ``since``: later rows, all scored.
    since
        Rows after this time only.
    version
        Registered version, for predictions that were published by it.
    """
    source = SOURCES[run.model]
    later = "" if since is None else f"and {source.time} > timestamptz '{since.isoformat()}'"
    log = str(run.steps)
    rows = _published(settings, source.sql.format(source=run.source, log=log, since=later))
    rows = rows.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    add = SCORES.get(run.model)
    return rows if add is None or rows.is_empty() else add(settings, run, rows, part, version)


def _tracing_scores(
    settings: Settings, run: TrainingRun, rows: pl.DataFrame, part: Part, version: int
) -> pl.DataFrame:
    """Add what the tracer foretells: of rows that it did not learn from."""
    del version
    from edpipe.datasets.tracing import SPLITS
    from edpipe.datasets.tracing_source import tracing_dataset
    from edpipe.prediction.tracing import predict

    if run.steps != "questions":
        return rows
    given = {"source": run.source, "steps": run.steps}
    asked = settings.model_copy(update={"tracing": settings.tracing.model_copy(update=given)})
    dataset = tracing_dataset(asked)
    keys = [pl.col("student").cast(pl.Int64), pl.col("interaction_number").cast(pl.Int64)]
    scores = pl.concat(
        predict(run.run_dir, dataset, split).select(
            pl.col("student_key").cast(pl.Int64).alias("student"),
            pl.col("interaction_number").cast(pl.Int64),
            pl.col("probability").alias("score"),
        )
        for split in (("valid",) if part == "training" else SPLITS)
    )
    return rows.with_columns(keys).join(scores, on=["student", "interaction_number"], how="left")


def _forecast_scores(
    settings: Settings, run: TrainingRun, rows: pl.DataFrame, part: Part, version: int
) -> pl.DataFrame:
    """Add whether what came lies inside the 90 % interval that the champion published before."""
    published = _published(
        settings, "select relation from meta.relations where relation = 'predictions.activity_forecasts'"
    )
    if part == "training" or published.is_empty():
        return rows
    found = _published(settings, FORECAST.format(source=run.source, version=version)).with_columns(
        pl.col("at").cast(pl.Datetime("us", "UTC")), pl.col("score").cast(pl.Float64)
    )
    return rows.join(found, on=["item", "at"], how="left")


def _published(settings: Settings, sql: str) -> pl.DataFrame:
    """Answer a query of this module: without the limits of those that people ask."""
    from edpipe.warehouse import open_reader

    with open_reader(settings) as connection:
        return connection.sql(sql).pl()


AddScores = Callable[["Settings", "TrainingRun", pl.DataFrame, Part, int], pl.DataFrame]
SCORES: Final[Mapping[str, AddScores]] = {"tracing": _tracing_scores, "tsdiff": _forecast_scores}


def has_rows(settings: Settings, run: TrainingRun) -> bool:
    """Tell whether the rows of a run are published; those of a forecaster of a file are not."""
    from edpipe.datasets.series_source import FILE_SOURCE

    return settings.published_path.exists() and run.source != FILE_SOURCE
