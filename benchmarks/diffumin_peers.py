"""Recommenders of edpipe beside FuxiCTR 2.3.10's own DIN, SIM, ETA, SDIM and TWIN, on the same rows.

    pip install -e '.[peers-ctr]'
    python benchmarks/diffumin_peers.py --home HOME [--source clicks] [--length 300] [--epochs 2] [--seeds 5]
        [--models sim_soft,twin] [--rates 0.005,0.01,0.02] [--fuxictr-python PATH] [--throughput]

HOME holds an ingested and built log. `--fuxictr-python` is an interpreter of an environment that has FuxiCTR,
if it isn't this one: `python -m venv fuxictr; fuxictr/bin/pip install fuxictr==2.3.10 torch` is enough there.

Both sides get the same split, rows, histories and negatives, drawn anew in each epoch. Both read the item and
its categories alone: outcomes, times and lengths of histories, which FuxiCTR's loader cannot carry beside
items, are hidden from ours. Both have fields of 8, hidden layers of 64 and 32, Adam, batches of 256 requests
(FuxiCTR's are of rows, and as many an epoch), equal epochs; the rate of each network (of ours, that of its
items) is the best on validation of as many, found with the first seed. Ours keep a linear rise and half
cosine of the rate, Dice, batch normalization and a transformer for the latest behaviors; FuxiCTR's keep ReLU,
a rate that falls when validation does not rise, and attention in the place of that transformer; their DIN has
nothing there.

What is known of FuxiCTR's networks, and left as it is:

- the mask of the latest behaviors is shifted by one: the oldest of a short history is taken for padding (SIM,
  ETA, SDIM, TWIN); the window counts the target, so 21 is asked for to get 20;
- SIM multiplies scores by the mask, so padding, at 0, comes before behaviors with a negative score, and a
  score depends on the longest history in the batch;
- a batch whose longest history is shorter than the window stops with an error (all but DIN): rows are
  shuffled, and the longest is put last;
- padding is among the statistics of DIN's Dice;
- labels must be integers, a folder must exist before `fit` saves there, and `run_expid.py` refuses its own
  version, so the classes are used directly.

Work that is done is kept: trainings below `--work`, finished pairs of model and seed in the results. Writes
`benchmarks/results/diffumin_peers.csv`: each side's metrics on validation and test, by history, with 95 %
intervals over students, and their difference by the same draws. `--throughput` times scoring instead and
writes `diffumin_peers_speed.csv`. One thread; seconds are process time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch
from peers.click_rows import ROW, export_rows, items_alone, read_rows
from peers.click_speed import NUM_TURNS, measured_speed

from edpipe.datasets.impressions import ImpressionDataset
from edpipe.datasets.impressions_batches import ImpressionEncoder
from edpipe.datasets.impressions_source import impression_dataset
from edpipe.evaluation.bootstrap import Scores, percentile_interval
from edpipe.evaluation.recommendation.evaluate import HISTORIES, history_name
from edpipe.evaluation.recommendation.scores import score_clicks
from edpipe.prediction.diffumin import load_recommender, predict_split
from edpipe.settings import Settings, load_settings
from edpipe.training.diffumin import train_diffumin
from edpipe.training.diffumin_plan import network_config

RESULTS = Path(__file__).resolve().parent / "results" / "diffumin_peers.csv"
OTHER_SIDE = Path(__file__).resolve().parent / "peers" / "fuxictr_side.py"
# Each network of ours with FuxiCTR's of the same kind.
PEERS = {"sim_soft": "SIM", "twin": "TWIN", "din": "DIN", "eta": "ETA", "sdim": "SDIM", "diffumin": None}
SHIFTED = "mask of the short window shifted by one"
REMARKS = {
    "DIN": "padding in Dice's statistics; no short-term module",
    "SIM": f"{SHIFTED}; padding before behaviors with negative scores",
    "ETA": SHIFTED,
    "SDIM": SHIFTED,
    "TWIN": SHIFTED,
}
METRICS = ("auc", "grouped_auc", "log_loss")
PARTS = ("valid", "test")
NUM_DRAWS, DRAW_SEED = 200, 0
NETWORK: dict[str, Any] = {
    "field_size": 8,
    "mlp_sizes": (64, 32),
    "short_term_window": 20,
    "num_retrieved": 100,
    "weight_decay": 0.0,
    "ema_decay": 0.0,
    "accelerator": "cpu",
}
KEYS = ["data", "length", "epochs", "model", "seed"]
SCHEMA: dict[str, Any] = {
    "data": pl.String, "length": pl.Int64, "epochs": pl.Int64, "model": pl.String, "seed": pl.Int64,
    "side": pl.String, "split": pl.String, "rows": pl.String, "metric": pl.String, "value": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "num_rows": pl.Int64, "num_students": pl.Int64,
    "learning_rate": pl.Float64, "rates": pl.String, "parameters": pl.Int64, "seconds": pl.Float64,
    "remark": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a trained network says of the rows of validation and test, and what it cost."""

    probability: dict[str, np.ndarray[Any, np.dtype[np.float64]]]
    seconds: float
    num_parameters: int
    rate: float

    @classmethod
    def read(cls, file: Path, rate: float) -> Trained:
        """Read what either side wrote."""
        with np.load(file) as found:
            parts = {part: found[part] for part in PARTS}
            return cls(parts, float(found["seconds"]), int(found["num_parameters"]), rate)


