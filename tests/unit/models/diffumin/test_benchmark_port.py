import importlib.util
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).resolve().parents[4] / "benchmarks" / "diffumin_serving.py"
    spec = importlib.util.spec_from_file_location("benchmark_diffumin_serving", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_straight_port_computes_what_is_served(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "NUM_ITEMS", 6)
    model = benchmark.network(num_sampling_steps=10, start_level=10, mlp_sizes=(16,))
    expected = benchmark.prepared(model, 80)()
    torch.testing.assert_close(benchmark.port_of(model, 80)(), expected, rtol=0, atol=1e-5)
