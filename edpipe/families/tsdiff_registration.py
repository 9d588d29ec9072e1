"""Register an evaluated forecaster: what its card tells, and what it is compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from edpipe.datasets.series_source import FILE_SOURCE, TABLE, SourcedTask
from edpipe.evaluation.forecast.evaluate import PAIRED_FILE, verdicts
from edpipe.evaluation.results import EVALUATION_FOLDER, Evaluation
from edpipe.families.raw_data import is_synthetic, source_manifest
from edpipe.tracking.card_words import TSDIFF
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import card_code
from edpipe.tracking.tsdiff_run import track_tsdiff

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun


def register_tsdiff(
    settings: Settings, run: TrainingRun, sourced: SourcedTask, evaluation: Evaluation
) -> ModelVersion:
    """Record the run in MLflow with its card and register its model; a second call changes nothing."""
    task = sourced.task
    is_file = run.source == FILE_SOURCE
    length = task.context_length + task.prediction_length
    num_train = int(np.maximum(task.train_ends - length + 1, 0).sum())
    asked = run.data["asked"]
    facts = CardFacts(
        name=run.model,
        model=str(run.options["model"]),
        run_key=run.run_key,
        source="synthetic" if not is_file and is_synthetic(settings, run.source) else run.source,
        data={
            "table": asked["file"] if is_file else TABLE,
            "fingerprint": run.fingerprint,
            "frequency": run.data["frequency"],
            "context, prediction": f"{task.context_length}, {task.prediction_length} steps",
            **({} if is_file else {name: asked[name] for name in ("series", "measure", "min_students")}),
            **run.data["account"],
            **({"trained at last on": "validation steps too"} if run.options["is_refitted"] else {}),
        },
        splits={
            "train": {"series": task.series.num_series, "windows": num_train},
            "valid": {"series": len(np.unique(task.valid.series)), "windows": len(task.valid)},
            "test": {"series": len(np.unique(task.test.series)), "windows": len(task.test)},
        },
        parameters={**run.config, **run.options},
        metrics=evaluation.metrics,
        calibration=evaluation.calibration,
        warnings=evaluation.warnings,
        code=card_code(),
        words=TSDIFF,
        statements=statements(run, evaluation),
    )
    return track_tsdiff(
        settings,
        run.run_dir,
        facts=facts,
        data_fingerprint=run.fingerprint,
        split=f"last {len(task.valid)} windows before the test",
        table="file" if is_file else TABLE,
        source_manifest="" if is_file else source_manifest(settings, run.source),
        series=task.series,
    )


def statements(run: TrainingRun, evaluation: Evaluation) -> tuple[str, ...]:
    """Say plainly how the forecaster compares with the best baseline."""
    path = run.run_dir / EVALUATION_FOLDER / PAIRED_FILE
    if not path.exists():
        return ()
    return tuple(verdicts(evaluation.metrics, pl.read_parquet(path), str(run.options["model"])))