class Bench:
    """One seed of one data set: its rows, and a training of each network on either side."""

    def __init__(self, given: argparse.Namespace, dataset: ImpressionDataset, seed: int) -> None:
        self._given, self._dataset, self._seed = given, dataset, seed
        self._folder = given.work / f"{dataset.fingerprint}-{given.length}-{given.epochs}" / f"seed_{seed}"
        settings = settings_for(given, seed, "sim_soft")
        self._encoder = encoder_for(dataset, settings)
        export_rows(
            self._encoder,
            self._folder,
            num_epochs=given.epochs,
            batch_size=settings.recommendation.batch_size,
            sizes=shared_sizes(settings, dataset),
        )
        self.rows = {part: read_rows(self._folder, part) for part in PARTS}

    def ours(self, kind: str, rate: float) -> Trained:
        """Train one of our networks, or read what it said."""
        file = self._folder / f"edpipe_{kind}_{rate:g}.npz"
        if not file.exists():
            settings = settings_for(self._given, self._seed, kind, item_learning_rate=rate)
            started = time.process_time()
            run = train_diffumin(settings, dataset=self._dataset, runs_dir=self._folder / "runs")
            seconds = time.process_time() - started
            trained = load_recommender(run.run_dir)
            said = {}
            for part in PARTS:
                frame = predict_split(trained, self._dataset, part)
                if not frame.select(ROW).equals(self.rows[part].select(ROW)):
                    raise RuntimeError(f"edpipe and FuxiCTR have other rows in {part!r}.")
                said[part] = frame["probability"].to_numpy()
            scratch = file.with_name(f".{file.name}.npz")
            np.savez(scratch, **said, seconds=seconds, num_parameters=run.num_parameters)
            scratch.replace(file)
        return Trained.read(file, rate)

    def theirs(self, kind: str, rate: float) -> Trained:
        """Train FuxiCTR's network of the same kind, or read what it said."""
        file = self._folder / f"fuxictr_{kind}_{rate:g}.npz"
        if not file.exists():
            asked = ["--rows", self._folder, "--model", PEERS[kind], "--output", file]
            asked += ["--rate", rate, "--seed", self._seed]
            command = [self._given.fuxictr_python, str(OTHER_SIDE), "train", *map(str, asked)]
            subprocess.run(command, check=True)
        return Trained.read(file, rate)

    def best(self, side: str, kind: str, rates: list[float]) -> Trained:
        """Return the training with the highest AUC on validation."""
        train = self.ours if side == "edpipe" else self.theirs
        found = [train(kind, rate) for rate in rates]
        aucs = [
            scored(self.rows["valid"], trained.probability["valid"], num_draws=0).values["auc"]
            for trained in found
        ]
        for trained, auc in zip(found, aucs, strict=True):
            about = f"{side} {kind} seed {self._seed} rate {trained.rate:g}"
            print(f"{about}: valid AUC {auc:.4f}, {trained.seconds:.0f} s", flush=True)
        return found[int(np.argmax(aucs))]


