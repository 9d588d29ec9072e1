"""What holds of DP-means for any points, radius, weights and start."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edpipe.mastery.dp_means import dp_means
from edpipe.mastery.dp_means_points import DensePoints

POINTS = st.tuples(st.integers(1, 40), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-100, 100, width=32))
)
RADII = st.floats(0.01, 100)


@settings(max_examples=60, deadline=None)
@given(POINTS, RADII, st.integers(0, 5), st.data())
def test_the_objective_never_increases_and_no_point_is_beyond_the_radius(points, radius, seed, data):
    weights = data.draw(arrays(np.float64, len(points), elements=st.integers(1, 5).map(float)))
    starts = data.draw(st.none() | st.just(points[: 1 + len(points) // 3]))
    found = dp_means(points, radius=radius, weights=weights, centers=starts, seed=seed)
    objective = np.array(found.objective)
    assert (np.diff(objective) <= 0).all()
    assert found.squared.max() <= radius**2 * (1 + 1e-9)
    residual = np.square(points - found.centers[found.labels]).sum(axis=1)
    np.testing.assert_allclose(found.squared, residual, rtol=1e-9, atol=1e-12)
    reached = weights @ residual + radius**2 * found.num_clusters
    assert reached <= objective[-1] * (1 + 1e-9)
    assert sorted(set(found.labels)) == list(range(found.num_clusters))


@settings(max_examples=60, deadline=None)
@given(POINTS, st.integers(1, 12), st.integers(0, 100))
def test_the_nearest_center_is_that_of_a_plain_search_in_double_precision(points, num_centers, seed):
    rng = np.random.default_rng(seed)
    # Copies and near copies of points: many ties.
    centers = (
        points[rng.integers(0, len(points), num_centers)]
        + rng.choice([0, 0, 1e-9, 1.0], num_centers)[:, None]
    )
    label, squared = DensePoints(points).nearest(centers)
    plain = np.zeros((len(points), num_centers))
    for axis in range(points.shape[1]):
        plain += (points[:, [axis]] - centers[None, :, axis]) ** 2
    np.testing.assert_array_equal(label, plain.argmin(axis=1))
    np.testing.assert_array_equal(squared, plain.min(axis=1))
