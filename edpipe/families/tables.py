"""Prediction tables: one Parquet file each, replaced by rename, with what it was made from in its footer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from edpipe.settings import Settings

FILE = "part-0.parquet"
# Times of files move in ticks: a file written at once may look this much older than the clock.
FILE_CLOCK_SECONDS = 0.02
NOTE = "edpipe.note"


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """The registered model that made a table, and a digest of what it was asked about."""

    model_name: str
    model_version: int
    data_fingerprint: str

    def footer(self) -> dict[str, str]:
        """Return what the file's footer holds."""
        return {
            "edpipe.model_name": self.model_name,
            "edpipe.model_version": str(self.model_version),
            "edpipe.data_fingerprint": self.data_fingerprint,
        }


def table_path(settings: Settings, table: str) -> Path:
    """Return the file of ``predictions.<table>``."""
    return settings.predictions_dir / table / FILE


def table_lines(paths: Iterable[Path], *, since: float) -> list[str]:
    """Say of each table how many rows it has, whether they were written since a time, and its note.

    Parameters
    ----------
    paths
        Files of prediction tables.
    since
        Seconds since 1970, by the clock of the file system.
    """
    lines = []
    for path in paths:
        footer = pq.read_metadata(path)
        is_new = path.stat().st_mtime >= since - FILE_CLOCK_SECONDS
        words = f"{footer.num_rows:,} rows {'written' if is_new else 'were up to date'}."
        note = (footer.metadata or {}).get(NOTE.encode(), b"").decode()
        lines.append(" ".join(filter(None, (f"predictions.{path.parent.name}:", words, note))))
    return lines


def stale_lines(settings: Settings, tables: Iterable[str], model_name: str, champion: int) -> list[str]:
    """Say which prediction tables are of another version than the champion; nothing where none is.

    Parameters
    ----------
    settings
        Where the tables are.
    tables
        Their names, with ``predictions.`` in front.
    model_name, champion
        Registered name, and its champion's version.
    """
    lines = []
    for table in tables:
        path = table_path(settings, table.removeprefix("predictions."))
        if not path.exists():
            continue
        footer = pq.read_schema(path).metadata or {}
        version = footer.get(b"edpipe.model_version", b"").decode()
        if version and version != str(champion):
            lines.append(
                f"Stale: {table} is of version {version}, the champion is {champion}: run "
                f"`edpipe score {model_name}`."
            )
    return lines


def is_made_from(settings: Settings, table: str, made_from: MadeFrom) -> bool:
    """Tell whether the present table was made from exactly this."""
    path = table_path(settings, table)
    if not path.exists():
        return False
    metadata: Mapping[bytes, bytes] = pq.read_schema(path).metadata or {}
    return all(metadata.get(key.encode()) == value.encode() for key, value in made_from.footer().items())


def replace_table(
    settings: Settings, table: str, frame: pl.DataFrame, made_from: MadeFrom, *, note: str = ""
) -> Path:
    """Write a table beside the old one and rename it: a reader finds the old rows or the new ones.

    Parameters
    ----------
    settings
        Where ``predictions`` is.
    table
        Its name.
    frame
        Its rows.
    made_from
        What they were made from.
    note
        What :func:`table_lines` says of them.
    """
    path = table_path(settings, table)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name does not end in .parquet: nobody who reads the folder takes half a file.
    scratch = path.with_name(f".{FILE}.writing")
    rows = frame.to_arrow()
    try:
        footer = made_from.footer() | ({NOTE: note} if note else {})
        pq.write_table(rows.replace_schema_metadata(footer), scratch, compression="zstd")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path
