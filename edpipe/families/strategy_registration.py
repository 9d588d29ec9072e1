"""Register an evaluated predictor of strategies: what its card tells, and what it is compared by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from edpipe.evaluation.results import EVALUATION_FOLDER, Evaluation
from edpipe.evaluation.strategy.evaluate import PAIRED_FILE, verdicts
from edpipe.families.raw_data import is_synthetic, source_manifest
from edpipe.families.strategy_parts import Attempts
from edpipe.families.strategy_training import KNOWN_FOLDER
from edpipe.prediction.strategy import STRATEGY_FILE
from edpipe.tracking import validation
from edpipe.tracking.card_words import STRATEGY
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import card_code
from edpipe.tracking.strategy_run import TABLE, track_strategy

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.tracking.validation import Validation
    from edpipe.training.run import TrainingRun

STRATEGY_NAME = "strategy"
NUM_ASKED = 3


def register_strategy(
    settings: Settings,
    run: TrainingRun,
    attempts: Attempts,
    evaluation: Evaluation,
) -> ModelVersion:
    """Record the run in MLflow with its card and register its model; a second call changes nothing."""
    kind = str(run.config["kind"])
    dataset, split = attempts.dataset, attempts.split
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    facts = CardFacts(
        name=run.model,
        model=kind,
        run_key=run.run_key,
        source="synthetic" if is_synthetic(settings, run.source) else run.source,
        data={
            "table": TABLE,
            "fingerprint": run.fingerprint,
            "students": dataset.num_students,
            "problems": dataset.num_problems,
            "KCs": dataset.num_kcs,
            "learned from": f"{run.data.get('num_sampled', len(split.train)):,} of {len(split.train):,} "
            "training attempts",
            **{label: run.data[name] for label, name in LABELS.items() if name in run.data},
        },
        splits={
            name: {"students": len(set(dataset.student[rows].tolist())), "attempts": len(rows)}
            for name, rows in parts.items()
        },
        parameters={**run.config, **run.options},
        metrics=evaluation.metrics,
        calibration=evaluation.calibration,
        warnings=evaluation.warnings,
        code=card_code(),
        words=STRATEGY,
        statements=statements(run.run_dir, kind),
    )
    return track_strategy(
        settings,
        run.run_dir,
        facts=facts,
        validation=validation_of(settings, evaluation.metrics, kind),
        data_fingerprint=run.fingerprint,
        split=split_name(run),
        source_manifest=source_manifest(settings, run.source),
        artifacts={
            "checkpoint": run.run_dir / STRATEGY_FILE,
            "embedding": settings.embeddings_dir / run.data["embedding_key"],
            "known": run.run_dir / KNOWN_FOLDER,
        },
        asked=_asked(attempts),
    )


LABELS = {
    "split": "split",
    "views": "views",
    "sampler": "sampler",
    "embedding": "embedding_key",
    "clusters": "clusters_key",
}


def statements(run_dir: Path, model: str) -> tuple[str, ...]:
    """Say plainly how the model compares with the lookup on the test attempts."""
    path = run_dir / EVALUATION_FOLDER / PAIRED_FILE
    if not path.exists():
        return ()
    return tuple(verdicts(pl.read_parquet(path), [model]))


def validation_of(settings: Settings, metrics: pl.DataFrame, kind: str) -> Validation:
    """Return what a promotion compares, from the validation rows of an evaluation."""
    own = metrics.filter((pl.col("model") == kind) & (pl.col("split") == "valid"))
    likelihood = own.filter(pl.col("metric") == "log_likelihood")
    loss = likelihood.with_columns(metric=pl.lit("log_loss"), value=-pl.col("value"))
    return validation.validation_of(settings, STRATEGY_NAME, pl.concat([own, loss]))


def split_name(run: TrainingRun) -> str:
    """Return what, with the data's fingerprint, fixes the validation attempts."""
    return ":".join(str(run.data[name]) for name in ("split", "views", "salt", "valid_share", "test_share"))


def _asked(attempts: Attempts) -> tuple[tuple[str, str, str], ...]:
    dataset = attempts.dataset
    return tuple(
        (
            dataset.student_ids[dataset.student[row]],
            dataset.problem_ids[dataset.problem[row]],
            dataset.section_ids[dataset.section[row]],
        )
        for row in attempts.split.test[:NUM_ASKED].tolist()
    )
