"""An evaluated training run as one MLflow run with one logged model and one registered version."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from edpipe.settings import Settings
from edpipe.tracking.client import open_mlflow
from edpipe.tracking.environment import code_version, environment_tags, requirements
from edpipe.tracking.latency import fixed_batch, machine, measured_milliseconds
from edpipe.tracking.model_card import CardFacts, model_card
from edpipe.tracking.plots import write_plots
from edpipe.tracking.registry import DATA_FINGERPRINT, SPLIT, ModelVersion, register, versions
from edpipe.tracking.rules import LATENCY, MACHINE
from edpipe.tracking.runs import RUN_KEY, Run, start_run
from edpipe.tracking.validation import Validation, validation_of

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.types import ColSpec, TensorSpec

CURVES_FILE = "curves.csv"
RUN_FILE = "run.json"
CARD_FILE = "model_card.md"
EVALUATION_FOLDER = "evaluation"
CHECKOUT = Path(__file__).resolve().parents[2]
# What a logged model needs to answer; its network code is logged beside it.
MODEL_PACKAGES = ("mlflow", "numpy", "pandas", "torch", "pytorch-lightning")


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """Where a logged model is, and its milliseconds for the fixed batch on one thread, if it can be asked."""

    uri: str
    milliseconds: float | None

    def tags(self) -> dict[str, str]:
        """Return the tags that a registered version keeps its latency in."""
        if self.milliseconds is None:
            return {}
        return {LATENCY: f"{self.milliseconds:.4g}", MACHINE: machine()}


def track_model(
    settings: Settings,
    run_dir: Path,
    *,
    facts: CardFacts,
    validation: Validation,
    data_fingerprint: str,
    split: str,
    table: str,
    source_manifest: str,
    log_model: Callable[[Run], LoggedModel],
) -> ModelVersion:
    """Record an evaluated training run in MLflow and register its model; a second call does nothing.

    Parameters
    ----------
    settings
        Where the store is.
    run_dir
        Folder of the run: checkpoint, ``curves.csv``, ``run.json``, ``evaluation/``.
    facts
        What the model card tells; its name is that of the experiment and of the registered model.
    validation
        Scores on the validation rows: what a promotion compares.
    data_fingerprint
        Digest of the rows of ``table``.
    split
        Names the split: with the fingerprint it fixes the validation rows.
    table
        Relation that the model was trained on.
    source_manifest
        Manifest of the raw data behind the table, as JSON.
    log_model
        Logs the model into the run.

    Returns
    -------
    ModelVersion
        The registered version, without an alias yet: see :func:`edpipe.tracking.promotion.promote`.
    """
    for known in versions(settings, facts.name):
        if known.run_key == facts.run_key:
            return known
    card = model_card(facts)
    with start_run(settings, facts.name, facts.run_key, tags={RUN_KEY: facts.run_key}) as run:
        run.log_params(facts.parameters)
        run.log_input(table, data_fingerprint, source_manifest)
        _log_results(run, run_dir, facts)
        run.log_text(card, CARD_FILE)
        logged = log_model(run)
    return register(
        settings,
        run_id=run.run_id,
        run_key=facts.run_key,
        source=logged.uri,
        name=facts.name,
        description=card,
        tags={
            **validation.tags(),
            **logged.tags(),
            DATA_FINGERPRINT: data_fingerprint,
            SPLIT: split,
            "source": facts.source,
        },
    )


def card_code() -> dict[str, str]:
    """Return code version, environment and package versions, for a card's last section."""
    return {**code_version(), **environment_tags(), "packages": ", ".join(requirements())}


def validation_scores(settings: Settings, facts: CardFacts) -> Validation:
    """Return what the contest of this model compares, from the validation rows of its evaluation."""
    own = facts.metrics.filter((pl.col("model") == facts.model) & (pl.col("split") == "valid"))
    return validation_of(settings, facts.name, own)


def model_requirements(*more: str) -> list[str]:
    """Return pins of the packages that a logged model needs, and of some more."""
    return [pin for pin in requirements() if pin.split("==")[0] in {*MODEL_PACKAGES, *more}]


def log_pyfunc(
    settings: Settings,
    run: Run,
    *,
    code: Path,
    artifacts: Mapping[str, Path],
    inputs: Sequence[ColSpec | TensorSpec],
    outputs: Sequence[ColSpec | TensorSpec] | None,
    example: pd.DataFrame,
    packages: Sequence[str],
    is_network_alone: bool = False,
    model_config: Mapping[str, Any] | None = None,
) -> LoggedModel:
    """Log a model from its code into a run, with signature and example, and time it on one thread.

    Parameters
    ----------
    settings, run
        Where to.
    code
        File that defines the model.
    artifacts
        Files that it needs to answer, by the name under which it asks for them.
    inputs, outputs
        Columns in and out; None leaves what comes out open.
    example
        An input.
    packages
        What it needs besides the packages of every logged model.
    is_network_alone
        Whether it asks the networks and nothing of edpipe.
    model_config
        Values that it is given.
    """
    mlflow = open_mlflow(settings)
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    folders = ("models",) if is_network_alone else ("models", "edpipe")
    signature = ModelSignature(
        inputs=Schema(list(inputs)), outputs=None if outputs is None else Schema(list(outputs))
    )
    with mlflow.start_run(run_id=run.run_id), warnings.catch_warnings():
        # MLflow warns about types it would rather see; the signature is given.
        warnings.simplefilter("ignore")
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            artifacts={name: str(path) for name, path in artifacts.items()},
            code_paths=[str(CHECKOUT / folder) for folder in folders],
            signature=signature,
            input_example=example,
            pip_requirements=model_requirements(*packages),
            model_config=None if model_config is None else dict(model_config),
        )
    milliseconds = measured_milliseconds(code, artifacts, model_config, fixed_batch(example))
    return LoggedModel(str(info.model_uri), milliseconds)


def _log_results(run: Run, run_dir: Path, facts: CardFacts) -> None:
    """Record metrics, curves, plots and the files of the run."""
    whole = facts.metrics.filter(pl.col("value").is_not_nan())
    run.log_metrics({_metric_name(row): float(row["value"]) for row in whole.iter_rows(named=True)})
    curves = pl.DataFrame()
    if (run_dir / CURVES_FILE).exists():
        curves = pl.read_csv(run_dir / CURVES_FILE)
        run.log_curve(
            [
                # Kept from 0, shown from 1.
                (int(row["epoch"]) + 1, {key: value for key, value in row.items() if _is_number(key, value)})
                for row in curves.iter_rows(named=True)
            ]
        )
    with tempfile.TemporaryDirectory() as folder:
        plots = write_plots(
            Path(folder), curves=curves, calibration=facts.calibration, outcome=facts.words.outcome
        )
        for plot in plots:
            run.log_file(plot, "plots")
    for path in (run_dir / CURVES_FILE, run_dir / RUN_FILE):
        if path.exists():
            run.log_file(path)
    for path in sorted((run_dir / EVALUATION_FOLDER).glob("[!.]*")):
        run.log_file(path, EVALUATION_FOLDER)


def _is_number(key: str, value: Any) -> bool:
    return key != "epoch" and isinstance(value, (int, float))


def _metric_name(row: Mapping[str, Any]) -> str:
    """Return a name MLflow takes: letters, digits, `_ - . / :` and spaces."""
    subset = "" if row["subset"] == "all" else f"{row['subset']}/"
    return "".join(
        letter if letter.isalnum() or letter in "_-./: " else "_"
        for letter in f"{row['split']}/{row['model']}/{subset}{row['metric']}"
    )
