"""Students with planted strengths: what a click depends on is known, and so is the best AUC there is."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def auc_of():
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "diffumin_planted.py"
    spec = importlib.util.spec_from_file_location("benchmark_diffumin_planted", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module.auc_of


@pytest.mark.slow
def test_several_channels_find_two_interests_that_one_channel_mixes_up(auc_of):
    several, best = auc_of(2, num_channels=4)
    one, _ = auc_of(2, num_channels=1)
    assert several > one + 0.05
    assert several > best - 0.01


@pytest.mark.slow
def test_one_channel_is_as_good_as_several_for_one_interest(auc_of):
    several, best = auc_of(1, num_channels=4)
    one, _ = auc_of(1, num_channels=1)
    assert abs(several - one) < 0.01
    assert min(one, several) > best - 0.01
