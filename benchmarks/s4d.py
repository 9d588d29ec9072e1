"""A training step of our S4D network beside one with the full S4 layer (NPLR) of the original TSDiff.

    python benchmarks/s4d.py [--repetitions 7] [--results FILE]

Networks as in the paper's section on the model, in two layouts: ``original`` keeps channels second and uses
1x1 convolutions, as the authors' network does; ``ours`` is :class:`models.tsdiff.Backbone`. The NPLR layer is
written here from its equations: diagonal plus rank one, bilinear, HiPPO-LegS start, kernel through its
generating function at the roots of unity, with the plain Cauchy sum that is used where no compiled extension
is installed, and, as a stronger reference, with one division for all sums. Its kernel is checked against its
own recurrence before anything is timed.

One thread. Variants take turns, and the smallest process time of all turns counts, so other work on the
machine disturbs little. Writes `benchmarks/results/s4d.csv`.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.tsdiff import S4D, Backbone, TSDiffConfig
from models.tsdiff.backbone import Block, StepEmbedding
from models.tsdiff.s4d import two_sided

RESULTS = Path(__file__).resolve().parent / "results" / "s4d.csv"
COLUMNS = [
    "measured", "network", "layer", "state_size", "length", "channels", "batch", "weights", "train_seconds",
    "forward_seconds", "times_original", "repetitions", "machine",
]  # fmt: skip
HIDDEN = 64


class NPLR(nn.Module):
    r"""S4 with a normal-plus-low-rank state matrix, two-sided.

    :math:`A = \Lambda - P P^*`, bilinear with step :math:`\Delta`. With :math:`\tilde C = C (I - \bar A^L)`,
    which is what is learned, the kernel's transform at a root of unity :math:`z` is
    :math:`\frac{2}{1+z} \tilde C (\frac{2}{\Delta} \frac{1-z}{1+z} - A)^{-1} B`, where the inverse of a
    diagonal plus rank one needs four Cauchy sums. ``is_shared`` divides once for all of them, which the
    original does not: a reference that is as quick as we could make it.
    """

    def __init__(self, size: int, state_size: int, *, is_shared: bool = False) -> None:
        super().__init__()
        self.is_shared = is_shared
        number = torch.arange(state_size, dtype=torch.float64)
        root = (2 * number + 1).sqrt()
        order = torch.arange(state_size)
        skew = -0.5 * root.unsqueeze(1) * root * torch.sign(order.unsqueeze(1) - order)
        frequency, vectors = torch.linalg.eigh(-1j * skew.to(torch.complex128))
        half = slice(state_size // 2, None)
        to_basis = vectors.conj().T[half]
        low_rank = to_basis @ (root * math.sqrt(0.5)).to(torch.complex128)
        entry = to_basis @ root.to(torch.complex128)
        low, high = math.log(1e-3), math.log(1e-1)
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(size))
        self.log_decay = nn.Parameter(torch.full((size, state_size // 2), math.log(0.5)))
        self.frequency = nn.Parameter(frequency[half].float().repeat(size, 1))
        self.low_rank = nn.Parameter(torch.view_as_real(low_rank.to(torch.complex64)).repeat(size, 1, 1))
        self.entry = nn.Parameter(torch.view_as_real(entry.to(torch.complex64)).repeat(size, 1, 1))
        self.output = nn.Parameter(torch.randn(2, size, state_size // 2, 2) * math.sqrt(0.5))
        self.direct = nn.Parameter(torch.randn(size))

    def kernel(self, length: int) -> Tensor:
        """Return both kernels. Shape ``(2, size, length)``."""
        rate = torch.complex(-self.log_decay.exp(), self.frequency)
        entry, low_rank = torch.view_as_complex(self.entry), torch.view_as_complex(self.low_rank)
        output = torch.view_as_complex(self.output)
        left = torch.cat([output, low_rank.conj().unsqueeze(0)]).unsqueeze(1)
        right = torch.stack([entry, low_rank]).unsqueeze(0)
        step = self.log_step.exp().view(-1, 1, 1)
        angle = -2 * math.pi / length * torch.arange(length // 2 + 1, dtype=step.dtype)
        root = torch.polar(torch.ones_like(angle), angle)
        # Conjugates are written out; at a root of -1 the usual form would divide by 0, this one does not.
        products, rates = left * right, torch.cat([rate, rate.conj()], dim=-1)
        products = torch.cat([products, products.conj()], dim=-1)
        below = 2 * (1 - root) - step * rates.unsqueeze(-1) * (1 + root)  # (size, state, frequencies)
        if self.is_shared:
            flat = products.flatten(0, 1).transpose(0, 1)  # (size, sums, state)
            sums = torch.bmm(flat, 2 * step / below).transpose(0, 1).unflatten(0, products.shape[:2])
        else:
            sums = (products.unsqueeze(-1) * (2 * step) / below).sum(dim=-2)
        half = (1 + root) / 2
        correction = half / (1 + half * sums[2, 1])
        transform = sums[:2, 0] - sums[:2, 1] * correction * sums[2, 0]
        return torch.fft.irfft(transform, n=length)

    def forward(self, values: Tensor) -> Tensor:
        """Return the convolution. Shape ``(batch, size, length)`` in and out."""
        length = values.shape[-1]
        kernel = two_sided(self.kernel(length), 2 * length)
        spectrum = torch.fft.rfft(values, n=2 * length) * torch.fft.rfft(kernel)
        return torch.fft.irfft(spectrum, n=2 * length)[..., :length] + self.direct.unsqueeze(-1) * values

    def recurrent_kernel(self, length: int) -> Tensor:
        """Return the same kernels from powers of the dense matrix. Shape ``(2, size, length)``."""
        rate = torch.complex(-self.log_decay.exp(), self.frequency)
        rate = torch.cat([rate, rate.conj()], dim=-1)
        entry, low_rank, output = (
            torch.cat([value, value.conj()], dim=-1)
            for value in map(torch.view_as_complex, (self.entry, self.low_rank, self.output))
        )
        kernels = torch.zeros(2, len(rate), length, dtype=self.log_step.dtype)
        one = torch.eye(rate.shape[-1], dtype=rate.dtype)
        for channel in range(len(rate)):
            matrix = torch.diag(rate[channel]) - torch.outer(low_rank[channel], low_rank[channel].conj())
            half = self.log_step[channel].exp() / 2
            turn = torch.linalg.solve(one - half * matrix, one + half * matrix)
            state = torch.linalg.solve(one - half * matrix, 2 * half * entry[channel])
            left = one - torch.linalg.matrix_power(turn, length)
            weights = torch.linalg.solve(left.T, output[:, channel].T).T
            for place in range(length):
                kernels[:, channel, place] = (weights @ state).real
                state = turn @ state
        return kernels


class OriginalNetwork(nn.Module):
    """The paper's network in the layout of its authors: channels second, 1x1 convolutions."""

    def __init__(self, channels: int, state_size: int, num_blocks: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv1d(channels, HIDDEN, 1)
        self.step = StepEmbedding(128, HIDDEN)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "about": nn.Linear(HIDDEN, HIDDEN),
                    "norm": nn.LayerNorm(HIDDEN),
                    "convolution": NPLR(HIDDEN, state_size),
                    "mix": nn.Conv1d(HIDDEN, HIDDEN, 1),
                    "stay": nn.Conv1d(HIDDEN, HIDDEN, 1),
                    "hand_over": nn.Conv1d(HIDDEN, HIDDEN, 1),
                }
            )
            for _ in range(num_blocks)
        )
        self.gather = nn.Conv1d(HIDDEN, HIDDEN, 1)
        self.leave = nn.Conv1d(HIDDEN, channels, 1)

    def forward(self, values: Tensor, time: Tensor) -> Tensor:
        """Return the predicted noise. Shape ``(batch, length, channels)`` in and out."""
        hidden = torch.relu(self.enter(values.transpose(1, 2)))
        about = self.step(time)
        total: Tensor | float = 0.0
        for block in self.blocks:
            inner = hidden + block["about"](about).unsqueeze(-1)
            normed = block["norm"](inner.transpose(1, 2)).transpose(1, 2)
            inner = inner + block["mix"](nn.functional.gelu(block["convolution"](normed)))
            gated = torch.tanh(inner) * torch.sigmoid(inner)
            total = total + block["hand_over"](gated)
            hidden = hidden + block["stay"](gated)
        output: Tensor = self.leave(torch.relu(self.gather(torch.relu(total))))
        return output.transpose(1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    check_kernel()
    rows: list[dict[str, Any]] = []
    for length, channels in ((390, 13), (120, 1), (60, 1)):
        rows += compare_layers(length, 64, given.repetitions)
        rows += compare_networks(length, channels, 64, given.repetitions)
        write(given.results, rows)
    for row in rows:
        name = f"{row['measured']:8s} {row['network']:9s} {row['layer']:17s} N={row['state_size']:<4d}"
        print(f"{name} L={row['length']:<4d} {row['train_seconds']} s, {row['times_original']} times")


def check_kernel() -> None:
    """Refuse to time a reference that is wrong."""
    torch.manual_seed(0)
    for is_shared in (False, True):
        layer = NPLR(3, 8, is_shared=is_shared).double()
        with torch.no_grad():
            for length in (16, 17):
                difference = (layer.kernel(length) - layer.recurrent_kernel(length)).abs().max().item()
                if difference > 1e-10:
                    raise RuntimeError(f"the NPLR kernel is off by {difference:.1e} at length {length}.")


def compare_layers(length: int, batch: int, repetitions: int) -> list[dict[str, Any]]:
    """Time one layer alone, forward and backward."""
    torch.manual_seed(0)
    layers: dict[tuple[str, str, int], nn.Module] = {
        ("original", "NPLR", 128): NPLR(HIDDEN, 128),
        ("original", "NPLR", 64): NPLR(HIDDEN, 64),
        ("original", "NPLR, shared sums", 128): NPLR(HIDDEN, 128, is_shared=True),
        ("ours", "S4D", 128): S4D(HIDDEN, 128),
        ("ours", "S4D", 64): S4D(HIDDEN, 64),
    }
    values = torch.randn(batch, HIDDEN, length, requires_grad=True)
    steps = {
        key: (training_step(layer, values), forward_pass(layer, values)) for key, layer in layers.items()
    }
    shared = {"measured": "layer", "length": length, "channels": HIDDEN, "batch": batch}
    return rows_of(steps, layers, shared, repetitions)


def compare_networks(length: int, channels: int, batch: int, repetitions: int) -> list[dict[str, Any]]:
    """Time a training step of whole networks: the original, ours with its layer, and ours."""
    torch.manual_seed(0)
    networks: dict[tuple[str, str, int], nn.Module] = {
        ("original", "NPLR", 128): OriginalNetwork(channels, 128),
        ("ours", "NPLR", 128): with_layer(ours(length, channels, 64), 128),
        ("ours", "NPLR, shared sums", 128): with_layer(ours(length, channels, 64), 128, is_shared=True),
        ("ours", "S4D", 128): ours(length, channels, 128),
        ("ours", "S4D", 64): ours(length, channels, 64),
    }
    values, time_of = torch.randn(batch, length, channels), torch.randint(0, 100, (batch,)).float()
    steps = {
        key: (training_step(network, values, time_of), forward_pass(network, values, time_of))
        for key, network in networks.items()
    }
    shared = {"measured": "network", "length": length, "channels": channels, "batch": batch}
    return rows_of(steps, networks, shared, repetitions)


def ours(length: int, channels: int, state_size: int) -> Backbone:
    config = TSDiffConfig(
        context_length=length - 1, prediction_length=1, num_lags=channels - 1, state_size=state_size
    )
    return Backbone(config, channels)


def with_layer(network: Backbone, state_size: int, *, is_shared: bool = False) -> Backbone:
    """Put the original's layer in place of ours."""
    for block in network.blocks:
        assert isinstance(block, Block)
        block.convolution = NPLR(HIDDEN, state_size, is_shared=is_shared)
    return network


def training_step(model: nn.Module, *given: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        (model(*given) - given[0]).square().mean().backward()
        optimizer.step()

    return step


def forward_pass(model: nn.Module, *given: Tensor) -> Callable[[], None]:
    def forward() -> None:
        with torch.no_grad():
            model(*given)

    return forward


def rows_of(
    steps: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[], None]]],
    models: dict[tuple[str, str, int], nn.Module],
    shared: dict[str, Any],
    repetitions: int,
) -> list[dict[str, Any]]:
    """Let the variants take turns; return a row for each, the original first."""
    best: dict[tuple[tuple[str, str, int], int], float] = {}
    for turn in range(repetitions + 1):
        for key, functions in steps.items():
            for number, function in enumerate(functions):
                started = time.process_time()
                function()
                taken = time.process_time() - started
                if turn:  # the first turn warms up
                    best[key, number] = min(best.get((key, number), math.inf), taken)
    original = best[next(iter(steps)), 0]
    return [
        {
            **shared,
            **dict(zip(("network", "layer", "state_size"), key, strict=True)),
            "weights": sum(weight.numel() for weight in models[key].parameters()),
            "train_seconds": round(best[key, 0], 4),
            "forward_seconds": round(best[key, 1], 4),
            "times_original": round(original / best[key, 0], 2),
            "repetitions": repetitions,
            "machine": f"{platform.machine()} {os.cpu_count()} cores, 1 thread",
        }
        for key in steps
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