def settings_for(given: argparse.Namespace, seed: int, kind: str, **changes: Any) -> Settings:
    """Return the settings of one training."""
    network = {**NETWORK, "long_term": kind, "max_epochs": given.epochs, "patience": given.epochs}
    if kind == "din":
        network["num_retrieved"] = given.length  # FuxiCTR's reads all
    return load_settings(
        "small",
        file=given.home / "none.toml",
        home=given.home,
        progress="none",
        seed=seed,
        recommendation={"source": given.source, "max_length": given.length, "batch_size": 256},
        diffumin={**network, **changes},
    )


def encoder_for(dataset: ImpressionDataset, settings: Settings) -> ImpressionEncoder:
    """Return what draws the rows that a training with these settings sees."""
    of_data = settings.recommendation
    return ImpressionEncoder.of(
        dataset,
        dataset.features,
        max_length=of_data.max_length,
        negatives=of_data.negatives,
        seed=settings.seed,
    )


def shared_sizes(settings: Settings, dataset: ImpressionDataset) -> dict[str, Any]:
    """Return widths of our network that FuxiCTR's are given, too."""
    config = network_config(settings, dataset)
    names = ("field_size", "mlp_sizes", "attention_sizes", "short_term_window", "num_retrieved")
    found = {name: getattr(config, name) for name in (*names, "num_hash_bits", "hash_group_bits")}
    return {**found, "num_heads": config.num_attention_heads}


def scored(rows: pl.DataFrame, probability: Any, *, num_draws: int = NUM_DRAWS) -> Scores:
    """Score probabilities of rows; equal draws of students for all networks."""
    return score_clicks(
        rows["student"].to_numpy(),
        rows["clicked"].to_numpy(),
        np.asarray(probability, dtype=np.float64),
        num_draws=num_draws,
        seed=DRAW_SEED,
    )


def subsets(rows: pl.DataFrame) -> Iterator[tuple[str, Any]]:
    """Yield all rows, and those of each length of the history that has both labels."""
    history = rows["history"].to_numpy()
    yield "all", np.ones(len(rows), dtype=bool)
    for low, high in HISTORIES:
        chosen = (history >= low) & (history <= (np.inf if high is None else high))
        if rows.filter(pl.Series(chosen))["clicked"].n_unique() > 1:
            yield history_name(low, high), chosen


def compared(rows: dict[str, pl.DataFrame], sides: dict[str, Trained]) -> Iterator[dict[str, Any]]:
    """Yield every metric of each side, and of edpipe minus FuxiCTR by the same draws of students."""
    for part in PARTS:
        for name, chosen in subsets(rows[part]):
            some = rows[part].filter(pl.Series(chosen))
            found = {side: scored(some, trained.probability[part][chosen]) for side, trained in sides.items()}
            about = {
                "split": part,
                "rows": name,
                "num_rows": len(some),
                "num_students": some["student"].n_unique(),
            }
            for metric in METRICS:
                for side, scores in found.items():
                    low, high = scores.interval(metric)
                    value = scores.values[metric]
                    yield {**about, "side": side, "metric": metric, "value": value, "low": low, "high": high}
                if len(found) == 2:
                    ours, theirs = found["edpipe"], found["FuxiCTR"]
                    low, high = percentile_interval(ours.draws[metric] - theirs.draws[metric])
                    value = ours.values[metric] - theirs.values[metric]
                    yield {
                        **about, "side": "edpipe - FuxiCTR", "metric": metric, "value": value, "low": low,
                        "high": high,
                    }  # fmt: skip


def table_of(
    key: dict[str, Any], bench: Bench, kind: str, sides: dict[str, Trained], rates: list[float]
) -> pl.DataFrame:
    """Return the rows of the results for one pair of model and seed."""
    peer = PEERS[kind]
    cost = {
        side: {
            "learning_rate": trained.rate,
            "rates": " ".join(f"{rate:g}" for rate in rates),
            "parameters": trained.num_parameters,
            "seconds": trained.seconds,
            "remark": REMARKS[peer] if peer and side == "FuxiCTR" else "",
        }
        for side, trained in sides.items()
    }
    rows = [{**key, **row, **cost.get(row["side"], {})} for row in compared(bench.rows, sides)]
    return pl.DataFrame(rows, schema=SCHEMA)


