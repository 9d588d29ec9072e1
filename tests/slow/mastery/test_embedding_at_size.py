"""A tutor world of some size: groups among learned vectors, and new students among their like."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from strategy_data import planted

from edpipe.datasets.strategy_splits import split_strategies
from edpipe.mastery.embed import embed_dataset
from edpipe.settings import load_settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("backend", ["gensim", "torch"])
def test_planted_groups_of_a_tutor_world_are_recovered(tmp_path, backend):
    world = planted(tmp_path, num_students=400)
    options = {"walks_per_node": 50, "backend": backend, "is_deterministic": True}
    settings = load_settings("small", home=tmp_path, progress="none", embedding=options)
    split = split_strategies(world.dataset, settings)
    found = embed_dataset(world.dataset, split.train, settings)
    known = np.flatnonzero(found.students.any(axis=1))
    labels = KMeans(world.group.max() + 1, n_init=10, random_state=0).fit_predict(found.students[known])
    assert adjusted_rand_score(world.group[known], labels) > 0.9
    new = np.flatnonzero(~found.students.any(axis=1))
    last = np.searchsorted(world.dataset.student, new, side="right") - 1
    vectors = found.student_vectors(world.dataset, last)
    nearest = known[np.argsort(-vectors @ found.students[known].T, axis=1)[:, :5]]
    assert (world.group[nearest] == world.group[new][:, None]).mean() > 0.9
