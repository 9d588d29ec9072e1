"""A training run of a tracer as one MLflow run with one logged model and one registered version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.settings import Settings
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import (
    RUN_FILE,
    LoggedModel,
    log_pyfunc,
    track_model,
    validation_scores,
)
from edpipe.tracking.registry import ModelVersion
from edpipe.tracking.runs import Run

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINT_FILE = "tracer.pt"
MODEL_FILE = Path(__file__).with_name("tracing_model.py")


def split_name(settings: Settings) -> str:
    """Return salt and shares of the split, which with the data fingerprint fix the validation rows."""
    split = settings.split
    return f"{split.salt}:{split.valid}:{split.test}"


def track_tracing(
    settings: Settings,
    run_dir: Path,
    *,
    facts: CardFacts,
    data_fingerprint: str,
    table: str = "training.tracing_examples",
    source_manifest: str = "",
    item_ids: tuple[str, ...],
) -> ModelVersion:
    """Record an evaluated training run in MLflow and register its model; a second call does nothing.

    Parameters
    ----------
    settings
        Where the store is, the split, the context length.
    run_dir
        Folder of the run: ``tracer.pt``, ``curves.csv``, ``run.json``, ``evaluation/``.
    facts
        What the model card tells; its metrics must hold the validation split of `facts.model`.
    data_fingerprint
        Digest of the rows of ``table``.
    table
        Relation the tracer was trained on.
    source_manifest
        Manifest of the raw data behind the table, as JSON.
    item_ids
        Some items, for the example of an input.

    Returns
    -------
    ModelVersion
        The registered version, without an alias yet: see :func:`edpipe.tracking.promotion.promote`.
    """
    return track_model(
        settings,
        run_dir,
        facts=facts,
        validation=validation_scores(settings, facts),
        data_fingerprint=data_fingerprint,
        split=split_name(settings),
        table=table,
        source_manifest=source_manifest,
        log_model=lambda run: _log_model(settings, run, run_dir, item_ids),
    )


def _context_length(settings: Settings, run_dir: Path) -> int:
    """Return the length of the windows that the run was trained on."""
    options = json.loads((run_dir / RUN_FILE).read_text(encoding="utf-8")).get("options", {})
    return int(options.get("context_length", settings.tracing.context_length))


def example_input(item_ids: tuple[str, ...]) -> pd.DataFrame:
    """Return a few answers of an invented student, the last one asked and not yet answered."""
    import pandas as pd

    rows = pd.DataFrame({"item_id": list(item_ids[:3])})
    asked = len(rows) - 1
    return rows.assign(
        student_id="example",
        is_correct=[float(row == 0) if row < asked else float("nan") for row in range(len(rows))],
        elapsed_seconds=[20.0 + row if row < asked else float("nan") for row in range(len(rows))],
        answered_at=[pd.Timestamp("2019-05-01") + pd.Timedelta(minutes=row) for row in range(len(rows))],
    )[["student_id", "item_id", "is_correct", "elapsed_seconds", "answered_at"]]


def _log_model(settings: Settings, run: Run, run_dir: Path, item_ids: tuple[str, ...]) -> LoggedModel:
    """Log the model from its code, with signature and example."""
    from mlflow.types import ColSpec

    inputs = [
        ColSpec("string", "student_id"),
        ColSpec("string", "item_id"),
        ColSpec("double", "is_correct", required=False),
        ColSpec("double", "elapsed_seconds", required=False),
        ColSpec("datetime", "answered_at"),
        ColSpec("double", "lag_seconds", required=False),
    ]
    return log_pyfunc(
        settings,
        run,
        code=MODEL_FILE,
        artifacts={"checkpoint": run_dir / CHECKPOINT_FILE},
        inputs=inputs,
        outputs=[ColSpec("double", "probability")],
        example=example_input(item_ids),
        packages=(),
        is_network_alone=True,
        model_config={"context_length": _context_length(settings, run_dir)},
    )
