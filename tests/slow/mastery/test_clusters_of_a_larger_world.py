"""Clusters of a larger planted world: groups, cells of group and problem, and many instances."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from strategy_data import planted, planted_embedding

from edpipe.mastery.cluster_dataset import cluster_dataset
from edpipe.setting_groups import ClusterSettings

pytestmark = pytest.mark.slow


def test_cells_of_planted_group_and_problem_are_recovered(tmp_path):
    world = planted(tmp_path, num_students=600, num_sections=10, num_kcs=60)
    dataset = world.dataset
    rows = np.flatnonzero((dataset.attempts["split"] == "train").to_numpy())
    embedding = planted_embedding(world)
    cells = world.group[dataset.student[rows]] * dataset.num_problems + dataset.problem[rows]
    for level in ("entities", "instances"):
        found = cluster_dataset(dataset, embedding, rows, ClusterSettings(level=level), seed=7)
        assert adjusted_rand_score(cells, found.attempt_cluster[rows]) > 0.9, level
