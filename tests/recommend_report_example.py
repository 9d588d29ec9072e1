"""A run of a recommender with its evaluation, made by hand, for tests of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from edpipe.evaluation.recommendation.evaluate import PAIRED_SCHEMA
from edpipe.evaluation.recommendation.stored import HISTORIES, history_name
from edpipe.evaluation.results import CALIBRATION_SCHEMA, METRIC_SCHEMA
from edpipe.families.diffumin_channels import CHANNEL_SCHEMA
from edpipe.families.diffumin_example import EXAMPLE_SCHEMA

RECOMMENDER = "diffumin"
FLOORS = ("mean pooling", "no behaviors", "logistic regression", "item CTR")
MODELS = (RECOMMENDER, *FLOORS)
STUDENT = "UserBehavior_with_a_long_name:<4711>"
SUBSETS = ("all", *(history_name(*ends) for ends in HISTORIES[1:]))


def example_recommend_run(
    folder: Path,
    *,
    gain: float = 0.03,
    routed: Sequence[float] = (0.5, 0.3, 0.2, 0.0),
    long_term: str = "diffumin",
) -> Path:
    """Write a run with its evaluation, and return its folder.

    Parameters
    ----------
    folder
        Where the run's folder is made.
    gain
        AUC of the recommender less that of the best floor; it grows with the history.
    routed
        Share of the behaviors in each channel.
    long_term
        Network; one other than ``diffumin`` has neither channels nor an example.
    """
    run = folder / "diffumin-1"
    evaluation = run / "evaluation"
    evaluation.mkdir(parents=True)
    _metrics(gain).write_parquet(evaluation / "metrics.parquet")
    bins = [(model, place, place / 5, place / 5, 40) for model in MODELS for place in range(1, 5)]
    pl.DataFrame(bins, schema=CALIBRATION_SCHEMA, orient="row").write_parquet(
        evaluation / "calibration.parquet"
    )
    (evaluation / "warnings.json").write_text(json.dumps(["Few <students>."]))
    summary = {"baselines": list(FLOORS), "models": list(MODELS), "num_openings": 1}
    (evaluation / "summary.json").write_text(json.dumps(summary))
    _paired(gain).write_parquet(evaluation / "paired.parquet")
    if long_term == "diffumin":
        _channels(routed).write_parquet(evaluation / "channels.parquet")
        _example().write_parquet(evaluation / "example.parquet")
    (run / "curves.csv").write_text(
        "epoch,train_loss,valid_loss,valid_auc\n"
        + "".join(
            f"{e},{0.7 / (e + 1):.4f},{0.6 / (e + 1):.4f},{0.8 - 0.1 / (e + 1):.4f}\n" for e in range(5)
        )
    )
    facts = {
        "model": "diffumin",
        "seed": 7,
        "config": {"long_term": long_term, "inference_noise": "zero"},
        "data": {"target": "next_item", "asked": {"secret": 1}},
    }
    (run / "run.json").write_text(json.dumps(facts))
    return run


def gain_of(gain: float, place: int, subset: str) -> float:
    """Return how far the recommender is ahead of a floor on a subset."""
    return gain + 0.05 * place + 0.01 * SUBSETS.index(subset)


def _metrics(gain: float) -> pl.DataFrame:
    rows = [
        (model, split, subset, metric, value, value - 0.01, value + 0.01, 160, 80)
        for place, model in enumerate(MODELS)
        for split in ("valid", "test")
        for subset in SUBSETS
        for auc in [0.8 - (gain_of(gain, place - 1, subset) if place else 0)]
        for metric, value in {
            "auc": auc,
            "grouped_auc": auc - 0.01,
            "log_loss": 1.2 - auc,
            "predicted_over_clicked": 1.02,
            "calibration_error": 0.03,
        }.items()
    ]
    return pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row")


def _paired(gain: float) -> pl.DataFrame:
    rows = [
        (RECOMMENDER, floor, split, subset, "auc", ahead, ahead - 0.005, ahead + 0.005)
        for place, floor in enumerate(FLOORS)
        for split in ("valid", "test")
        for subset in SUBSETS
        for ahead in [gain_of(gain, place, subset)]
    ]
    return pl.DataFrame(rows, schema=PAIRED_SCHEMA, orient="row")


def _channels(routed: Sequence[float]) -> pl.DataFrame:
    number = len(routed)
    rows = [
        (
            place + 1,
            share,
            0.7 * share,
            min(1.0, 1.2 * share),
            0.2 * share,
            float(share == 0),
            [1.0 if place == other else (0.1 * (place + other) if share * routed[other] else None)
             for other in range(number)],
            80,
            160,
        )
        for place, share in enumerate(routed)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=CHANNEL_SCHEMA, orient="row")


def _example() -> pl.DataFrame:
    rows = [
        (
            STUDENT, 59, rank, f"UserBehavior:{rank}25", "UserBehavior:grammar",
            1 - rank / 10, 0.4 - rank / 5, channel, effect,
            f"UserBehavior:{channel}0{back}", f"UserBehavior:topic {channel}", back, 0.1 / back,
        )
        for rank in (1, 2, 3)
        for channel, effect in ((1, 0.2), (2, -0.7 / rank), (3, 1.1))
        for back in (2, 7, 12, 40)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=EXAMPLE_SCHEMA, orient="row")
