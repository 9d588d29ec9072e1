"""Students with planted strengths: several channels beside one, and both beside the best there is.

    python benchmarks/diffumin_planted.py [--seeds 5] [--models "4 channels" "1 channel"]

What a click depends on is known here, and so is the AUC of who knows it. With one planted interest a click is
likely where the student is strong in the first field of the target; with two, where strong in the first and
weak in the second, so that their sum says nothing. Students of the test are others than those of training.
Prints, and writes `benchmarks/results/diffumin_planted.csv`: AUC of each number of channels, mean and spread
over seeds, and its distance to the best there is; other models' rows stay.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from models.batches import ImpressionBatch
from models.diffumin import DiffuMINConfig, build_diffumin

RESULTS: Final = Path(__file__).resolve().parent / "results" / "diffumin_planted.csv"
NUM_VALUES: Final = 6
LENGTH: Final = 60
ROWS: Final = 8
FIRST: Final = 2  # values 0 and 1 are padding and unknown
NUM_TEST: Final = 1_000
MODELS: Final[dict[str, dict[str, Any]]] = {
    "4 channels": {"num_channels": 4},
    "4 channels and the mean": {"num_channels": 4, "has_overall": True},
    "4 channels, polar": {"num_channels": 4, "orthonormalization": "polar"},
    "1 channel": {"num_channels": 1},
    "mean pooling": {"long_term": "mean"},
    "TWIN": {"long_term": "twin"},
}


@dataclass(frozen=True)
class World:
    """Requests of students, one each, with the chance of a click of every row."""

    behaviors: Tensor
    outcomes: Tensor
    targets: Tensor
    clicked: Tensor
    chance: Tensor

    def batch(self, index: Tensor) -> ImpressionBatch:
        """Return the requests of some students."""
        number = len(index)
        return ImpressionBatch(
            target_items=self.targets[index].flatten(0, 1),
            clicked=self.clicked[index].flatten(),
            context=torch.zeros(number * ROWS, 0),
            requests=torch.arange(number).repeat_interleave(ROWS),
            students=torch.arange(number),
            behavior_items=self.behaviors[index].flatten(0, 1),
            behavior_outcomes=self.outcomes[index].flatten(),
            behavior_offsets=torch.arange(number + 1) * LENGTH,
        )


def planted(num_students: int, num_interests: int, seed: int) -> World:
    """Return students strong or weak in each value of two fields; a behavior is about one value of one."""
    random = torch.Generator().manual_seed(seed)
    strength = torch.randint(0, 2, (num_students, 2, NUM_VALUES), generator=random) * 2 - 1
    field = torch.randint(0, 2, (num_students, LENGTH), generator=random)
    value = torch.randint(0, NUM_VALUES, (num_students, LENGTH), generator=random)
    student = torch.arange(num_students).unsqueeze(1)
    is_typical = torch.rand(num_students, LENGTH, generator=random) < 0.9
    right = torch.where(is_typical, strength[student, field, value], -strength[student, field, value]) > 0
    behaviors = torch.ones(num_students, LENGTH, 2, dtype=torch.int64)
    behaviors.scatter_(2, field.unsqueeze(-1), (value + FIRST).unsqueeze(-1))
    asked = torch.randint(0, NUM_VALUES, (num_students, ROWS, 2), generator=random)
    logit = 2.0 * strength[student, 0, asked[..., 0]]
    if num_interests == 2:
        logit = logit - 2.0 * strength[student, 1, asked[..., 1]]
    chance = logit.sigmoid()
    clicked = (torch.rand(chance.shape, generator=random) < chance).float()
    return World(behaviors, right.long() + 1, asked + FIRST, clicked, chance)


def auc_of(
    num_interests: int, *, num_students: int = 3000, num_epochs: int = 24, seed: int = 1, **network: Any
) -> tuple[float, float]:
    """Return the AUC on other students, and that of the true chances."""
    train = planted(num_students, num_interests, 2 * seed - 1)
    test = planted(NUM_TEST, num_interests, 2 * seed)
    torch.manual_seed(seed)
    config = DiffuMINConfig(
        (NUM_VALUES + FIRST,) * 2,
        **{
            "num_outcomes": 3,
            "embedding_std": 0.3,
            "augmentation": "none",
            # The claims are about channels: the mean beside them has a row of its own.
            "has_overall": False,
            "short_term_window": 0,
            "mlp_sizes": (64, 32),
            **network,
        },
    )
    model = build_diffumin(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    steps = num_epochs * -(-num_students // 32)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(num_epochs):
        for index in torch.randperm(num_students).split(32):
            optimizer.zero_grad()
            model.loss(train.batch(index)).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(test.batch(index)) for index in torch.arange(NUM_TEST).split(100)])
    clicked = test.clicked.flatten()
    return float(roc_auc_score(clicked, scores)), float(roc_auc_score(clicked, test.chance.flatten()))


def main() -> None:
    """Train all, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for num_interests in (2, 1):
        for name in asked.models:
            for seed in range(1, asked.seeds + 1):
                auc, best = auc_of(num_interests, seed=seed, **MODELS[name])
                rows.append({"interests": num_interests, "model": name, "auc": auc, "best": best})
                print(f"{num_interests} interests, {name}, seed {seed}: {auc:.4f}, best {best:.4f}")
    found = (
        pl.DataFrame(rows)
        .with_columns(short_of_best=pl.col("best") - pl.col("auc"))
        .group_by("interests", "model", maintain_order=True)
        .agg(
            pl.len().alias("seeds"),
            pl.col("auc", "best", "short_of_best").mean(),
            pl.col("auc").std().alias("sd_over_seeds"),
        )
        .with_columns(pl.selectors.float().round(4))
    )
    if RESULTS.exists():
        kept = pl.read_csv(RESULTS).join(found, on=["interests", "model"], how="anti")
        found = pl.concat([kept, found], how="vertical_relaxed").sort("interests", "model")
    RESULTS.parent.mkdir(exist_ok=True)
    found.write_csv(RESULTS)
    print(found)


if __name__ == "__main__":
    main()
