"""Tables of ``ops``: their columns by SQL type, and records with text for times as rows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

Record = dict[str, Any]
# Name to SQL type and meaning.
Columns = Mapping[str, tuple[str, str]]

TIME = "%Y-%m-%dT%H:%M:%S%.f%:z"
_TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "BIGINT": pl.Int64(),
    "DOUBLE": pl.Float64(),
    "BOOLEAN": pl.Boolean(),
    "VARCHAR[]": pl.List(pl.String()),
    "TIMESTAMP WITH TIME ZONE": pl.Datetime("us", "UTC"),
}


def schema_of(columns: Columns) -> pl.Schema:
    """Return the types of a table's columns."""
    return pl.Schema({name: _TYPES[kind] for name, (kind, _) in columns.items()})


def frame_of(records: Sequence[Record], schema: pl.Schema) -> pl.DataFrame:
    """Return the rows of records; their times are text, what they lack is null."""
    text = {name: pl.String() if isinstance(kind, pl.Datetime) else kind for name, kind in schema.items()}
    frame = pl.DataFrame([{name: record.get(name) for name in text} for record in records], schema=text)
    times = [name for name, kind in schema.items() if isinstance(kind, pl.Datetime)]
    return frame.with_columns(pl.col(times).str.to_datetime(TIME, time_unit="us").dt.convert_time_zone("UTC"))
