"""``ops.drift``: what every check of drift found, one Parquet file a check."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from edpipe.operations.columns import Columns, schema_of

if TYPE_CHECKING:
    from edpipe.settings import Settings

LOG = logging.getLogger("edpipe.operations")
NAME = "drift"
DESCRIPTION = "One line a thing that a check of drift measured, of what came after a champion's training."
GRAIN = "checked_at, family, kind, name"
COLUMNS: Columns = {
    "checked_at": ("TIMESTAMP WITH TIME ZONE", "When it was checked, UTC."),
    "family": ("VARCHAR", "Registered name of the models."),
    "model_version": ("BIGINT", "Version of the champion."),
    "since": ("TIMESTAMP WITH TIME ZONE", "Time of the last row that it was trained on, UTC."),
    "kind": (
        "VARCHAR",
        "input, score: stability index of a feature or of the scores; unseen: share of rows with something "
        "that training never met; calibration: a week's observed less expected; volume: rows of a day over "
        "those of training.",
    ),
    "name": ("VARCHAR", "Feature, kind of thing, first day of the week, or day."),
    "begins_at": ("TIMESTAMP WITH TIME ZONE", "Begin of the week or day; null of others."),
    "num_rows": ("BIGINT", "Rows that were measured."),
    "num_students": ("BIGINT", "Students, or series, whose rows they are; null where it plays no part."),
    "value": ("DOUBLE", "What was measured, as `kind` says."),
    "chance": ("DOUBLE", "Of an index: what it may be by chance, rows of one student being alike."),
    "low": ("DOUBLE", "Of a week: lower end of the interval, which holds for all weeks together."),
    "high": ("DOUBLE", "Of a week: its upper end."),
    "expected": ("DOUBLE", "Mean that was foretold in a week, or median rows of a day in training."),
    "observed": ("DOUBLE", "Mean that came, or rows of the day."),
    "verdict": (
        "VARCHAR",
        "stable, some, strong; chance: beyond a bound by no more than so few students explain; null: told "
        "only.",
    ),
}
SCHEMA = schema_of(COLUMNS)


def drift_dir(settings: Settings) -> Path:
    """Return the folder of the checks: one file each."""
    return settings.ops_dir / NAME


def write_drift(
    settings: Settings, found: pl.DataFrame, *, family: str, version: int, since: datetime | None
) -> Path:
    """Write what a check found beside its name and rename it.

    Parameters
    ----------
    settings
        Where the checks are.
    found
        Columns from ``kind`` on.
    family, version, since
        Whose drift it is.
    """
    now = datetime.now(UTC)
    table = found.with_columns(
        checked_at=pl.lit(now, dtype=SCHEMA["checked_at"]),
        family=pl.lit(family),
        model_version=pl.lit(version, dtype=pl.Int64),
        since=pl.lit(since, dtype=SCHEMA["since"]),
    ).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    folder = drift_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{family}-{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"
    scratch = folder / f".{name}.tmp"
    try:
        table.write_parquet(scratch)
        return scratch.replace(folder / f"{name}.parquet")
    finally:
        scratch.unlink(missing_ok=True)


def drift_table(settings: Settings) -> pl.DataFrame:
    """Return all checks with the columns of ``ops.drift``, the latest last."""
    parts = [SCHEMA.to_frame()]
    for path in sorted(drift_dir(settings).glob("*.parquet")):
        try:
            parts.append(pl.read_parquet(path).select(SCHEMA.names()).cast(SCHEMA))
        except (OSError, pl.exceptions.PolarsError) as error:
            LOG.warning("A check of drift cannot be read and is left out: %s (%s).", path, error)
    return pl.concat(parts).sort("checked_at", "family", maintain_order=True)


def latest_drift(settings: Settings) -> pl.DataFrame:
    """Return the last check of each family."""
    table = drift_table(settings)
    return table.filter(pl.col("checked_at") == pl.col("checked_at").max().over("family"))
