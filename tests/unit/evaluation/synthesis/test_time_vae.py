"""The small TimeVAE that generators are measured against."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def peer():
    path = Path(__file__).resolve().parents[4] / "benchmarks" / "peers" / "time_vae.py"
    spec = importlib.util.spec_from_file_location("peer_time_vae", path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("length", [8, 13, 30])
def test_windows_of_any_length_come_back_in_their_shape(peer, length):
    model = peer.TimeVAE(peer.TimeVAEConfig(length, 5))
    mean, log_variance = model.encode(torch.zeros(3, length))
    assert mean.shape == log_variance.shape == (3, 8)
    assert model.decode(mean).shape == (3, length)


def test_draws_have_the_mean_and_about_the_spread_of_a_line_with_a_random_slope(peer):
    slope = np.random.default_rng(0).normal(1, 0.5, size=(400, 1))
    windows = slope * np.linspace(-1, 1, 12)
    config = peer.TimeVAEConfig(12, 1, 2, (8,), num_steps=400, learning_rate=1e-2, reconstruction_weight=20)
    drawn = peer.draw_time_vae(peer.fit_time_vae(windows, config), 500)
    np.testing.assert_allclose(drawn.mean(axis=0), windows.mean(axis=0), atol=0.15)
    assert drawn[:, -1].std() == pytest.approx(windows[:, -1].std(), rel=0.4)


def test_equal_seeds_give_equal_draws(peer):
    windows = np.random.default_rng(0).normal(size=(40, 8))
    config = peer.TimeVAEConfig(8, num_steps=3)
    first, second = (peer.draw_time_vae(peer.fit_time_vae(windows, config), 4) for _ in range(2))
    np.testing.assert_array_equal(first, second)
