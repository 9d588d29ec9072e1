"""Profiles of clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from strategy_data import planted, planted_embedding

from edpipe.mastery.cluster_profiles import cluster_profiles
from edpipe.mastery.strategy_clusters import ROUNDS_SCHEMA, StrategyClusters


def test_the_entropy_of_one_strategy_is_zero_and_not_minus_zero(tmp_path: Path) -> None:
    world = planted(tmp_path, num_students=20, num_sections=1)
    dataset = world.dataset
    texts = [dataset.strategy(row).tobytes() for row in range(dataset.num_attempts)]
    _, cluster = np.unique(texts, return_inverse=True)
    clusters = StrategyClusters(
        student_cluster=np.zeros(dataset.num_students, dtype=np.int32),
        problem_cluster=np.zeros(dataset.num_problems, dtype=np.int32),
        attempt_cluster=cluster.astype(np.int32),
        rounds=pl.DataFrame(schema=ROUNDS_SCHEMA),
    )
    profiles = cluster_profiles(dataset, planted_embedding(world), clusters, seed=1)
    assert profiles.height == cluster.max() + 1
    assert (profiles["num_strategies"] == 1).all()
    entropy = profiles["entropy"].to_numpy()
    assert (entropy == 0).all()
    assert not np.signbit(entropy).any()
