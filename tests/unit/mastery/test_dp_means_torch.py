"""Distances of a torch device: the same labels, centers and objectives as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edpipe.mastery.dp_means import dp_means
from edpipe.mastery.dp_means_points import DensePoints
from edpipe.mastery.dp_means_torch import TorchPoints

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
    ),
]


def point_sets() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(20, 16))
    return {
        "noisy": (centers[rng.integers(0, 20, 2000)] + 0.4 * rng.normal(size=(2000, 16))).astype(np.float32),
        "full of ties": rng.integers(0, 4, size=(800, 3)).astype(np.float32),
        "far from the origin": 1000 + rng.normal(size=(500, 5)),
    }


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["noisy", "full of ties", "far from the origin"])
def test_results_of_a_device_are_those_of_the_cpu_bit_for_bit(name, device):
    values = point_sets()[name]
    plain = dp_means(values, radius=1.5)
    found = dp_means(TorchPoints(values, device=device), radius=1.5)
    np.testing.assert_array_equal(found.labels, plain.labels)
    np.testing.assert_array_equal(found.centers, plain.centers)
    assert found.objective == plain.objective


@pytest.mark.parametrize("device", DEVICES)
def test_more_equally_near_centers_than_are_brought_are_all_looked_at(device):
    values = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    centers = np.repeat(np.zeros((1, 4)), 30, axis=0) + 1e-12 * np.arange(30)[:, None]
    expected = DensePoints(values).nearest(centers)
    found = TorchPoints(values, device=device).nearest(centers)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_subset_stays_on_its_device():
    points = TorchPoints(np.eye(4, dtype=np.float32))
    some = points.subset(np.array([1, 3]))
    assert isinstance(some, TorchPoints)
    assert some.nearest(np.eye(4))[0].tolist() == [1, 3]
