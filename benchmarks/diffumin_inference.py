"""What ways to ask one trained diffusion change: steps, noise, a one-step student, sampled thresholds.

    python benchmarks/diffumin_inference.py --home HOME --name movielens [--length 300] [--epochs 3]

Trains, or finds trained by `benchmarks/diffumin.py`, a network with a diffusion and its one-step student,
and scores the test rows: deterministically with several numbers of steps, with `--noise-draws` draws of the
sampler's first noise, by the student, and with thresholds from a sample of the behaviors. Prints, and writes
`benchmarks/results/diffumin_inference.csv`: AUC of each, its difference to the network as trained by draws
of the same students, and the spread of a row's logit over draws.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch

from edpipe.datasets.impressions import ImpressionDataset
from edpipe.datasets.impressions_batches import impression_batches
from edpipe.datasets.impressions_source import impression_dataset
from edpipe.evaluation.bootstrap import Scores, percentile_interval
from edpipe.evaluation.recommendation.scores import score_clicks
from edpipe.prediction.diffumin import TrainedRecommender, load_recommender, predict_split
from edpipe.settings import Settings, load_settings
from edpipe.training.diffumin import train_diffumin
from models.batches import ImpressionBatch
from models.diffumin import build_diffumin
from models.diffumin.fast_interests import Selection
from models.diffumin.serving import Scorer

RESULTS: Final = Path(__file__).resolve().parent / "results" / "diffumin_inference.csv"
STEPS: Final = (1, 2, 4, 10)
REQUESTS_A_BATCH: Final = 256


def settings_of(asked: argparse.Namespace, augmentation: str) -> Settings:
    """Return the settings of one training, as in `benchmarks/diffumin.py`."""
    return load_settings(
        "small",
        file=asked.home / "none.toml",
        home=asked.home,
        progress="none",
        seed=asked.seed,
        recommendation={"source": "clicks", "max_length": asked.length},
        diffumin={
            "augmentation": augmentation,
            "max_epochs": asked.epochs,
            "patience": asked.epochs,
            "accelerator": "cpu",
        },
    )


def with_rules(trained: TrainedRecommender, **changes: Any) -> TrainedRecommender:
    """Return the same weights asked in another way."""
    model = build_diffumin(replace(trained.model.config, **changes))
    model.load_state_dict(trained.model.state_dict())
    return replace(trained, model=model.eval())


def with_seed(trained: TrainedRecommender, noise_seed: int) -> TrainedRecommender:
    """Return the same network with other draws of noise for each student and item."""
    return with_rules(trained, inference_noise="keyed", noise_seed=noise_seed)


def one_by_one(
    trained: TrainedRecommender, dataset: ImpressionDataset, selection: Selection
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of the test rows as they are served, and the behaviors that were read."""
    scorer = Scorer(trained.model, selection=selection)
    found, lengths = [], []
    for _, batch in impression_batches(trained.encoder(dataset), "test", REQUESTS_A_BATCH):
        for behaviors, rows in _requests(batch):
            store = scorer.cache_behaviors(0)
            if behaviors.stop > behaviors.start:
                store.append(batch.behavior_items[behaviors], batch.behavior_outcomes[behaviors])
            items = scorer.cache_items(batch.target_items[rows])
            found.append(scorer.score(store, items, batch.context[rows]).probabilities.double().numpy())
            lengths.append(np.full(rows.stop - rows.start, behaviors.stop - behaviors.start))
    return np.concatenate(found), np.concatenate(lengths)


def _requests(batch: ImpressionBatch) -> Iterator[tuple[slice, slice]]:
    """Yield where the behaviors and the rows of each request stand."""
    bounds = batch.behavior_offsets.tolist()
    counts = torch.bincount(batch.requests, minlength=len(batch.students)).cumsum(0).tolist()
    for request, (start, end) in enumerate(zip([0, *counts[:-1]], counts, strict=True)):
        yield slice(bounds[request], bounds[request + 1]), slice(start, end)


def main() -> None:
    """Ask in every way, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--name", required=True, help="what the rows are called in the results")
    parser.add_argument("--length", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise-draws", type=int, default=20)
    parser.add_argument("--draws", type=int, default=1_000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    dataset = impression_dataset(settings_of(asked, "diffusion"))
    teacher = load_recommender(train_diffumin(settings_of(asked, "diffusion"), dataset=dataset).run_dir)
    student = load_recommender(train_diffumin(settings_of(asked, "distilled"), dataset=dataset).run_dir)
    rows = predict_split(teacher, dataset, "test")
    start = teacher.model.config.first_level

    def scored(probability: np.ndarray, chosen: np.ndarray | None = None) -> Scores:
        taken = slice(None) if chosen is None else chosen
        return score_clicks(
            rows["student"].to_numpy()[taken],
            rows["clicked"].to_numpy()[taken],
            probability[taken],
            num_draws=asked.draws,
            seed=0,
        )

    def asked_as(trained: TrainedRecommender) -> np.ndarray:
        return predict_split(trained, dataset, "test")["probability"].cast(pl.Float64).to_numpy()

    base = rows["probability"].cast(pl.Float64).to_numpy()
    ways: dict[str, np.ndarray] = {"as trained": base}
    for number in STEPS:
        ways[f"{number} steps"] = asked_as(
            with_rules(teacher, num_sampling_steps=number, start_level=max(start, number))
        )
    ways["one-step student"] = asked_as(student)
    noisy = np.stack([asked_as(with_seed(teacher, seed)) for seed in range(asked.noise_draws)])
    ways["one draw of noise"] = noisy[0]
    ways[f"mean of {asked.noise_draws} draws"] = noisy.mean(axis=0)
    logits = np.log(noisy) - np.log1p(-noisy)
    spread = float(logits.std(axis=0, ddof=1).mean())
    lines = []
    whole = scored(base)
    for way, probability in ways.items():
        found = scored(probability)
        low, high = percentile_interval(found.draws["auc"] - whole.draws["auc"])
        lines.append(
            (way, "all", len(base), found.values["auc"], found.values["auc"] - whole.values["auc"], low, high)
        )
    exact, lengths = one_by_one(student, dataset, "exact")
    sampled, _ = one_by_one(student, dataset, "sampled")
    for subset, chosen in (("all", lengths >= 0), (f"{asked.length} behaviors", lengths == asked.length)):
        by_exact, by_sample = scored(exact, chosen), scored(sampled, chosen)
        low, high = percentile_interval(by_sample.draws["auc"] - by_exact.draws["auc"])
        difference = by_sample.values["auc"] - by_exact.values["auc"]
        lines.append(
            (
                "sampled thresholds less exact",
                subset,
                int(chosen.sum()),
                by_sample.values["auc"],
                difference,
                low,
                high,
            )
        )
    table = (
        pl.DataFrame(
            lines, schema=["way", "subset", "rows", "auc", "difference", "low", "high"], orient="row"
        )
        .select(
            pl.lit(asked.name).alias("data"),
            pl.all(),
            pl.when(pl.col("way") == "one draw of noise")
            .then(pl.lit(spread))
            .alias("sd_of_logit_over_draws"),
        )
        .with_columns(pl.selectors.float().round(5))
    )
    RESULTS.parent.mkdir(exist_ok=True)
    table.write_csv(RESULTS)
    with pl.Config(tbl_rows=40, tbl_cols=20, tbl_width_chars=160):
        print(table)


if __name__ == "__main__":
    main()
