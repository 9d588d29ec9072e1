"""Register an evaluated recommender: what its card tells, and what it is compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from edpipe.datasets.impressions import SPLITS, ImpressionDataset, Split
from edpipe.evaluation.recommendation.stored import CHANNELS_FILE, PAIRED_FILE
from edpipe.evaluation.recommendation.verdicts import channel_alarm, verdicts
from edpipe.evaluation.results import EVALUATION_FOLDER, Evaluation
from edpipe.families.raw_data import is_synthetic, source_manifest
from edpipe.tracking.card_words import DIFFUMIN
from edpipe.tracking.diffumin_run import track_diffumin
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import card_code

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun

TABLE = "training.recommendation_examples"


def register_diffumin(
    settings: Settings, run: TrainingRun, dataset: ImpressionDataset, evaluation: Evaluation
) -> ModelVersion:
    """Record the run in MLflow with its card and register its model; a second call changes nothing."""
    asked = run.data["asked"]["recommendation"]
    facts = CardFacts(
        name=run.model,
        model=str(run.options["model"]),
        run_key=run.run_key,
        source="synthetic" if is_synthetic(settings, run.source) else run.source,
        data={
            "table": TABLE,
            "fingerprint": run.fingerprint,
            "log": run.steps,
            "target": run.data["target"],
            "students": dataset.num_students,
            "items": len(dataset.catalog),
            **run.data["impressions"],
        },
        splits={split: _counts(dataset, split) for split in SPLITS},
        parameters={**run.config, **run.options},
        metrics=evaluation.metrics,
        calibration=evaluation.calibration,
        warnings=evaluation.warnings,
        code=card_code(),
        words=DIFFUMIN,
        statements=statements(run, evaluation),
    )
    return track_diffumin(
        settings,
        run.run_dir,
        facts=facts,
        data_fingerprint=run.fingerprint,
        # Negatives and seed are part of the rows: other ones are other validation rows.
        split=f"{asked['valid']}:{asked['test']}:{asked['negatives']}:{run.options['seed']}",
        table=TABLE,
        source_manifest=source_manifest(settings, run.source),
        item_ids=tuple(dataset.catalog["item_id"].head(3)),
    )


def _counts(dataset: ImpressionDataset, split: Split) -> dict[str, int]:
    """Return students and targets of a part of the split."""
    requests = np.flatnonzero(dataset.columns["split"] == SPLITS.index(split))
    students = np.unique(np.asarray(dataset.columns["student"])[requests])
    return {"students": len(students), "targets": dataset.account[split]}


def statements(run: TrainingRun, evaluation: Evaluation) -> tuple[str, ...]:
    """Say plainly how the recommender compares with the best floor, and how its chances and channels are."""
    folder = run.run_dir / EVALUATION_FOLDER
    if not (folder / PAIRED_FILE).exists():
        return ()
    paired, channels = pl.read_parquet(folder / PAIRED_FILE), folder / CHANNELS_FILE
    told = list(verdicts(evaluation.metrics, paired, str(run.options["model"])))
    alarm = channel_alarm(pl.read_parquet(channels)) if channels.exists() else None
    return (*told, alarm) if alarm else tuple(told)
