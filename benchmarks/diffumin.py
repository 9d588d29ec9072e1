"""Recommenders and what they must beat, several seeds, on the same rows: one table for all.

    edpipe --home HOME ingest clicks FOLDER --layout movielens && edpipe --home HOME build
    python benchmarks/diffumin.py --home HOME --name movielens [--length 300] [--epochs 4] [--seeds 5]
    python benchmarks/diffumin.py --home HOME --name interests_4 --planted TRUTH [--models diffumin,mlp]

Every model is trained on the rows of HOME's clicks with the same embedding, short-term module, prediction,
optimizer, negatives and epochs; only what looks back at all behaviors differs. Each seed draws its own
weights and negatives. The epoch is chosen on validation; the test is scored once a training, which is kept
in HOME/benchmark, so a run that was stopped goes on. Prints, and writes
`benchmarks/results/diffumin.csv`, where the rows of this name replace those that are there: for each model
and subset of rows, mean and spread over seeds of each metric, its interval and that of the difference to
`--reference` over draws of students (the same for all models; the mean over seeds is what is drawn), and
parameters, multiply-adds of one candidate and seconds of one CPU thread to train.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch

from edpipe.datasets.impressions import ImpressionDataset
from edpipe.datasets.impressions_batches import ImpressionEncoder, ImpressionRows
from edpipe.datasets.impressions_source import impression_dataset
from edpipe.evaluation.bootstrap import Scores, percentile_interval
from edpipe.evaluation.recommendation.evaluate import HISTORIES, history_name
from edpipe.evaluation.recommendation.floors import ItemRate, StudentItemLogistic
from edpipe.evaluation.recommendation.scores import METRICS, score_clicks
from edpipe.families.diffumin_evaluation import planted_of
from edpipe.prediction.diffumin import drawn_rows, load_recommender, predict_split
from edpipe.settings import Settings, load_settings
from edpipe.training.diffumin import train_diffumin
from edpipe.training.diffumin_plan import network_config
from models.diffumin import build_diffumin

RESULTS: Final = Path(__file__).resolve().parent / "results" / "diffumin.csv"
PARTS: Final = ("valid", "test")
# The interests of channels and nothing beside them: what the controls are measured on, each claim by itself.
CHANNELS: Final[dict[str, Any]] = {"augmentation": "none", "has_overall": False}
# What differs from the settings of all.
MODELS: Final[dict[str, dict[str, Any]]] = {
    "diffumin": {},
    "no_behaviors": {"long_term": "none", "short_term_window": 0},
    "short_term_only": {"long_term": "none"},
    "mean_pooling": {"long_term": "mean"},
    "mean_and_match": {"long_term": "mean_match"},
    "din": {"long_term": "din"},
    "sim_soft": {"long_term": "sim_soft"},
    "sim_hard": {"long_term": "sim_hard"},
    "eta": {"long_term": "eta"},
    "sdim": {"long_term": "sdim"},
    "twin": {"long_term": "twin"},
    "channels_alone": CHANNELS,
    "diffusion": CHANNELS | {"augmentation": "diffusion"},
    "distilled": CHANNELS | {"augmentation": "distilled"},
    "repeat": CHANNELS | {"augmentation": "repeat"},
    "placebo": CHANNELS | {"augmentation": "placebo"},
    "mlp": CHANNELS | {"augmentation": "mlp"},
    "vae": CHANNELS | {"augmentation": "vae"},
    "diffusion_without_loss": CHANNELS | {"augmentation": "diffusion", "diffusion_weight": 0.0},
    "random_channels": CHANNELS | {"channels_from": "random"},
    "table_channels": CHANNELS | {"channels_from": "table"},
    "one_channel": CHANNELS | {"num_channels": 1},
}
SHOWN: Final = ("model", "seeds", "value", "sd_over_seeds", "less_reference", "less_low", "less_high")
MOST_ROWS: Final = 1_000_000


def settings_of(asked: argparse.Namespace, model: str, seed: int) -> Settings:
    """Return the settings of one training."""
    network = {"max_epochs": asked.epochs, "patience": asked.epochs, "accelerator": "cpu", **MODELS[model]}
    return load_settings(
        asked.preset,
        file=asked.home / "none.toml",
        home=asked.home,
        progress="none",
        seed=seed,
        recommendation={"source": "clicks", "max_length": asked.length},
        diffumin={**network, "planted": asked.planted},
    )


def multiply_adds(settings: Settings, dataset: ImpressionDataset) -> int:
    """Return the multiply-adds of matrix products for one candidate after a history of full length."""
    from torch.utils.flop_counter import FlopCounterMode

    length = settings.recommendation.max_length
    model = build_diffumin(network_config(settings, dataset)).eval()
    encoder = ImpressionEncoder.of(dataset, dataset.features, max_length=length)
    longest = dataset.requests("valid")[np.argmax(dataset.history_lengths(dataset.requests("valid")))]
    one = ImpressionRows(*(np.zeros(1, dtype=np.int64) for _ in range(3)), np.zeros(1, dtype=np.float32))
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(encoder.encode_rows(np.array([longest]), one))
    return int(counter.get_total_flops()) // 2


class Trainings:
    """Probabilities of each model and seed, trained once and kept."""

    def __init__(self, asked: argparse.Namespace, dataset: ImpressionDataset) -> None:
        self._asked = asked
        self._dataset = dataset
        self._folder = asked.home / "benchmark" / f"{asked.preset}_{asked.length}_{asked.epochs}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def has(self, model: str, seed: int) -> bool:
        """Tell whether a training is there."""
        return self._costs(model, seed).exists()

    def _costs(self, model: str, seed: int) -> Path:
        return self._folder / f"{model}_{seed}_costs.parquet"

    def rows(self, model: str, seed: int) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
        """Return validation and test rows with probabilities, and cost of a training."""
        settings = settings_of(self._asked, model, seed)
        files = {part: self._folder / f"{model}_{seed}_{part}.parquet" for part in PARTS}
        costs = self._costs(model, seed)
        if not costs.exists():
            started = time.process_time()
            run = train_diffumin(settings, dataset=self._dataset)
            seconds = time.process_time() - started
            trained = load_recommender(run.run_dir)
            for part, file in files.items():
                predict_split(trained, self._dataset, part).write_parquet(file)
            found = {
                "parameters": float(run.num_parameters),
                "multiply_adds": float(multiply_adds(settings, self._dataset)),
                "training_seconds": seconds if run.is_new else run.seconds,
                "epochs": float(run.best_epoch + 1),
            }
            pl.DataFrame([found]).write_parquet(costs)
            print(f"{model}, seed {seed}: {run.metrics['valid_auc']:.4f} on validation, {seconds:.0f} s")
        return {part: pl.read_parquet(file) for part, file in files.items()}, pl.read_parquet(costs).row(
            0, named=True
        )

    def floors(self, seed: int) -> dict[str, dict[str, pl.DataFrame]]:
        """Return the rows of a seed with the probabilities of the floors without a network."""
        first, _ = self.rows("no_behaviors", seed)
        encoder = ImpressionEncoder.of(
            self._dataset, self._dataset.features, max_length=self._asked.length, seed=seed
        )
        training = drawn_rows(encoder, "train", most_requests=MOST_ROWS, seed=seed)
        popularity = np.array(self._dataset.columns["popularity"]).astype(np.int64)
        rate = ItemRate(training, len(popularity))
        logistic = StudentItemLogistic(training, popularity, self._dataset.num_students)
        return {
            floor.name: {
                part: rows.with_columns(probability=floor.predict(rows)) for part, rows in first.items()
            }
            for floor in (rate, logistic)
        }


def subsets(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return all rows, and those of each length of history."""
    found = {"all": frame}
    for low, high in HISTORIES:
        known = pl.col("history")
        chosen = frame.filter(known.is_between(low, high) if high is not None else known >= low)
        if len(chosen):
            found[history_name(low, high)] = chosen
    return found


