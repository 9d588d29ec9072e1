"""Predictions of a registered predictor on the present data, and its scores on another's validation part."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from edpipe.evaluation.strategy.groups import mastery_groups
from edpipe.evaluation.strategy.score import score_strategies
from edpipe.families.strategy_parts import (
    Attempts,
    attempts_of,
    made_clusters,
    made_embedding,
    parts_of,
    settings_of_run,
)
from edpipe.families.strategy_registration import validation_of
from edpipe.families.strategy_training import KNOWN_FOLDER
from edpipe.families.tables import MadeFrom, is_made_from, replace_table, table_path
from edpipe.mastery.cluster_profiles import cluster_members, cluster_profiles
from edpipe.prediction.known import Known, recoded
from edpipe.prediction.strategy import predict_strategies
from edpipe.prediction.strategy_tables import strategies_table
from edpipe.progress import track
from edpipe.training.run import read_run

if TYPE_CHECKING:
    from edpipe.datasets.strategy import Places, StrategyDataset
    from edpipe.mastery.embedding import Embedding
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun

STRATEGIES = "strategies"
CLUSTERS = "strategy_clusters"
PROFILES = "cluster_profiles"
# Raise it when the same model and data would give other rows: tables that are there are then made again.
TABLES_VERSION = b"2"


def validation_scores_of(
    settings: Settings, champion: TrainingRun, candidate: TrainingRun
) -> dict[str, float]:
    """Measure a run's predictor on the validation attempts of another run, of whatever data.

    Raises
    ------
    TrainingError
        If the data have changed since the other run was trained.
    """
    from edpipe.families.raw_data import refuse_changed_data

    attempts = attempts_of(candidate, settings)
    dataset, split = attempts.dataset, attempts.split
    refuse_changed_data(candidate, dataset.fingerprint)
    predicted = predict_strategies(
        champion.run_dir, dataset, _vectors_on(settings, champion, dataset), split.valid
    )
    scores = score_strategies(
        dataset,
        {"champion": predicted},
        split.train,
        split="valid",
        groups=mastery_groups(dataset, split.train),
        num_draws=0,
        seed=settings.seed,
    )
    return dict(validation_of(settings, scores.metrics, "champion").scores)


def write_tables(settings: Settings, chosen: ModelVersion) -> list[Path]:
    """Write strategies, clusters and profiles by a registered version, or find them up to date.

    Strategies are predicted for the test attempts and for each student's attempts in the section that the
    student worked in last. Clusters are those of the version's run; where the data have changed since, they
    are made anew by the settings.
    """
    run = read_run(settings.runs_dir / chosen.run_key)
    attempts = attempts_of(run, settings)
    dataset = attempts.dataset
    rows = rows_of_interest(attempts)
    asked = hashlib.sha256(TABLES_VERSION + dataset.fingerprint.encode() + rows.tobytes()).hexdigest()
    made_from = MadeFrom(chosen.name, chosen.version, asked)
    names = (STRATEGIES, CLUSTERS, PROFILES)
    if all(is_made_from(settings, name, made_from) for name in names):
        return [table_path(settings, name) for name in names]
    vectors = _vectors_on(settings, run, dataset)
    with track("Score strategies", total=len(rows), unit="attempts", mode=settings.progress) as work:
        predicted = predict_strategies(run.run_dir, dataset, vectors, rows, on_batch=work.advance)
    table = strategies_table(
        dataset, predicted, attempts.split, model_name=chosen.name, model_version=chosen.version
    )
    scored_at = table["scored_at"][0]
    clusters, profiles = _cluster_tables(settings, run, attempts, chosen, scored_at)
    frames = {CLUSTERS: clusters, PROFILES: profiles, STRATEGIES: table}
    paths = {name: replace_table(settings, name, frame, made_from) for name, frame in frames.items()}
    return [paths[name] for name in names]


def rows_of_interest(attempts: Attempts) -> Places:
    """Return the test attempts, and those of each student in the section the student worked in last."""
    dataset = attempts.dataset
    latest = dataset.attempts.select(
        pl.col("section") == pl.col("section").last().over("student")
    ).to_series()
    return np.union1d(attempts.split.test, np.flatnonzero(latest.to_numpy())).astype(np.int64)


def _cluster_tables(
    settings: Settings, run: TrainingRun, attempts: Attempts, chosen: ModelVersion, scored_at: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return members and profiles of the run's clusters, or of new ones where the data have changed."""
    dataset = attempts.dataset
    embedding, clusters = parts_of(run, settings)
    if dataset.fingerprint != run.fingerprint or clusters is None:
        asked = settings_of_run(run, settings)
        if dataset.fingerprint != run.fingerprint:
            embedding, _ = made_embedding(asked, attempts)
        clusters, _ = made_clusters(asked, attempts, embedding)
    named = {
        "model_name": pl.lit(chosen.name),
        "model_version": pl.lit(chosen.version, dtype=pl.Int32),
        "scored_at": pl.lit(scored_at, dtype=pl.Datetime("us", "UTC")),
    }
    members = cluster_members(dataset, clusters)
    profiles = cluster_profiles(dataset, embedding, clusters, seed=settings.seed)
    return members.with_columns(**named), profiles.with_columns(**named)


def _vectors_on(settings: Settings, run: TrainingRun, dataset: StrategyDataset) -> Embedding:
    """Return a run's vectors in the codes of a dataset."""
    embedding, _ = parts_of(run, settings)
    if dataset.fingerprint == run.fingerprint:
        return embedding
    return recoded(embedding, Known.load(run.run_dir / KNOWN_FOLDER), dataset)
