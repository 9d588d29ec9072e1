"""Score 200 items for one student: from caches, by DIN, and by the published computation written out.

All networks share embedding, short-term encoder and prediction; only the block for all behaviors differs.
DIN reads the latest 50 behaviors, in parts as everything here and with all items at once; the quicker of both
is what others are compared with. The straight port does what the published code does (a tensor of all
behaviors in all channels, a sorted selection, ten steps of denoising for one channel after the other), with
our weights; its scores are checked against ours before anything is timed.

The one-step student is what serving should use; it is timed with fresh weights, which cost what trained
ones do. How well a student does is a matter of training. One thread. Variants take turns; the median of the
process times of all turns counts. Writes `benchmarks/results/diffumin_serving.csv`.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from models.diffumin import DiffuMIN, DiffuMINConfig, build_diffumin, serving
from models.diffumin.caches import BehaviorCache, ItemCache
from models.diffumin.dmig import DMIG
from models.diffumin.fast_interests import Selection, column_thresholds
from models.diffumin.interest_block import MultiInterestBlock, matches_of
from models.diffumin.omie import Interests
from models.diffumin.selection import num_kept, routed
from models.diffumin.serving import Scorer

RESULTS = Path(__file__).resolve().parent / "results" / "diffumin_serving.csv"
COLUMNS = [
    "network", "generation", "selection", "behaviors", "items", "median_ms", "least_ms", "times_din_50",
    "straight_port_times", "recall", "jaccard", "largest_logit_difference", "repetitions", "machine",
]  # fmt: skip
FIELDS = (20_000, 200, 10, 8)
NUM_OUTCOMES, NUM_CONTEXT, NUM_ITEMS = 3, 2, 200
DIN_BEHAVIORS = 50
PORT_PART = 50  # items of which the port holds all behaviors in all channels at once: 160 MB for 5,000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for length in (1000, 5000):
        rows += compare(length, given.repetitions)
        write(given.results, rows)
    for row in rows:
        name = f"{row['network']:14s} {row['generation']:18s} {row['selection']:8s}"
        print(f"{name} {row['behaviors']:5d} {row['median_ms']:7.1f} ms {row['times_din_50']:6.2f} times DIN")


def compare(length: int, repetitions: int) -> list[dict[str, Any]]:
    """Time all variants at one number of behaviors."""
    variants: dict[tuple[str, str, str], Callable[[], Tensor]] = {}
    din = prepared(network(long_term="din", num_retrieved=DIN_BEHAVIORS), length)
    variants["DIN at 50", "", "in parts"] = din
    variants["DIN at 50", "", "at once"] = lambda: in_one_part(din)
    steps = {"10 steps": 10, "4 steps": 4}
    for name, number in steps.items():
        for selection in ("exact", "sampled"):
            model = network(num_sampling_steps=number, start_level=10)
            variants["DiffuMIN", name, selection] = prepared(model, length, selection)
    student, plain = network(augmentation="distilled"), network(augmentation="none")
    for selection in ("exact", "sampled"):
        variants["DiffuMIN", "one-step student", selection] = prepared(student, length, selection)
        variants["DiffuMIN", "no second view", selection] = prepared(plain, length, selection)
    ported = network(num_sampling_steps=10, start_level=10)
    variants["straight port", "10 steps", "sorted"] = port_of(ported, length)
    agree(variants)
    times = take_turns(variants, repetitions)
    base = min(statistics.median(times[key]) for key in variants if key[0] == "DIN at 50")
    port = statistics.median(times["straight port", "10 steps", "sorted"])
    kept = overlap(student, length)
    rows = []
    for key, score in variants.items():
        median = statistics.median(times[key])
        is_sampled = key[2] == "sampled"
        exact = variants[key[0], key[1], "exact"] if is_sampled else None
        difference = "" if exact is None else f"{(exact() - score()).abs().max().item():.4f}"
        rows.append(
            {
                **dict(zip(("network", "generation", "selection"), key, strict=True)),
                "behaviors": length,
                "items": NUM_ITEMS,
                "median_ms": round(1e3 * median, 2),
                "least_ms": round(1e3 * min(times[key]), 2),
                "times_din_50": round(median / base, 2),
                "straight_port_times": round(port / median, 1),
                "recall": round(kept[0], 3) if is_sampled else "",
                "jaccard": round(kept[1], 3) if is_sampled else "",
                "largest_logit_difference": difference,
                "repetitions": repetitions,
                "machine": f"{platform.machine()} {os.cpu_count()} cores, 1 thread",
            }
        )
    return rows


def network(**changes: Any) -> DiffuMIN:
    """Return a network of published size with weights that differ from those of a start."""
    torch.manual_seed(0)
    config = DiffuMINConfig(
        FIELDS, num_outcomes=NUM_OUTCOMES, num_context=NUM_CONTEXT, embedding_std=0.2, **changes
    )
    model = build_diffumin(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
        model.embedding.table.weight[0] = 0.0
    return model.eval()


def request(length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return behaviors, outcomes, items and context."""
    random = torch.Generator().manual_seed(1)

    def items(number: int) -> Tensor:
        columns = [torch.randint(1, size, (number,), generator=random) for size in FIELDS]
        return torch.stack(columns, dim=1)

    outcomes = torch.randint(0, NUM_OUTCOMES, (length,), generator=random)
    return items(length), outcomes, items(NUM_ITEMS), torch.randn(NUM_ITEMS, NUM_CONTEXT, generator=random)


