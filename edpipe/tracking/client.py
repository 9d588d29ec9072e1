"""The one door to MLflow: imported late, told to be quiet, pointed at the store of the settings."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from edpipe.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

    from mlflow import MlflowClient

# Read by MLflow while it is imported.
_QUIET_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
ARTIFACTS_FOLDER = "mlartifacts"


def open_mlflow(settings: Settings) -> ModuleType:
    """Import MLflow and point its fluent functions at the store of the settings.

    The SQLite store is made on first use (about 3 s of migrations); nothing is sent anywhere.
    """
    for name, value in _QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not settings.tracking_uri:
        settings.home.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings.mlflow_uri)
    mlflow.set_registry_uri(settings.mlflow_uri)
    return mlflow


def open_client(settings: Settings) -> MlflowClient:
    """Return a client of the tracking store and the registry."""
    open_mlflow(settings)
    from mlflow import MlflowClient

    return MlflowClient(settings.mlflow_uri, settings.mlflow_uri)


def experiment_id(settings: Settings, client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, made if it is new; artifacts of a local store lie under ``home``."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if not settings.tracking_uri:
        location = (settings.home / ARTIFACTS_FOLDER).resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=location))
