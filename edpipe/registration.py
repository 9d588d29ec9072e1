"""Register an evaluated training run: what its card tells, and where its data came from."""

from __future__ import annotations

import json

from edpipe.datasets.tracing import SPLITS, TracingDataset
from edpipe.evaluation.results import Evaluation
from edpipe.raw import landed
from edpipe.settings import Settings
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.registry import ModelVersion
from edpipe.tracking.tracing_run import card_code, track_tracing
from edpipe.training.run import TrainingRun


def register_run(
    model: str, settings: Settings, run: TrainingRun, dataset: TracingDataset, evaluation: Evaluation
) -> ModelVersion:
    """Record the run in MLflow with its card and register its model; a second call changes nothing."""
    manifests = [one for one in landed(settings.raw_dir) if one.source == run.source]
    is_synthetic = all(one.licence.startswith("none") for one in manifests)
    table = "training.tracing_examples" if run.steps == "questions" else "training.tracing_rows"
    return track_tracing(
        settings,
        run.run_dir,
        facts=_card_facts(model, run, dataset, evaluation, table, is_synthetic=is_synthetic),
        data_fingerprint=run.fingerprint,
        table=table,
        source_manifest=json.dumps(
            {
                f"{manifest.source}.{manifest.relation}": {
                    "fingerprint": manifest.fingerprint,
                    "release": manifest.release,
                    "licence": manifest.licence,
                    "rows": manifest.rows,
                }
                for manifest in manifests
            }
        ),
        item_ids=dataset.item_ids,
        name=model,
    )


def _card_facts(
    model: str,
    run: TrainingRun,
    dataset: TracingDataset,
    evaluation: Evaluation,
    table: str,
    *,
    is_synthetic: bool,
) -> CardFacts:
    return CardFacts(
        name=model,
        model=str(run.config["kind"]),
        run_key=run.run_key,
        source="synthetic" if is_synthetic else run.source,
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
