"""Attempts as points of three parts: the same clusters as of the points built."""

from __future__ import annotations

import numpy as np
import pytest

from edpipe.mastery.dp_means import dp_means
from edpipe.mastery.dp_means_instances import InstancePoints, instance_points

SIZES = (23, 5, 31)


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(size, 4)).astype(np.float32) for size in SIZES]


@pytest.fixture
def keys():
    rng = np.random.default_rng(1)
    return np.stack([rng.integers(0, size, 900) for size in SIZES], axis=1).astype(np.int32)


def built(keys: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([part[keys[:, column]] for column, part in enumerate(parts)], axis=1)


@pytest.mark.parametrize("radius", [0.5, 1.5, 2.5, 9.0])
def test_instances_have_the_clusters_of_their_concatenated_vectors(keys, parts, radius):
    points, place = instance_points(keys, *parts)
    whole = built(points.keys, parts)
    found = dp_means(points, radius=radius)
    plain = dp_means(whole, radius=radius, weights=points.weights)
    np.testing.assert_array_equal(found.labels, plain.labels)
    np.testing.assert_allclose(found.centers, plain.centers, atol=1e-12)
    assert found.objective == pytest.approx(plain.objective)
    np.testing.assert_array_equal(points.keys[place], keys)


def test_equal_instances_are_kept_once_with_their_count(keys, parts):
    points, place = instance_points(np.concatenate([keys, keys, keys[:10]]), *parts)
    assert points.weights.sum() == 2 * len(keys) + 10
    assert len(np.unique(points.keys, axis=0)) == len(points.keys)
    assert len(place) == 2 * len(keys) + 10


def test_sums_are_those_of_the_concatenated_vectors(keys, parts):
    points = InstancePoints(keys, *parts, weights=np.arange(1.0, len(keys) + 1))
    labels = np.random.default_rng(2).integers(0, 6, len(keys)).astype(np.int32)
    whole = built(keys, parts).astype(float) * points.weights[:, None]
    expected = np.stack([whole[labels == label].sum(axis=0) for label in range(6)])
    np.testing.assert_allclose(points.sums(labels, 6), expected)


def test_tiles_of_centers_change_nothing(keys, parts, monkeypatch):
    points = InstancePoints(keys, *parts)
    centers = np.random.default_rng(3).normal(size=(150, 12))
    whole = points.nearest(centers)
    monkeypatch.setattr("edpipe.mastery.dp_means_instances.TABLE_VALUES", 1)
    tiled = points.nearest(centers)
    np.testing.assert_array_equal(whole[0], tiled[0])
    np.testing.assert_array_equal(whole[1], tiled[1])


def test_some_rows_are_nearest_to_what_they_are_among_all(keys, parts):
    points = InstancePoints(keys, *parts)
    centers = np.random.default_rng(4).normal(size=(20, 12))
    rows = np.array([5, 3, 800])
    label, squared = points.nearest(centers)
    some = points.nearest(centers, rows)
    np.testing.assert_array_equal(some[0], label[rows])
    np.testing.assert_array_equal(some[1], squared[rows])
    np.testing.assert_array_equal(points.subset(rows).nearest(centers)[0], label[rows])


def test_a_key_without_a_vector_is_refused(keys, parts):
    keys[0, 1] = SIZES[1]
    with pytest.raises(ValueError, match="column 1"):
        InstancePoints(keys, *parts)
