"""Exchanges of clusters: merged where two share one group, cut where one covers two."""

from __future__ import annotations

import numpy as np
import pytest

from edpipe.mastery.dp_means import dp_means
from edpipe.mastery.dp_means_exchange import exchanged
from edpipe.mastery.dp_means_kernels import halves
from edpipe.mastery.dp_means_points import DensePoints


def groups(places: list[list[float]], size: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([place + 0.1 * rng.normal(size=(size, 2)) for place in np.array(places)])


def state(values: np.ndarray, labels: np.ndarray) -> tuple[DensePoints, np.ndarray, np.ndarray, np.ndarray]:
    points = DensePoints(values)
    sizes = np.bincount(labels).astype(float)
    centers = points.sums(labels, len(sizes)) / sizes[:, None]
    return points, np.square(values - centers[labels]).sum(axis=1), centers, sizes


def test_two_clusters_of_one_group_become_one_where_another_covers_two():
    values = groups([[0, 0], [9, 0], [12, 0]])
    labels = np.repeat([0, 1, 2, 2], [20, 20, 40, 40]).astype(np.int32)
    points, squared, centers, sizes = state(values, labels)
    moved = exchanged(points, labels, squared, centers, sizes)
    assert moved is not None
    found = moved[np.argsort(moved[:, 0])]
    np.testing.assert_allclose(found, [[0, 0], [9, 0], [12, 0]], atol=0.1)


def test_nothing_is_exchanged_where_each_group_has_its_cluster():
    values = groups([[0, 0], [9, 0], [0, 9]])
    labels = np.repeat([0, 1, 2], 40).astype(np.int32)
    points, squared, centers, sizes = state(values, labels)
    assert exchanged(points, labels, squared, centers, sizes) is None


@pytest.mark.parametrize("seed", range(5))
def test_distances_to_new_centers_sum_to_less(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(400, 5))
    labels = (np.arange(400) % 12).astype(np.int32)
    points, _, centers, _ = state(values, labels)
    labels, _ = points.nearest(centers)
    points, squared, centers, sizes = state(values, labels)
    moved = exchanged(points, labels, squared, centers, sizes)
    if moved is not None:
        assert len(moved) == len(centers)
        assert points.nearest(moved)[1].sum() < squared.sum()


def test_a_cut_saves_what_the_means_of_both_parts_say():
    values = groups([[0, 0], [3, 4]])
    weights = np.random.default_rng(1).integers(1, 4, len(values)).astype(float)
    mean = weights @ values / weights.sum()
    saved, *means = halves(values, weights, mean)
    before = weights @ np.square(values - mean).sum(axis=1)
    after = weights @ DensePoints(values).nearest(np.array(means))[1]
    assert saved == pytest.approx(before - after)
    assert saved > 0.9 * before


def test_equal_points_cannot_be_cut():
    assert halves(np.ones((5, 2)), np.ones(5), np.ones(2))[0] == 0


def test_exchanges_lower_the_objective_of_converged_passes():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(3000, 4))
    plain = dp_means(values, radius=1.2, max_exchanges=0)
    better = dp_means(values, radius=1.2, max_exchanges=10)
    assert better.objective[-1] < plain.objective[-1]
    assert (np.diff(better.objective) <= 0).all()


def test_many_points_start_from_the_centers_of_a_sample(monkeypatch):
    rng = np.random.default_rng(3)
    centers = rng.normal(size=(9, 6))
    values = (centers[np.arange(4000) % 9] + 0.05 * rng.normal(size=(4000, 6))).astype(np.float32)
    whole = dp_means(values, radius=0.7)
    monkeypatch.setattr("edpipe.mastery.dp_means.MOST_POINTS", 300)
    sampled = dp_means(values, radius=0.7)
    assert sampled.objective[0] < whole.objective[0]
    assert sampled.num_clusters == whole.num_clusters == 9
    assert sampled.objective[-1] == pytest.approx(whole.objective[-1])
    assert sampled.squared.max() <= 0.7**2
