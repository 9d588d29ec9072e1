"""``ops.runs``: every run of a step as one table, from its files and from the Parquet of older runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from edpipe.operations.columns import Columns, frame_of, schema_of
from edpipe.operations.run_files import LOG, Record, read_files, remove_files, run_files_dir
from edpipe.settings import Settings

DESCRIPTION = "One line a run of a step, by hand or by a flow, also of those that failed or were killed."
GRAIN = "run_id"
UNFORTUNATE = ("failed", "killed")
# Name to SQL type and meaning.
COLUMNS: Columns = {
    "run_id": ("VARCHAR", "Name of the run: when it started, its process, and a random part."),
    "step": (
        "VARCHAR",
        "ingest, build, embed, cluster, train, evaluate, promote, score, publish, report.",
    ),
    "family": ("VARCHAR", "Family of models; null where the step is about none."),
    "source": ("VARCHAR", "Source that was read; null where the step reads whatever there is."),
    "outcome": (
        "VARCHAR",
        "succeeded; skipped: up to date already; failed; cancelled: by a person or a flow; killed: its "
        "process is gone without an end; running.",
    ),
    "started_at": ("TIMESTAMP WITH TIME ZONE", "When it started, UTC."),
    "ended_at": ("TIMESTAMP WITH TIME ZONE", "When it ended, UTC; null where it did not."),
    "seconds": ("DOUBLE", "Duration, seconds."),
    "rows_in": ("BIGINT", "Rows read, where they were counted."),
    "rows_out": ("BIGINT", "Rows of what was made, or found up to date, where they were counted."),
    "peak_memory_mib": (
        "DOUBLE",
        "Most memory of the process while it ran, MiB; of its largest worker where one needed more.",
    ),
    "error_class": ("VARCHAR", "Class of the error; null where there was none."),
    "error_message": ("VARCHAR", "First line of its message."),
    "next_step": ("VARCHAR", "What to do about it."),
    "edpipe_version": ("VARCHAR", "Version of edpipe."),
    "settings_fingerprint": ("VARCHAR", "Equal where all settings are, but for home, progress and schedule."),
    "inputs": ("VARCHAR[]", "What was read: paths, relations with their fingerprint, models."),
    "outputs": ("VARCHAR[]", "What was made: paths, versions of models."),
    "host": ("VARCHAR", "Machine."),
    "pid": ("BIGINT", "Process."),
    "flow_run_id": ("VARCHAR", "Prefect's id of the flow run; null where it ran by hand."),
}
SCHEMA = schema_of(COLUMNS)


def run_table(settings: Settings) -> pl.DataFrame:
    """Return all runs with the columns of ``ops.runs``, the latest last, as they are at this moment."""
    # The files first: one that is put into the Parquet meanwhile is then found in both, never in neither.
    recent = frame_of(read_files(run_files_dir(settings)), SCHEMA)
    older = _older(settings)
    return _once(recent if older is None else pl.concat([older, recent]))


def last_lines(runs: pl.DataFrame) -> list[str]:
    """Say which step ran last, and of each step that ended badly and has not been made good, what to do.

    Parameters
    ----------
    runs
        Rows of :func:`run_table`.
    """
    if runs.is_empty():
        return []
    # One line a thing that is done again and again: a step on a source, for a family.
    last = runs.group_by("step", "family", "source", maintain_order=True).last().sort("started_at")
    told = [f"Last run: {_words(runs.row(-1, named=True))}."]
    for run in last.filter(pl.col("outcome").is_in(UNFORTUNATE)).iter_rows(named=True):
        why = f" {run['error_message']}" if run["error_message"] else ""
        told.append(f"Not made good: {_words(run)}.{why} {run['next_step'] or ''}".rstrip())
    return told


def _words(run: Record) -> str:
    what = " ".join(filter(None, (run["step"], run["family"], run["source"])))
    return f"{what} of {run['started_at']:%Y-%m-%d %H:%M:%S} UTC, {run['outcome']}"


def put_together(settings: Settings) -> None:
    """Move the runs that ended into the one Parquet file; leave it where another process does.

    Killed between any two steps, a run may stand in both places, which readers count once.
    """
    folder, target = run_files_dir(settings), _parquet(settings)
    with _alone(settings) as is_alone:
        if not is_alone:
            return
        ended = frame_of(read_files(folder), SCHEMA).filter(pl.col("outcome") != "running")
        older = _older(settings)
        if older is None:
            # Never overwritten: what it holds may be saved by hand.
            target.replace(target.with_suffix(".unreadable"))
        scratch = target.with_name(f".{target.name}.tmp")
        _once(ended if older is None else pl.concat([older, ended])).write_parquet(scratch)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(target)
        remove_files(folder, ended["run_id"])


def _older(settings: Settings) -> pl.DataFrame | None:
    """Return the runs that were put together; None, and a line in the log, where they cannot be read."""
    path = _parquet(settings)
    if not path.exists():
        return SCHEMA.to_frame()
    try:
        found = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        LOG.warning("The older runs cannot be read and are left out of `ops.runs`: %s (%s).", path, error)
        return None
    # Written by an earlier version, it may lack a column.
    known = found.select(name for name in SCHEMA if name in found.columns)
    return pl.concat([SCHEMA.to_frame(), known], how="diagonal")


def _once(runs: pl.DataFrame) -> pl.DataFrame:
    return runs.unique("run_id", keep="last", maintain_order=True).sort("started_at", "run_id")


def _parquet(settings: Settings) -> Path:
    return settings.ops_dir / "runs.parquet"


@contextmanager
def _alone(settings: Settings) -> Iterator[bool]:
    """Tell whether no other process is putting runs together, and keep others from it."""
    with (settings.ops_dir / "runs.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