def cached(scorer: Scorer, length: int) -> tuple[BehaviorCache, ItemCache, Tensor]:
    behaviors, outcomes, items, context = request(length)
    store = scorer.cache_behaviors(7)
    store.append(behaviors, outcomes)
    return store, scorer.cache_items(items), context


def prepared(model: DiffuMIN, length: int, selection: Any = "exact") -> Callable[[], Tensor]:
    scorer = Scorer(model, selection=selection)
    given = cached(scorer, length)
    return lambda: scorer.score(*given).logits


def in_one_part(score: Callable[[], Tensor]) -> Tensor:
    """Score with all items at once."""
    before = serving.ROWS_AT_ONCE
    serving.ROWS_AT_ONCE = NUM_ITEMS
    try:
        return score()
    finally:
        serving.ROWS_AT_ONCE = before


def port_of(model: DiffuMIN, length: int) -> Callable[[], Tensor]:
    """Return the published computation with the weights of a network."""
    scorer = Scorer(model)
    store, items, context = cached(scorer, length)
    block = model.long_term
    assert isinstance(block, MultiInterestBlock)
    generator = block.augmentation
    assert isinstance(generator, DMIG)

    def score() -> Tensor:
        with torch.inference_mode():
            parts = [
                pooled(block, store.vectors, items.vectors[start : start + PORT_PART])
                for start in range(0, NUM_ITEMS, PORT_PART)
            ]
            values, channels, number = (torch.cat(found) for found in zip(*parts, strict=True))
            generated = denoised(generator, values, channels)
            overall = store.vectors.mean(dim=0).expand(len(values), -1)
            matches = matches_of(Interests(values, channels, number, overall), items.vectors)
            features = torch.cat([values.flatten(1), generated.flatten(1), matches, overall], dim=-1)
            short = scorer.short_term(store, items, features)
            return model.logits(features, short, items.vectors, context)

    return score


def pooled(block: MultiInterestBlock, behaviors: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return interests, channels and kept behaviors by a tensor of all behaviors in all channels."""
    channels = block.omie.channels(targets)  # of each request anew
    scores = torch.einsum("ld,mcd->mlc", behaviors, channels)
    number = num_kept(len(behaviors), block.config.kept_share)
    least = scores.topk(number, dim=1, sorted=True).values[:, -1:]
    chosen = (scores >= least) & (scores == scores.amax(dim=2, keepdim=True))
    weighted = (scores * chosen).unsqueeze(-1) * behaviors.view(1, len(behaviors), 1, -1)
    counts = chosen.sum(dim=1)
    return weighted.sum(dim=1) / counts.clamp(min=1).unsqueeze(-1), channels, counts.to(scores.dtype)


def denoised(generator: DMIG, values: Tensor, channels: Tensor) -> Tensor:
    """Return generated interests, one channel after the other, all tokens through all layers."""
    denoiser, process, config = generator.denoiser, generator.process, generator.config
    clean = torch.nn.functional.normalize(values, dim=-1)
    found = []
    for channel in range(values.shape[1]):
        step = torch.full((len(values),), config.first_level - 1)
        x = process.add_noise(clean[:, channel], step, torch.zeros_like(clean[:, channel]))
        for level in range(config.first_level - 1, -1, -1):
            step = torch.full((len(values),), level)
            tokens = clean.clone()
            tokens[:, channel] = x
            tokens = tokens + denoiser.step(step.float()).unsqueeze(1)
            assert denoiser.marker is not None
            assert denoiser.head is not None
            tokens[:, channel] += denoiser.marker
            for layer in denoiser.layers:
                tokens = layer(tokens, tokens, condition=channels[:, channel : channel + 1])
            estimate = process.estimate(denoiser.head(tokens[:, channel]), x, step)
            x = process.add_noise(estimate.x0, step - 1, estimate.noise)
        found.append(x)
    return torch.stack(found, dim=1)


def agree(variants: dict[tuple[str, str, str], Callable[[], Tensor]]) -> None:
    """Refuse to time a port that computes something else."""
    port = variants["straight port", "10 steps", "sorted"]()
    ours = variants["DiffuMIN", "10 steps", "exact"]()
    # A score at a threshold may fall on either side of it by rounding: a few items may differ a little.
    difference = (port - ours).abs()
    if difference.median() > 1e-5 or difference.max() > 0.1 * ours.std():
        raise RuntimeError(f"the straight port is off by {difference.max():.1e}.")


def overlap(model: DiffuMIN, length: int) -> tuple[float, float]:
    """Return recall and Jaccard index of what sampled thresholds keep."""
    block = model.long_term
    assert isinstance(block, MultiInterestBlock)
    store, items, _ = cached(Scorer(model), length)
    scores = items.channels @ store.vectors.T  # (items, channels, length)
    goes = routed(scores)
    sets = []
    for selection in get_args(Selection):
        least = column_thresholds(scores.flatten(0, 1), model.config, selection)
        sets.append(goes & (scores >= least.view(*scores.shape[:2], 1)))
    both, either = (sets[0] & sets[1]).sum(), (sets[0] | sets[1]).sum()
    return float(both / sets[0].sum()), float(both / either)


def take_turns(
    variants: dict[tuple[str, str, str], Callable[[], Tensor]], repetitions: int
) -> dict[tuple[str, str, str], list[float]]:
    """Return process seconds of every turn; a first turn warms up and does not count."""
    times: dict[tuple[str, str, str], list[float]] = {key: [] for key in variants}
    for turn in range(repetitions + 1):
        for key, score in variants.items():
            started = time.process_time()
            score()
            if turn:
                times[key].append(time.process_time() - started)
    return times


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
