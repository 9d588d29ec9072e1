"""A training run of a forecaster as one MLflow run with one logged model and one version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.datasets.forecast_levels import DEFAULT_LEVELS, quantile_name
from edpipe.datasets.series import SeriesSet
from edpipe.settings import Settings
from edpipe.tracking.model_card import CardFacts
from edpipe.tracking.model_run import LoggedModel, log_pyfunc, track_model, validation_scores
from edpipe.tracking.registry import ModelVersion
from edpipe.tracking.runs import Run

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINT_FILE = "tsdiff.pt"
MODEL_FILE = Path(__file__).with_name("tsdiff_model.py")
# What the parts of edpipe need that the logged model is asked through.
PACKAGES = ("numba", "polars", "pyarrow", "pydantic", "pydantic-settings", "scipy")
NUM_EXAMPLE_STEPS = 12


def track_tsdiff(
    settings: Settings,
    run_dir: Path,
    *,
    facts: CardFacts,
    data_fingerprint: str,
    split: str,
    table: str,
    source_manifest: str,
    series: SeriesSet,
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
        Digest of the series and their windows.
    split
        Names the split: with the fingerprint it fixes the validation windows.
    table
        Relation or file that the series come from.
    source_manifest
        Manifest of the raw data behind them, as JSON.
    series
        Gives times for the example of an input; its values stay here.

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
        log_model=lambda run: _log_model(settings, run, run_dir, series),
    )


def example_input(series: SeriesSet) -> pd.DataFrame:
    """Return a few steps of an invented series on the same grid."""
    import numpy as np
    import pandas as pd

    steps = np.arange(NUM_EXAMPLE_STEPS)
    times = series.frequency.times(series.starts[0], steps)
    return pd.DataFrame({"series_id": "example", "time": pd.to_datetime(times), "target": 100.0 + steps})


def _log_model(settings: Settings, run: Run, run_dir: Path, series: SeriesSet) -> LoggedModel:
    """Log the model from its code, with signature and example."""
    from mlflow.types import ColSpec

    inputs = [
        ColSpec("string", "series_id"),
        ColSpec("datetime", "time"),
        ColSpec("double", "target", required=False),
    ]
    return log_pyfunc(
        settings,
        run,
        code=MODEL_FILE,
        artifacts={"checkpoint": run_dir / CHECKPOINT_FILE},
        inputs=inputs,
        outputs=[
            ColSpec("string", "series_id"),
            ColSpec("datetime", "time"),
            ColSpec("long", "step"),
            ColSpec("double", "mean", required=False),
            *(ColSpec("double", quantile_name(level)) for level in DEFAULT_LEVELS),
        ],
        example=example_input(series),
        packages=PACKAGES,
    )
