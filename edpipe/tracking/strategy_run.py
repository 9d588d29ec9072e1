"""A training run of a strategy predictor as one MLflow run with one logged model and one version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.settings import Settings
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import LoggedModel, log_pyfunc, track_model
from edpipe.tracking.registry import ModelVersion
from edpipe.tracking.runs import Run
from edpipe.tracking.validation import Validation

if TYPE_CHECKING:
    import pandas as pd

TABLE = "training.strategy_examples"
# What the parts of edpipe need that the logged model is asked through.
PACKAGES = ("numba", "polars", "pyarrow", "pydantic", "pydantic-settings")
MODEL_FILE = Path(__file__).with_name("strategy_model.py")


def track_strategy(
    settings: Settings,
    run_dir: Path,
    *,
    facts: CardFacts,
    validation: Validation,
    data_fingerprint: str,
    split: str,
    source_manifest: str,
    artifacts: Mapping[str, Path],
    asked: tuple[tuple[str, str, str], ...],
) -> ModelVersion:
    """Record an evaluated training run in MLflow and register its model; a second call does nothing.

    Parameters
    ----------
    settings
        Where the store is.
    run_dir
        Folder of the run: checkpoint, ``curves.csv``, ``run.json``, ``evaluation/``.
    facts
        What the model card tells.
    validation
        Scores on validation attempts: what a promotion compares.
    data_fingerprint
        Digest of the attempts.
    split
        Names the split: with the fingerprint it fixes the validation attempts.
    source_manifest
        Manifest of the raw data behind the table, as JSON.
    artifacts
        Files the model needs to answer, by the name under which it asks for them.
    asked
        Some pairs of student and problem with the problem's section, for the example of an input.

    Returns
    -------
    ModelVersion
        The registered version, without an alias yet: see :func:`edpipe.tracking.promotion.promote`.
    """
    return track_model(
        settings,
        run_dir,
        facts=facts,
        validation=validation,
        data_fingerprint=data_fingerprint,
        split=split,
        table=TABLE,
        source_manifest=source_manifest,
        log_model=lambda run: _log_model(settings, run, artifacts, asked),
    )


def example_input(asked: tuple[tuple[str, str, str], ...]) -> pd.DataFrame:
    """Return some pairs as the logged model takes them."""
    import pandas as pd

    return pd.DataFrame(list(asked), columns=["student_id", "problem_id", "section_id"])


def _log_model(
    settings: Settings,
    run: Run,
    artifacts: Mapping[str, Path],
    asked: tuple[tuple[str, str, str], ...],
) -> LoggedModel:
    """Log the model from its code, with signature and example."""
    from mlflow.types import ColSpec

    inputs = [
        ColSpec("string", "student_id"),
        ColSpec("string", "problem_id"),
        ColSpec("string", "section_id", required=False),
    ]
    return log_pyfunc(
        settings,
        run,
        code=MODEL_FILE,
        artifacts=artifacts,
        inputs=inputs,
        outputs=[ColSpec("string", "strategy"), ColSpec("double", "confidence")],
        example=example_input(asked),
        packages=PACKAGES,
    )
