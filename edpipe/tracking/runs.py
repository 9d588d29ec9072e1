"""Runs: parameters, inputs, metrics and files, with the status that really happened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edpipe.settings import Settings
from edpipe.tracking.client import experiment_id, open_client
from edpipe.tracking.environment import code_version, environment_tags, requirements

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_KEY = "edpipe.run_key"
# Limits of MLflow's batch call.
METRICS_A_BATCH = 1000
PARAMETERS_A_BATCH = 100


@dataclass(frozen=True)
class Run:
    """One run being written. Made by :func:`start_run`.

    Attributes
    ----------
    run_id
        MLflow's id.
    experiment
        Name of the experiment.
    settings
        Where the store is.
    """

    run_id: str
    experiment: str
    settings: Settings
    client: MlflowClient

    def log_params(self, parameters: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names."""
        from mlflow.entities import Param

        flat = [Param(name, str(value)) for name, value in _flatten(parameters)]
        for first in range(0, len(flat), PARAMETERS_A_BATCH):
            self.client.log_batch(self.run_id, params=flat[first : first + PARAMETERS_A_BATCH])

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Record metrics of one step; undefined ones (NaN) are left out."""
        self.log_curve([(step, metrics)])

    def log_curve(self, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Record metrics of many steps in few calls: single calls cost 30 ms each on SQLite."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [
            Metric(name, float(value), now, step)
            for step, metrics in points
            for name, value in metrics.items()
            if value == value  # noqa: PLR0124  # NaN is the only number that differs from itself
        ]
        for first in range(0, len(rows), METRICS_A_BATCH):
            self.client.log_batch(self.run_id, metrics=rows[first : first + METRICS_A_BATCH])

    def log_file(self, path: Path, folder: str = "") -> None:
        """Copy a file into the run's artifacts."""
        self.client.log_artifact(self.run_id, str(path), folder or None)

    def log_text(self, text: str, name: str) -> None:
        """Write a text into the run's artifacts under ``name``."""
        self.client.log_text(self.run_id, text, name)

    def log_input(self, table: str, fingerprint: str, source_manifest: str = "") -> None:
        """Record which data the run read.

        Parameters
        ----------
        table
            Relation, such as ``training.tracing_examples``.
        fingerprint
            Digest of its rows.
        source_manifest
            Manifest of the raw data behind it, as JSON.
        """
        from mlflow.entities import Dataset, DatasetInput

        # MLflow keeps 36 characters of a digest: the name would be cut silently.
        data = Dataset(table, fingerprint[:36], "local", source_manifest or table)
        self.client.log_inputs(self.run_id, [DatasetInput(data)])
        self.set_tags({"data.table": table, "data.fingerprint": fingerprint})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record tags, replacing those of the same name."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])


@contextmanager
def start_run(
    settings: Settings, experiment: str, name: str, *, tags: Mapping[str, str] | None = None
) -> Iterator[Run]:
    """Write one run; its status is FINISHED, FAILED on an exception, KILLED on an interrupt.

    A run of the same ``edpipe.run_key`` is taken up again, so training, its continuation after an
    interrupt, and evaluation are one run. Code version, environment and package versions are recorded
    at the start.

    Parameters
    ----------
    settings
        Where the store is.
    experiment
        Name of the experiment, made if new.
    name
        Name of the run.
    tags
        More tags; ``edpipe.run_key`` names the run across calls.
    """
    client = open_client(settings)
    every_tag = {**environment_tags(), **code_version(), **(tags or {})}
    run_id = find_run(settings, experiment, every_tag[RUN_KEY]) if RUN_KEY in every_tag else None
    if run_id is None:
        made = client.create_run(experiment_id(settings, client, experiment), run_name=name, tags=every_tag)
        run_id = str(made.info.run_id)
    else:
        client.update_run(run_id, status="RUNNING")
    run = Run(run_id, experiment, settings, client)
    status = "FAILED"
    try:
        run.log_text("\n".join(requirements()) + "\n", "environment/requirements.txt")
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run.run_id, status)


def find_run(settings: Settings, experiment: str, run_key: str) -> str | None:
    """Return the id of the run of this key, the newest if there are several."""
    client = open_client(settings)
    known = client.get_experiment_by_name(experiment)
    if known is None:
        return None
    query = f"tags.`{RUN_KEY}` = '{run_key}'"
    found = client.search_runs([known.experiment_id], query, max_results=1, order_by=["start_time DESC"])
    return str(found[0].info.run_id) if found else None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
