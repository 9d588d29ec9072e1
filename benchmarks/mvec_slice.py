"""Strategies of the published slice of Bridge to Algebra: five folds by student, ours beside the lookup."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.evaluation.strategy.baselines import (
    MarkovBaseline,
    NamedLookup,
    global_mode,
    lookup,
    section_mode,
)
from edpipe.evaluation.strategy.intervals import StudentDraws
from edpipe.evaluation.strategy.metrics import RATIOS, attempt_scores
from edpipe.mastery.embed import embed_dataset
from edpipe.prediction.strategy import predict_strategies
from edpipe.settings import Settings
from edpipe.training.strategy import train_predictor
from models.strategy.transformer import TransformerStrategyModel

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from kdd_slice import NUM_FOLDS, SLICE, read_slice, student_folds  # noqa: E402  (found by the path above)

METRICS = ("exact_match", "same_kcs", "jaccard", "edit_similarity", "lcs_f1", "next_kc_accuracy")
# Measured elsewhere, on other folds; see the test of the slice.
REFERENCES = {
    ("KTracedSkills", "seen_problems"): {"exact_match": 0.609, "jaccard": 0.884},
    ("SubSkills", "seen_problems"): {"exact_match": 0.557, "jaccard": 0.860},
    ("SubSkills", "all"): {"exact_match": 0.261, "jaccard": 0.616},
}
NUM_DRAWS = 1000
# Closer to the single likeliest strategy than the default length penalty of 0.7.
LIKELIEST = 0.35
# The LSTM, which reads no examples, is trained for the headline only.
COMBINATIONS = (
    ("KTracedSkills", "first", ("transformer", "lstm")),
    ("KTracedSkills", "all", ("transformer",)),
    ("SubSkills", "all", ("transformer",)),
)


def slice_path() -> Path:
    """Return where the slice lies."""
    folder = Path(os.environ.get("EDPIPE_REAL_DATA", REPOSITORY / ".." / "shared" / "data")).resolve()
    return folder / SLICE


def measure_slice(settings: dict[str, Settings], *, fold_seeds: tuple[int, ...] = (0,)) -> pl.DataFrame:
    """Score every model and baseline; each attempt is predicted from the students of other folds.

    Parameters
    ----------
    settings
        Model name to settings of the predictor.
    fold_seeds
        Seeds of the folds; scores of several are pooled by model, with intervals over students.
    """
    rows = []
    for kc_model, views, models in COMBINATIONS:
        dataset = read_slice(slice_path(), kc_model)
        is_kept = dataset.attempts["problem_view"].to_numpy() == 1 if views == "first" else True
        kept = np.flatnonzero(np.broadcast_to(is_kept, dataset.num_attempts))
        chosen = {name: settings[name] for name in models if name in settings}
        scores = _folded(dataset, kept, chosen, fold_seeds)
        rows += [{"kc_model": kc_model, "views": views, **row} for row in _summed(scores, kc_model, views)]
        for row in rows[-3 * len(scores) :]:
            told = (kc_model, views, row["model"], row["subset"])
            print(*told, f"exact {row['exact_match']:.3f} Jaccard {row['jaccard']:.3f}", flush=True)
    return pl.DataFrame(rows, infer_schema_length=None)


def _folded(
    dataset: StrategyDataset, kept: Places, settings: dict[str, Settings], fold_seeds: tuple[int, ...]
) -> dict[str, pl.DataFrame]:
    parts: dict[str, list[pl.DataFrame]] = {}
    for fold_seed in fold_seeds:
        fold = student_folds(dataset, seed=fold_seed)[kept]
        for number in range(NUM_FOLDS):
            train, test = kept[fold != number], kept[fold == number]
            seen = np.isin(dataset.problem[test], dataset.problem[train])
            for name, said, seconds in _predictions(dataset, train, test, settings, fold_seed):
                frame = attempt_scores(dataset, said).with_columns(
                    is_seen=seen, seconds=pl.lit(seconds / len(test))
                )
                parts.setdefault(name, []).append(frame)
    return {name: pl.concat(frames) for name, frames in parts.items()}


def _predictions(
    dataset: StrategyDataset, train: Places, test: Places, settings: dict[str, Settings], seed: int
) -> list[tuple[str, PredictedStrategies, float]]:
    found: list[tuple[str, PredictedStrategies, float]] = []
    for baseline in (
        global_mode(),
        section_mode(),
        MarkovBaseline(1),
        MarkovBaseline(2),
        lookup(),
        NamedLookup(),
    ):
        begun = time.perf_counter()
        said = baseline.fit(dataset, train).predict(dataset, test)
        found.append((baseline.name, said, time.perf_counter() - begun))
    # A ninth of the training students says when to stop; then all of them are learned from as long.
    student = np.unique(dataset.student[train])
    held_out = np.random.default_rng(seed).permutation(student)[: max(1, len(student) // 9)]
    valid = np.isin(dataset.student[train], held_out)
    for name, chosen in settings.items():
        begun = time.perf_counter()
        embedding = embed_dataset(dataset, train, chosen)
        tried = train_predictor(dataset, embedding, train[~valid], train[valid], chosen)
        # Where the untrained network was best, an epoch of steps that go nowhere leaves it as it is.
        epochs = int(tried.metrics["best_epoch"]) + 1
        options: dict[str, float] = {"max_epochs": max(epochs, 1)}
        if not epochs:
            options["learning_rate"] = 0.0
        again = chosen.model_copy(update={"strategy": chosen.strategy.model_copy(update=options)})
        predictor = train_predictor(dataset, embedding, train, train[valid], again)
        if isinstance(predictor.model, TransformerStrategyModel):
            # Of attempts that are learned from, chances promise too much: those of the first training hold.
            predictor.model.calibration.load_state_dict(tried.model.calibration.state_dict())
        said = predict_strategies(predictor, dataset, embedding, test)
        found.append((name, said, time.perf_counter() - begun))
        if name == "transformer":
            shorter = replace(predictor, data={**predictor.data, "length_penalty": LIKELIEST})
            said = predict_strategies(shorter, dataset, embedding, test)
            found.append((f"{name}, length_penalty {LIKELIEST}", said, time.perf_counter() - begun))
    return found


def _summed(scores: dict[str, pl.DataFrame], kc_model: str, views: str) -> list[dict[str, Any]]:
    rows = []
    reference = scores["lookup"]
    draws = StudentDraws(reference["student"].to_numpy(), num_draws=NUM_DRAWS, seed=7)
    is_seen = reference["is_seen"].to_numpy()
    masks = {"all": np.ones(len(is_seen), dtype=bool), "seen_problems": is_seen, "unseen_problems": ~is_seen}
    for model, frame in scores.items():
        for subset, mask in masks.items():
            row: dict[str, Any] = {"model": model, "subset": subset, "num_attempts": int(mask.sum())}
            for metric in METRICS:
                columns = [frame[name].to_numpy() for name in RATIOS[metric]]
                others = [reference[name].to_numpy() for name in RATIOS[metric]]
                ours, theirs = draws.ratio(*columns, mask), draws.ratio(*others, mask)
                row[metric] = ours.value
                if metric in ("exact_match", "jaccard"):
                    row[f"{metric}_low"], row[f"{metric}_high"] = ours.interval
                    low, high = np.quantile(ours.draws - theirs.draws, [0.025, 0.975])
                    row[f"{metric}_gain"] = ours.value - theirs.value
                    row[f"{metric}_gain_low"], row[f"{metric}_gain_high"] = float(low), float(high)
            published = REFERENCES.get((kc_model, subset), {}) if views == "all" else {}
            row |= {f"reference_{name}": value for name, value in published.items()}
            row["seconds"] = float(frame["seconds"].sum())
            rows.append(row)
    return rows