def scored(frame: pl.DataFrame, draws: int) -> Scores:
    """Return the scores of rows; equal students are drawn for all models."""
    return score_clicks(
        frame["student"].to_numpy(),
        frame["clicked"].to_numpy(),
        frame["probability"].cast(pl.Float64).to_numpy(),
        num_draws=draws,
        seed=0,
    )


def over_seeds(found: Sequence[Scores], metric: str) -> tuple[float, float, np.ndarray]:
    """Return mean and spread over seeds of a metric, and the draws of its mean."""
    values = np.array([one.values[metric] for one in found])
    spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return float(values.mean()), spread, np.mean([one.draws[metric] for one in found], axis=0)


def table(
    rows: dict[str, list[dict[str, pl.DataFrame]]],
    costs: dict[str, dict[str, float]],
    asked: argparse.Namespace,
) -> pl.DataFrame:
    """Return the table of all models: scores, differences to the reference, costs."""
    scores: dict[tuple[str, str, str], list[Scores]] = {}
    for model, seeds in rows.items():
        for part in PARTS:
            for seed in seeds:
                for subset, chosen in subsets(seed[part]).items():
                    scores.setdefault((model, part, subset), []).append(scored(chosen, asked.draws))
    lines = []
    for (model, part, subset), found in scores.items():
        for metric in METRICS:
            mean, spread, draws = over_seeds(found, metric)
            low, high = percentile_interval(draws)
            line: dict[str, Any] = {
                "data": asked.name,
                "model": model,
                "split": part,
                "subset": subset,
                "metric": metric,
                "seeds": len(found),
                "rows": found[0].num_rows,
                "students": found[0].num_students,
                "value": mean,
                "sd_over_seeds": spread,
                "low": low,
                "high": high,
            }
            against = scores.get((asked.reference, part, subset))
            if against is not None:
                # On the seeds that both have; the first ones.
                pairs = min(len(found), len(against))
                ours, theirs = over_seeds(found[:pairs], metric), over_seeds(against[:pairs], metric)
                lowest, highest = percentile_interval(ours[2] - theirs[2])
                line |= {"less_reference": ours[0] - theirs[0], "less_low": lowest, "less_high": highest}
            lines.append({**line, **costs.get(model, {})})
    return pl.DataFrame(lines, infer_schema_length=None).with_columns(
        pl.lit(asked.reference).alias("reference"),
        pl.selectors.float().exclude("parameters", "multiply_adds").round(5),
        pl.col("parameters", "multiply_adds").cast(pl.Int64),
    )


