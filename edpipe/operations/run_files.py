"""The files behind ``ops.runs``: one a run, replaced by rename when it ends; old ones go into one Parquet.

A run writes its file when it starts and holds a lock on it, which the system frees when its process dies:
a file without an end whose lock is free is of a run that was killed. Nobody waits for anybody.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edpipe.settings import Settings

LOG = logging.getLogger("edpipe.operations")
# A started run takes a whole block of the disk, so that its end can be told there when the disk is full.
ROOM_BYTES = 4096
# Above so many files they are put together: a listing stays a matter of milliseconds.
MOST_FILES = 200
GO_ON = "Run the step again: it goes on where it was."

Record = dict[str, Any]


def run_files_dir(settings: Settings) -> Path:
    """Return the folder of the runs that have not been put together yet."""
    return settings.ops_dir / "runs"


def start_file(folder: Path, record: Record) -> IO[bytes]:
    """Write the file of a run that starts, and return it open and locked: keep it so until the run ends."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = _scratch(folder, record["run_id"])
    file = scratch.open("w+b")
    try:
        file.write(_bytes(record))
        file.flush()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # A network drive without locks: a run without an end is then taken to be running.
            LOG.debug("No lock on %s.", scratch)
        scratch.replace(_path(folder, record["run_id"]))
    except BaseException:
        file.close()
        scratch.unlink(missing_ok=True)
        raise
    return file


def end_file(folder: Path, record: Record, started: IO[bytes]) -> None:
    """Replace the file of a run by one with its end; on a full disk, write into the room it has."""
    scratch = _scratch(folder, record["run_id"])
    content = _bytes(record)
    try:
        try:
            with scratch.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(_path(folder, record["run_id"]))
        except OSError:
            scratch.unlink(missing_ok=True)
            started.seek(0)
            started.write(content)
            started.flush()
    finally:
        # Last: whoever finds the lock free must find the end as well.
        started.close()


def read_files(folder: Path) -> list[Record]:
    """Read the runs that have a file; those without an end are ``running`` or ``killed``."""
    found = (_read(path) for path in sorted(folder.glob("*.json")))
    return [record for record in found if record is not None]


def _read(path: Path) -> Record | None:
    """Read one file; None where it has been put together meanwhile, or cannot be read."""
    try:
        with path.open("rb") as file:
            is_held = _is_held(file)
            record: Record = json.loads(file.read())
            if record["outcome"] == "running" and not is_held:
                # It may have ended since it was opened: then another file has its name.
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return _read(path)
                record |= {"outcome": "killed", "next_step": GO_ON}
            return record
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        LOG.warning("The record of a run cannot be read and is left out: %s (%s).", path, error)
        return None


def _is_held(file: IO[bytes]) -> bool:
    """Tell whether a process holds the lock of a run's file; where locks do not work, it might."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def remove_files(folder: Path, run_ids: Iterable[str]) -> None:
    """Remove the files of runs that are kept elsewhere now."""
    for run_id in run_ids:
        _path(folder, run_id).unlink(missing_ok=True)
        _scratch(folder, run_id).unlink(missing_ok=True)


def remove_if_alone(settings: Settings, record: Record) -> None:
    """Remove the file of a run, and the home with it, where nothing else is in it."""
    folder = run_files_dir(settings)
    if list(settings.home.rglob("*")) == [settings.ops_dir, folder, _path(folder, record["run_id"])]:
        _path(folder, record["run_id"]).unlink()
        for empty in (folder, settings.ops_dir, settings.home):
            empty.rmdir()


def is_crowded(folder: Path) -> bool:
    """Tell whether there are so many files that they should be put together."""
    return sum(1 for _ in folder.glob("*.json")) > MOST_FILES


def _path(folder: Path, run_id: str) -> Path:
    return folder / f"{run_id}.json"


def _scratch(folder: Path, run_id: str) -> Path:
    return folder / f".{run_id}.tmp"


def _bytes(record: Record) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode().ljust(ROOM_BYTES)
