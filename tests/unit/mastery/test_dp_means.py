"""DP-means on few points: what opens a cluster, what merges, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numba import set_num_threads

from edpipe.mastery.dp_means import dp_means
from edpipe.mastery.dp_means_points import DensePoints
from edpipe.mastery.dp_means_radius import first_radius


def blobs(
    num_points: int, centers: np.ndarray, spread: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = np.arange(num_points) % len(centers)
    return centers[group] + spread * rng.normal(size=(num_points, centers.shape[1])), group


def test_a_point_opens_a_cluster_only_beyond_the_radius_not_its_square():
    two_points = np.array([[0.0], [4.0]])  # each lies 2 from their mean
    assert dp_means(two_points, radius=2.0).num_clusters == 1
    assert dp_means(two_points, radius=1.999).num_clusters == 2


def test_an_endless_radius_gives_one_cluster_at_the_mean():
    points = np.random.default_rng(0).normal(size=(50, 3))
    found = dp_means(points, radius=1e6)
    np.testing.assert_allclose(found.centers, points.mean(axis=0, keepdims=True))
    assert (found.labels == 0).all()


def test_a_tiny_radius_gives_one_cluster_for_each_different_point():
    points = np.random.default_rng(0).integers(0, 3, size=(60, 2)).astype(float)
    found = dp_means(points, radius=1e-9)
    assert found.num_clusters == len(np.unique(points, axis=0))
    assert not found.squared.any()


def test_planted_clusters_are_found_exactly():
    centers = np.random.default_rng(1).normal(size=(12, 8))
    points, group = blobs(1200, centers, 0.05)
    found = dp_means(points.astype(np.float32), radius=0.6)
    assert found.num_clusters == 12
    assert len(set(zip(group, found.labels, strict=True))) == 12
    assert found.is_converged


def test_weights_stand_for_equal_points():
    points = np.random.default_rng(2).normal(size=(40, 3))
    weights = np.random.default_rng(3).integers(1, 4, size=40)
    weighted = dp_means(points, radius=1.2, weights=weights.astype(float))
    copied = np.repeat(points, weights, axis=0)
    again = dp_means(copied, radius=1.2, centers=weighted.centers)
    np.testing.assert_allclose(again.centers, weighted.centers)
    assert again.objective[0] == pytest.approx(weighted.objective[-1])


def test_good_centers_to_start_from_stay():
    centers = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    points, _ = blobs(300, centers, 0.1)
    found = dp_means(points, radius=1.0, centers=centers)
    assert len(found.objective) <= 3
    np.testing.assert_allclose(found.centers, centers, atol=0.05)


def test_centers_that_cost_more_than_they_save_are_merged():
    points = np.array([[0.0], [0.1], [0.2]])
    found = dp_means(points, radius=1.0, centers=points)
    assert found.num_clusters == 1
    assert found.objective[0] == 3.0


def test_a_start_center_that_no_point_is_near_is_dropped():
    points = np.array([[0.0], [0.1]])
    found = dp_means(points, radius=1.0, centers=np.array([[0.0], [50.0]]))
    assert found.num_clusters == 1
    assert found.labels.tolist() == [0, 0]


def test_results_do_not_depend_on_the_number_of_threads():
    points, _ = blobs(3000, np.random.default_rng(4).normal(size=(30, 6)), 0.4)
    values = points.astype(np.float32)
    results = []
    for threads in (1, 2):
        set_num_threads(threads)
        results.append(dp_means(values, radius=1.3))
    np.testing.assert_array_equal(results[0].labels, results[1].labels)
    np.testing.assert_array_equal(results[0].centers, results[1].centers)
    assert results[0].objective == results[1].objective


def test_no_point_is_beyond_the_radius_even_when_passes_run_out():
    points = np.random.default_rng(5).normal(size=(500, 4))
    found = dp_means(points, radius=0.8, max_iterations=2)
    assert found.squared.max() <= 0.8**2
    assert not found.is_converged


def test_the_nearest_center_is_exact_where_single_precision_cannot_tell():
    centers = np.array([[1.0, 0.0], [1.0 + 1e-9, 0.0], [1.0 - 1e-9, 0.0]])
    points = DensePoints(np.array([[5.0, 0.0], [-5.0, 0.0], [1.0, 0.0]]))
    label, squared = points.nearest(centers)
    assert label.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(squared, ((points.values - centers[label]) ** 2).sum(axis=1))


def test_more_centers_than_fit_at_once_give_the_same_labels(monkeypatch):
    rng = np.random.default_rng(6)
    points, centers = DensePoints(rng.normal(size=(200, 3))), rng.normal(size=(90, 3))
    whole = points.nearest(centers)
    monkeypatch.setattr("edpipe.mastery.dp_means_points.CENTERS_AT_ONCE", 7)
    monkeypatch.setattr("edpipe.mastery.dp_means_points.BLOCK_VALUES", 100)
    tiled = points.nearest(centers)
    np.testing.assert_array_equal(whole[0], tiled[0])
    np.testing.assert_array_equal(whole[1], tiled[1])


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf])
def test_a_radius_that_is_no_radius_is_refused(radius):
    with pytest.raises(ValueError, match="radius must be positive"):
        dp_means(np.zeros((2, 2)), radius=radius)


@pytest.mark.parametrize(
    ("points", "weights"),
    [
        (np.zeros((0, 2)), None),
        (np.array([[np.nan]]), None),
        (np.array([[1e30]]), None),
        (np.zeros((2, 1)), np.array([1.0, 0.0])),
        (np.zeros((2, 1)), np.array([1.0])),
    ],
    ids=["none", "nan", "too long", "weight of zero", "too few weights"],
)
def test_points_that_cannot_be_clustered_are_refused(points, weights):
    with pytest.raises(ValueError, match="must"):
        dp_means(points, radius=1.0, weights=weights)


def test_the_first_radius_covers_all_points_with_as_many_of_them():
    points, _ = blobs(900, np.random.default_rng(7).normal(size=(9, 5)) * 3, 0.1)
    kept = DensePoints(points)
    radius = first_radius(kept, num_clusters=9)
    assert 0.1 < radius < 1.0
    assert dp_means(points, radius=radius).num_clusters == 9
    assert first_radius(kept, num_clusters=8) > radius


def test_the_first_radius_of_equal_points_is_still_a_radius():
    assert first_radius(DensePoints(np.ones((5, 2))), num_clusters=3) > 0