def old_results(file: Path) -> pl.DataFrame:
    """Return the results that there are."""
    return pl.read_csv(file, schema=SCHEMA) if file.exists() else pl.DataFrame(schema=SCHEMA)


def write(file: Path, table: pl.DataFrame) -> None:
    """Replace the results, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".partial")
    table.sort(KEYS, maintain_order=True).write_csv(scratch, float_precision=6)
    scratch.replace(file)


def chosen_rates(table: pl.DataFrame, key: dict[str, Any], side: str, grid: list[float]) -> list[float]:
    """Return the rate that an earlier seed chose from this grid, or the grid."""
    same = {name: key[name] for name in KEYS if name != "seed"}
    wanted = " ".join(f"{rate:g}" for rate in grid)
    earlier = table.filter(**same, side=side, split="test", rows="all", metric="auc").filter(
        (pl.col("rates") == wanted) & (pl.col("seed") < key["seed"])
    )
    return earlier.sort("seed")["learning_rate"].to_list()[:1] or grid


def summary(table: pl.DataFrame) -> pl.DataFrame:
    """Return mean and spread over seeds of the metrics on all test rows."""
    whole = table.filter(split="test", rows="all")
    return (
        whole.group_by("length", "epochs", "model", "side", "metric", maintain_order=True)
        .agg(
            seeds=pl.len(),
            mean=pl.col("value").mean(),
            sd=pl.col("value").std(),
            least=pl.col("low").min(),
            most=pl.col("high").max(),
            seconds=pl.col("seconds").mean(),
            parameters=pl.col("parameters").first(),
        )
        .sort("model", "metric", maintain_order=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--source", default="clicks")
    parser.add_argument("--length", type=int, default=300, help="most behaviors shown")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default=",".join(PEERS))
    parser.add_argument("--rates", default="0.005,0.01,0.02", help="tried with the first seed")
    parser.add_argument("--fuxictr-python", default=sys.executable)
    parser.add_argument("--work", type=Path, help="by default HOME/peers")
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--turns", type=int, default=NUM_TURNS, help="of --throughput")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    given.work = given.work or given.home / "peers"
    torch.set_num_threads(1)
    dataset = items_alone(impression_dataset(settings_for(given, 1, "sim_soft")))
    if given.throughput:
        speed(given, dataset)
    else:
        compare(given, dataset)


def compare(given: argparse.Namespace, dataset: ImpressionDataset) -> None:
    """Train and score all pairs of model and seed that the results lack."""
    grid = [float(rate) for rate in given.rates.split(",")]
    table = old_results(given.results)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=4):
        for seed in range(1, given.seeds + 1):
            for kind in given.models.split(","):
                key = {
                    "data": dataset.fingerprint, "length": given.length, "epochs": given.epochs,
                    "model": kind, "seed": seed,
                }  # fmt: skip
                if len(table.filter(**key)):
                    continue
                bench = Bench(given, dataset, seed)
                sides = ["edpipe", *(["FuxiCTR"] if PEERS[kind] else [])]
                found = {side: bench.best(side, kind, chosen_rates(table, key, side, grid)) for side in sides}
                table = pl.concat([table, table_of(key, bench, kind, found, grid)])
                write(given.results, table)
                print(summary(table.filter(model=kind)), flush=True)
        print(summary(table))


def speed(given: argparse.Namespace, dataset: ImpressionDataset) -> None:
    """Time scoring of 200 candidates a student, both sides in turns, and write the table."""
    settings = settings_for(given, 1, "sim_soft")
    encoder = encoder_for(dataset, settings)
    networks = {
        "sim_soft": network_config(settings, dataset),
        "twin": network_config(settings_for(given, 1, "twin"), dataset),
        "diffumin": network_config(settings_for(given, 1, "diffumin"), dataset),
    }
    table = measured_speed(
        encoder,
        networks,
        shared_sizes(settings, dataset),
        given.work / f"{dataset.fingerprint}-speed-{given.length}",
        [given.fuxictr_python, str(OTHER_SIDE), "speed"],
        num_turns=given.turns,
    )
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=4):
        print(table)
    table.write_csv(given.results.with_name(f"{given.results.stem}_speed.csv"), float_precision=4)


if __name__ == "__main__":
    main()
