"""A training run of a recommender as one MLflow run with one logged model and one version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.settings import Settings
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import LoggedModel, log_pyfunc, track_model, validation_scores
from edpipe.tracking.registry import ModelVersion
from edpipe.tracking.runs import Run

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINT_FILE = "diffumin.pt"
MODEL_FILE = Path(__file__).with_name("diffumin_model.py")
# What the parts of edpipe need that the logged model is asked through.
PACKAGES = ("duckdb", "numba", "polars", "pyarrow", "pydantic", "pydantic-settings")


def track_diffumin(
    settings: Settings,
    run_dir: Path,
    *,
    facts: CardFacts,
    data_fingerprint: str,
    split: str,
    table: str,
    source_manifest: str,
    item_ids: tuple[str, ...],
) -> ModelVersion:
    """Record an evaluated training run in MLflow and register its model; a second call does nothing.

    Parameters
    ----------
    settings
        Where the store is.
    run_dir
        Folder of the run: checkpoint, ``curves.csv``, ``run.json``, ``evaluation/``.
    facts
        What the model card tells; its metrics must hold the validation split of `facts.model`.
    data_fingerprint
        Digest of behaviors and targets.
    split
        Names the split and the negatives: with the fingerprint it fixes the validation rows.
    table
        Relation that the targets come from.
    source_manifest
        Manifest of the raw data behind it, as JSON.
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
        split=split,
        table=table,
        source_manifest=source_manifest,
        log_model=lambda run: _log_model(settings, run, run_dir, item_ids),
    )


def example_input(item_ids: tuple[str, ...]) -> pd.DataFrame:
    """Return the past of an invented student, and one item that is asked about."""
    import pandas as pd

    items = list(item_ids)
    return pd.DataFrame(
        {
            "student_id": "example",
            "item_id": items,
            "outcome": "",
            "is_asked": [place == len(items) - 1 for place in range(len(items))],
        }
    )


def _log_model(settings: Settings, run: Run, run_dir: Path, item_ids: tuple[str, ...]) -> LoggedModel:
    """Log the model from its code, with signature and example."""
    from mlflow.types import ColSpec

    inputs = [
        ColSpec("string", "student_id"),
        ColSpec("string", "item_id"),
        ColSpec("string", "outcome", required=False),
        ColSpec("boolean", "is_asked"),
    ]
    return log_pyfunc(
        settings,
        run,
        code=MODEL_FILE,
        artifacts={"checkpoint": run_dir / CHECKPOINT_FILE},
        inputs=inputs,
        outputs=[
            ColSpec("string", "student_id"),
            ColSpec("string", "item_id"),
            ColSpec("double", "probability"),
        ],
        example=example_input(item_ids),
        packages=PACKAGES,
    )
