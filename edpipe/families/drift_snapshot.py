"""The snapshot of a champion's training data, taken when its run is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edpipe.evaluation.drift.snapshot import SNAPSHOT_FILE, Snapshot
from edpipe.families.drift_rows import SOURCES, drift_rows, has_rows

if TYPE_CHECKING:
    from edpipe.families.family import Evaluated
    from edpipe.settings import Settings


def take_snapshot(settings: Settings, done: Evaluated) -> None:
    """Keep shares of features and scores beside the run and in MLflow, where rows are published; once a run.

    The data were compared with those of the training just now, so they are those it was trained on.
    """
    run = done.run
    if (run.run_dir / SNAPSHOT_FILE).exists() or not has_rows(settings, run):
        return
    from edpipe.tracking.client import open_client

    rows = drift_rows(settings, run, "training")
    path = Snapshot.of(rows, SOURCES[run.model].features).save(run.run_dir)
    open_client(settings).log_artifact(done.version.run_id, str(path))
