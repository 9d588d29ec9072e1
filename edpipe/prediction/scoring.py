"""Batch scores as a table that the warehouse publishes: one Parquet file, replaced by rename."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from edpipe.errors import ContractError
from edpipe.settings import Settings

TABLE = "kc_mastery"
FILE = "part-0.parquet"
GIVEN = ("student_id", "source", "kc_id", "mastery", "num_opportunities")
SCHEMA = pa.schema(
    [
        ("student_id", pa.string()),
        ("source", pa.string()),
        ("kc_id", pa.string()),
        ("mastery", pa.float64()),
        ("num_opportunities", pa.int64()),
        ("model_name", pa.string()),
        ("model_version", pa.int32()),
        ("scored_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class ScoredTable:
    """What a table of scores was made from; kept in the footer of its file.

    Attributes
    ----------
    model_name, model_version
        The registered model.
    data_fingerprint
        Digest of the answers that were scored.
    """

    model_name: str
    model_version: int
    data_fingerprint: str


def kc_mastery_path(settings: Settings) -> Path:
    """Return the file of ``predictions.kc_mastery``."""
    return settings.predictions_dir / TABLE / FILE


def scored_with(settings: Settings) -> ScoredTable | None:
    """Return what the present table was made from; None if there is none, or it is of another format."""
    path = kc_mastery_path(settings)
    if not path.exists():
        return None
    footer = pq.read_schema(path).metadata or {}
    try:
        return ScoredTable(
            footer[b"edpipe.model_name"].decode(),
            int(footer[b"edpipe.model_version"]),
            footer[b"edpipe.data_fingerprint"].decode(),
        )
    except KeyError:
        return None


def score_kc_mastery(
    settings: Settings,
    mastery_frames: Iterable[pl.DataFrame],
    model_name: str,
    model_version: int,
    *,
    data_fingerprint: str = "",
) -> Path:
    """Write each student's mastery of each KC, or keep what this version wrote for the same data.

    The file is replaced by rename when all of it is written: a reader finds the old scores or the new
    ones. Frames are written as they come, one row group or more each, so memory holds one at a time.

    Parameters
    ----------
    settings
        Where ``predictions`` is.
    mastery_frames
        ``student_id, source, kc_id, mastery`` in [0, 1], ``num_opportunities``. Not read at all if the
        table is up to date.
    model_name, model_version
        The registered model that made the scores.
    data_fingerprint
        Digest of the answers that are scored; empty means that they are scored again each time.

    Returns
    -------
    Path
        ``<predictions_dir>/kc_mastery/part-0.parquet``.

    Raises
    ------
    ContractError
        If a frame lacks a column, a key is missing, or a mastery is not in [0, 1].
    """
    path = kc_mastery_path(settings)
    made_from = ScoredTable(model_name, model_version, data_fingerprint)
    if data_fingerprint and scored_with(settings) == made_from:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name does not end in .parquet: nobody who reads the folder takes half a file.
    scratch = path.with_name(f".{FILE}.writing")
    schema = SCHEMA.with_metadata(
        {
            "edpipe.model_name": model_name,
            "edpipe.model_version": str(model_version),
            "edpipe.data_fingerprint": data_fingerprint,
        }
    )
    scored_at = datetime.now(UTC)
    try:
        with pq.ParquetWriter(scratch, schema, compression="zstd") as writer:
            for frame in mastery_frames:
                writer.write_table(_rows(frame, made_from, scored_at).cast(schema))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def _rows(frame: pl.DataFrame, made_from: ScoredTable, scored_at: datetime) -> pa.Table:
    """Check a frame and return it with the model and the time."""
    _check(frame)
    return (
        frame.select(
            pl.col("student_id", "source", "kc_id").cast(pl.String),
            pl.col("mastery").cast(pl.Float64),
            pl.col("num_opportunities").cast(pl.Int64),
            model_name=pl.lit(made_from.model_name),
            model_version=pl.lit(made_from.model_version, dtype=pl.Int32),
            scored_at=pl.lit(scored_at, dtype=pl.Datetime("us", "UTC")),
        )
    ).to_arrow()


def _check(frame: pl.DataFrame) -> None:
    missing = [name for name in GIVEN if name not in frame.columns]
    if missing:
        raise ContractError(
            f"Mastery scores lack `{'`, `'.join(missing)}`.",
            where="predictions.kc_mastery",
            found=", ".join(frame.columns),
            expected=", ".join(GIVEN),
            state="The earlier scores are untouched.",
        )
    valid = pl.all_horizontal(
        pl.col("mastery").is_between(0, 1).fill_null(value=False),
        pl.col("student_id", "source", "kc_id", "num_opportunities").is_not_null(),
    )
    bad = frame.filter(~valid)
    if len(bad):
        raise ContractError(
            "Some mastery scores cannot be kept.",
            where="predictions.kc_mastery",
            found=f"{len(bad)} of {len(frame)} rows, first {bad.select(GIVEN).row(0)!r}",
            expected="keys that are not null and a mastery in [0, 1]",
            next_step="Look at the model that made them: a non-finite weight is the usual cause.",
            state="The earlier scores are untouched.",
        )
