"""A training run of a tracer as one MLflow run with one logged model and one registered version."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from edpipe.settings import Settings
from edpipe.tracking.client import open_mlflow
from edpipe.tracking.environment import code_version, environment_tags, requirements
from edpipe.tracking.model_card import CardFacts, model_card
from edpipe.tracking.plots import write_plots
from edpipe.tracking.registry import (
    DATA_FINGERPRINT,
    SPLIT,
    VALID_AUC,
    VALID_LOG_LOSS,
    ModelVersion,
    register,
    versions,
)
from edpipe.tracking.runs import RUN_KEY, Run, start_run

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENT = "tracing"
CHECKPOINT_FILE = "tracer.pt"
CURVES_FILE = "curves.csv"
RUN_FILE = "run.json"
CARD_FILE = "model_card.md"
EVALUATION_FOLDER = "evaluation"
MODEL_FILE = Path(__file__).with_name("tracing_model.py")
CHECKOUT = Path(__file__).resolve().parents[2]
# What the logged model needs to answer; its network code is logged beside it.
MODEL_PACKAGES = ("mlflow", "numpy", "pandas", "torch", "pytorch-lightning")


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
    name: str = "tracing",
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
    name
        Registered name.

    Returns
    -------
    ModelVersion
        The registered version, without an alias yet: see :func:`edpipe.tracking.promotion.promote`.
    """
    for known in versions(settings, name):
        if known.run_key == facts.run_key:
            return known
    card = model_card(facts)
    with start_run(settings, EXPERIMENT, facts.run_key, tags={RUN_KEY: facts.run_key}) as run:
        run.log_params(facts.parameters)
        run.log_input(table, data_fingerprint, source_manifest)
        _log_results(run, run_dir, facts)
        run.log_text(card, CARD_FILE)
        source = _log_model(settings, run, run_dir, item_ids)
    return register(
        settings,
        run_id=run.run_id,
        run_key=facts.run_key,
        source=source,
        name=name,
        description=card,
        tags={
            VALID_LOG_LOSS: repr(_value(facts, "valid", "log_loss")),
            VALID_AUC: repr(_value(facts, "valid", "auc")),
            DATA_FINGERPRINT: data_fingerprint,
            SPLIT: split_name(settings),
            "source": facts.source,
        },
    )


def card_code() -> dict[str, str]:
    """Return code version, environment and package versions, for a card's last section."""
    return {**code_version(), **environment_tags(), "packages": ", ".join(requirements())}


def _value(facts: CardFacts, split: str, metric: str) -> float:
    chosen = facts.metrics.filter(
        (pl.col("model") == facts.model)
        & (pl.col("split") == split)
        & (pl.col("subset") == "all")
        & (pl.col("metric") == metric)
    )
    return float(chosen["value"].item())


def _log_results(run: Run, run_dir: Path, facts: CardFacts) -> None:
    """Record metrics, curves, plots and the files of the run."""
    whole = facts.metrics.filter(pl.col("value").is_not_nan())
    run.log_metrics({_metric_name(row): float(row["value"]) for row in whole.iter_rows(named=True)})
    curves = pl.DataFrame()
    if (run_dir / CURVES_FILE).exists():
        curves = pl.read_csv(run_dir / CURVES_FILE)
        run.log_curve(
            [
                (int(row["epoch"]), {key: value for key, value in row.items() if _is_number(key, value)})
                for row in curves.iter_rows(named=True)
            ]
        )
    with tempfile.TemporaryDirectory() as folder:
        for plot in write_plots(Path(folder), curves=curves, calibration=facts.calibration):
            run.log_file(plot, "plots")
    for path in (run_dir / CURVES_FILE, run_dir / RUN_FILE):
        if path.exists():
            run.log_file(path)
    for path in sorted((run_dir / EVALUATION_FOLDER).glob("[!.]*")):
        run.log_file(path, EVALUATION_FOLDER)


def _context_length(settings: Settings, run_dir: Path) -> int:
    """Return the length of the windows that the run was trained on."""
    options = json.loads((run_dir / RUN_FILE).read_text(encoding="utf-8")).get("options", {})
    return int(options.get("context_length", settings.tracing.context_length))


def _is_number(key: str, value: Any) -> bool:
    return key != "epoch" and isinstance(value, (int, float))


def _metric_name(row: Mapping[str, Any]) -> str:
    """Return a name MLflow takes: letters, digits, `_ - . / :` and spaces."""
    subset = "" if row["subset"] == "all" else f"{row['subset']}/"
    return f"{row['split']}/{row['model']}/{subset}{row['metric']}"


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


def _log_model(settings: Settings, run: Run, run_dir: Path, item_ids: tuple[str, ...]) -> str:
    """Log the model from its code, with signature and example, and return its address."""
    mlflow = open_mlflow(settings)
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec("string", "student_id"),
        ColSpec("string", "item_id"),
        ColSpec("double", "is_correct", required=False),
        ColSpec("double", "elapsed_seconds", required=False),
        ColSpec("datetime", "answered_at"),
        ColSpec("double", "lag_seconds", required=False),
    ]
    with mlflow.start_run(run_id=run.run_id), warnings.catch_warnings():
        # MLflow warns about types it would rather see; the signature is given.
        warnings.simplefilter("ignore")
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(MODEL_FILE),
            artifacts={"checkpoint": str(run_dir / CHECKPOINT_FILE)},
            code_paths=[str(CHECKOUT / "models")],
            signature=ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec("double")])),
            input_example=example_input(item_ids),
            pip_requirements=[pin for pin in requirements() if pin.split("==")[0] in MODEL_PACKAGES],
            model_config={"context_length": _context_length(settings, run_dir)},
        )
    return str(info.model_uri)
