"""Clusters of attempts and their profiles as prediction tables of a registered predictor."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from edpipe.datasets.strategy import StrategyDataset
from edpipe.mastery.cluster_profiles import cluster_members, cluster_profiles
from edpipe.mastery.embedding import Embedding
from edpipe.mastery.strategy_clusters import StrategyClusters


def cluster_tables(
    dataset: StrategyDataset,
    embedding: Embedding,
    clusters: StrategyClusters,
    *,
    model_name: str,
    model_version: int,
    scored_at: datetime | None = None,
    seed: int = 7,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of ``predictions.strategy_clusters`` and of ``predictions.cluster_profiles``.

    The first has one row an attempt, the second one a cluster of attempts.

    Parameters
    ----------
    dataset, embedding, clusters
        Attempts, vectors and clusters in the same codes.
    model_name, model_version
        The registered predictor that learned from the clusters.
    scored_at
        UTC; by default now.
    seed
        Seed of the pairs that symmetry is measured on.
    """
    made = {
        "model_name": pl.lit(model_name),
        "model_version": pl.lit(model_version, dtype=pl.Int32),
        "scored_at": pl.lit(scored_at or datetime.now(UTC), dtype=pl.Datetime("us", "UTC")),
    }
    members = cluster_members(dataset, clusters)
    profiles = cluster_profiles(dataset, embedding, clusters, seed=seed)
    return members.with_columns(**made), profiles.with_columns(**made)