def save(found: pl.DataFrame, name: str) -> None:
    """Put the rows of a name in the place of those that are there."""
    if RESULTS.exists():
        kept = pl.read_csv(RESULTS).filter(pl.col("data") != name)
        found = pl.concat([kept, found], how="diagonal_relaxed")
    RESULTS.parent.mkdir(exist_ok=True)
    found.write_csv(RESULTS)


def with_truth(
    rows: dict[str, list[dict[str, pl.DataFrame]]], chances: Callable[[pl.DataFrame], pl.Series]
) -> None:
    """Add who knows the planted interests, on the rows of the first model."""
    known = next(iter(rows.values()))
    rows["planted truth"] = [
        {part: frame.with_columns(chances(frame).alias("probability")) for part, frame in seed.items()}
        for seed in known
    ]


def main() -> None:
    """Train what is not trained yet, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--name", required=True, help="what the rows are called in the results")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--reference", default="diffumin")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--length", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--planted", default="", help="folder with the truth of a synthetic log")
    parser.add_argument("--train-only", action="store_true", help="train and score, and compare another time")
    parser.add_argument("--known-only", action="store_true", help="compare what is trained, train nothing")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    models = asked.models.split(",")
    dataset = impression_dataset(settings_of(asked, models[0], asked.first_seed))
    trainings = Trainings(asked, dataset)
    rows: dict[str, list[dict[str, pl.DataFrame]]] = {}
    costs: dict[str, list[dict[str, float]]] = {}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for model in models:
            if asked.known_only and not trainings.has(model, seed):
                continue
            frames, cost = trainings.rows(model, seed)
            rows.setdefault(model, []).append(frames)
            costs.setdefault(model, []).append(cost)
        if "no_behaviors" in models and not asked.train_only:
            for name, frames in trainings.floors(seed).items():
                rows.setdefault(name, []).append(frames)
    if asked.train_only:
        return
    if asked.planted:
        with_truth(rows, planted_of(settings_of(asked, models[0], asked.first_seed), dataset))
    mean_costs = {
        model: {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        for model, found in costs.items()
    }
    found = table(rows, mean_costs, asked)
    save(found, asked.name)
    shown = found.filter(split="test", subset="all", metric="auc").sort("value", descending=True)
    with pl.Config(tbl_rows=100, tbl_cols=20, tbl_width_chars=200):
        print(shown.select(SHOWN))


if __name__ == "__main__":
    main()
