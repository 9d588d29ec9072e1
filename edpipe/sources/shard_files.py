"""Files of one raw relation: shards written whole or not at all, under a lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from edpipe.errors import SourceError
from edpipe.raw import RawShard

REFUSED_FILE = "refused-rejects.parquet"
LOCK_FILE = ".lock"
SHARD_PREFIX = "shard-"
SHARD_SUFFIX = ".parquet"
_TEMPORARY = ".tmp"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of a relation for writing; what a killed run left half-written is removed.

    Raises
    ------
    SourceError
        If another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("w")
    except OSError as error:
        raise _cannot_write(folder, error) from error
    with lock:
        try:
            # The system releases the lock when the process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SourceError(
                "Another process is ingesting into this relation.",
                where=str(folder),
                next_step="Wait until it has finished, then run the command again.",
                state="Nothing was written.",
            ) from error
        for left in folder.glob(f"*{_TEMPORARY}"):
            left.unlink(missing_ok=True)
        try:
            yield
        except OSError as error:
            raise _cannot_write(folder, error) from error


def read_shard(folder: Path, key: str) -> RawShard | None:
    """Return the shard with this key if it is complete on disk, else None."""
    path = folder / f"{SHARD_PREFIX}{key}.parquet"
    if not path.exists():
        return None
    try:
        metadata = pl.read_parquet_metadata(path)
        rows, rejected_rows = int(metadata["edpipe.rows"]), int(metadata["edpipe.rejected_rows"])
        forgotten_rows = int(metadata.get("edpipe.forgotten_rows", "0"))
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError):
        return None
    rejects = folder / f"{SHARD_PREFIX}{key}.rejects.parquet"
    if rejected_rows and not rejects.exists():
        return None
    return RawShard(path.name, rows, rejects.name if rejected_rows else "", rejected_rows, forgotten_rows)


def write_shard(
    folder: Path, key: str, rows: pl.DataFrame, rejects: pl.DataFrame, *, forgotten_rows: int = 0
) -> RawShard:
    """Write rows, and rejects where there are any.

    The rejects are written first: a shard that exists has its rejects beside it.

    Raises
    ------
    SourceError
        If the disk is full or the folder cannot be written.
    """
    path = folder / f"{SHARD_PREFIX}{key}.parquet"
    rejects_file = f"{SHARD_PREFIX}{key}.rejects.parquet" if rejects.height else ""
    metadata = {"edpipe.rows": str(rows.height), "edpipe.rejected_rows": str(rejects.height)}
    if forgotten_rows:
        metadata["edpipe.forgotten_rows"] = str(forgotten_rows)
    try:
        if rejects_file:
            _write_whole(rejects, folder / rejects_file, {})
        _write_whole(rows, path, metadata)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return RawShard(path.name, rows.height, rejects_file, rejects.height, forgotten_rows)


def write_content(folder: Path, frame: pl.DataFrame, *, kind: str = "") -> str:
    """Write a frame under a name that its content gives, and return the name.

    Equal rows in equal order have the same name, however they came to be there.

    Raises
    ------
    SourceError
        If the disk is full or the folder cannot be written.
    """
    temporary = folder / f"{SHARD_PREFIX}{kind}{os.getpid()}{_TEMPORARY}"
    try:
        try:
            frame.write_parquet(temporary, compression="zstd", compression_level=1)
            with temporary.open("rb+") as file:
                name = f"{SHARD_PREFIX}{kind}{hashlib.file_digest(file, 'sha256').hexdigest()[:20]}.parquet"
                os.fsync(file.fileno())
            temporary.replace(folder / name)
        except pl.exceptions.ComputeError as error:
            raise OSError(str(error)) from error
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return name


def delete_unlisted(folder: Path, listed: Sequence[RawShard], also: Iterable[str] = ()) -> None:
    """Delete shards that the manifest, already replaced, no longer lists; files of ``also`` stay."""
    kept = {shard.file for shard in listed} | {shard.rejects_file for shard in listed} | set(also)
    for path in folder.glob(f"{SHARD_PREFIX}*.parquet"):
        if path.name not in kept:
            path.unlink(missing_ok=True)
    (folder / REFUSED_FILE).unlink(missing_ok=True)


def _write_whole(frame: pl.DataFrame, path: Path, metadata: dict[str, str]) -> None:
    """Write under a temporary name, to the disk, then rename."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{_TEMPORARY}")
    try:
        frame.write_parquet(temporary, compression="zstd", compression_level=1, metadata=metadata)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except pl.exceptions.ComputeError as error:
        raise OSError(str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(folder: Path, error: OSError) -> SourceError:
    return SourceError(
        "The raw data cannot be written.",
        where=str(folder),
        found=error.strerror or str(error),
        expected="a folder that can be written, on a disk with room for it",
        next_step="Free space or set `EDPIPE_HOME` to another folder, then run the same command again.",
        state="The earlier state still counts; finished shards are kept for the next run.",
    )
