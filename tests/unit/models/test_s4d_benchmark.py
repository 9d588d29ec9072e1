import importlib.util
from pathlib import Path

import pytest
import torch

from models.tsdiff import S4D


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "s4d.py"
    spec = importlib.util.spec_from_file_location("benchmark_s4d", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("length", [16, 31])
def test_kernel_of_the_reference_is_that_of_its_recurrence(benchmark, is_shared, length):
    torch.manual_seed(0)
    layer = benchmark.NPLR(2, 8, is_shared=is_shared).double()
    with torch.no_grad():
        torch.testing.assert_close(layer.kernel(length), layer.recurrent_kernel(length), rtol=0, atol=1e-10)


def test_reference_without_its_rank_one_part_is_our_layer(benchmark):
    torch.manual_seed(0)
    reference, ours = benchmark.NPLR(2, 8).double(), S4D(2, 8, discretization="bilinear").double()
    values = torch.randn(3, 2, 20, dtype=torch.float64)
    with torch.no_grad():
        reference.low_rank.zero_()
        for name in ("log_step", "log_decay", "frequency", "direct"):
            getattr(ours, name).copy_(getattr(reference, name))
        # The reference learns C (I - A^L), and what enters its states is not 1.
        rate = torch.complex(-reference.log_decay.exp(), reference.frequency)
        half = reference.log_step.exp().unsqueeze(-1) * rate / 2
        turn = (1 + half) / (1 - half)
        weight = torch.view_as_complex(reference.output) / (1 - turn**20)
        ours.output.copy_(torch.view_as_real(weight * torch.view_as_complex(reference.entry)))
        torch.testing.assert_close(ours(values), reference(values))
