"""Register an evaluated tracer: what its card tells, and where its data came from."""

from __future__ import annotations

from edpipe.datasets.tracing import SPLITS, TracingDataset
from edpipe.evaluation.results import Evaluation
from edpipe.families.raw_data import is_synthetic, source_manifest
from edpipe.settings import Settings
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import card_code
from edpipe.tracking.registry import ModelVersion
from edpipe.tracking.tracing_run import track_tracing
from edpipe.training.run import TrainingRun


def register_tracing(
    model: str, settings: Settings, run: TrainingRun, dataset: TracingDataset, evaluation: Evaluation
) -> ModelVersion:
    """Record the run in MLflow with its card and register its model; a second call changes nothing."""
    table = "training.tracing_examples" if run.steps == "questions" else "training.tracing_rows"
    facts = CardFacts(
        name=model,
        model=str(run.config["kind"]),
        run_key=run.run_key,
        source="synthetic" if is_synthetic(settings, run.source) else run.source,
        data={
            "table": table,
            "fingerprint": run.fingerprint,
            "students": dataset.num_students,
            "interactions": dataset.num_steps,
        },
        splits={
            split: {"students": len(dataset.students(split)), "interactions": dataset.count_steps(split)}
            for split in SPLITS
        },
        parameters={**run.config, **run.options},
        metrics=evaluation.metrics,
        calibration=evaluation.calibration,
        warnings=evaluation.warnings,
        code=card_code(),
    )
    return track_tracing(
        settings,
        run.run_dir,
        facts=facts,
        data_fingerprint=run.fingerprint,
        table=table,
        source_manifest=source_manifest(settings, run.source),
        item_ids=dataset.item_ids,
    )
