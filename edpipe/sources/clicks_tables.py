"""Tables whose columns the caller names: which text form a CSV has, and rows of a Parquet file."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from pyarrow import ArrowException

from edpipe.errors import SourceError
from edpipe.setting_groups import closest
from edpipe.sources.clicks_layouts import ClickColumns, TextForm
from edpipe.sources.clicks_rows import ClicksFile, content_of
from edpipe.sources.landing import ShardContent

_NO_REFUSED = pl.DataFrame(schema={"source_row": pl.Int32, "reason": pl.String, "raw": pl.String})


def text_form(path: Path, header: str, columns: ClickColumns) -> TextForm:
    """Return how the lines of a table are read, from its header.

    Raises
    ------
    SourceError
        If a named column is not there, or stands there twice.
    """
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    names = next(csv.reader(io.StringIO(header), delimiter=separator), [])
    names = [name.strip().removeprefix("\ufeff") for name in names]
    _require(path, names, columns)
    return TextForm(
        "behaviors",
        "a table",
        {what: names.index(name) for what, name in columns.named().items()},
        len(names),
        separator,
        has_header=True,
        is_quoted=True,
        time="any" if columns.time else "none",
    )


def parquet_pieces(path: Path, columns: ClickColumns, size: int) -> list[tuple[int, int]]:
    """Return first row and number of rows of pieces of about ``size`` bytes.

    Raises
    ------
    SourceError
        If it is no Parquet file or a named column is not there.
    """
    try:
        metadata = pq.read_metadata(path)
        names = pq.read_schema(path).names
    except (ArrowException, OSError) as error:
        raise SourceError(
            "A table cannot be read.",
            where=str(path),
            found=str(error).splitlines()[0],
            expected="a Parquet file",
            next_step="Check the file.",
            state="Nothing was written.",
        ) from error
    _require(path, names, columns)
    total = metadata.num_rows
    step = max(1, math.ceil(total * size / max(path.stat().st_size, 1)))
    return [(first, min(step, total - first)) for first in range(0, total, step)] or [(0, 0)]


def read_parquet_rows(
    path: Path, file: ClicksFile, columns: ClickColumns, first: int, rows: int
) -> ShardContent:
    """Read some rows of a Parquet table; moments of any kind are taken as UTC."""
    found = pl.scan_parquet(path).select(pl.col(name).alias(what) for what, name in columns.named().items())
    table = found.slice(first, rows).collect()
    table = table.with_columns(_text(table[name]) for name in table.columns)
    joined = pl.concat_str(
        [
            pl.col(name).list.join("|") if table.schema[name] != pl.String else pl.col(name)
            for name in table.columns
        ],
        separator=",",
        ignore_nulls=True,
    )
    frame = table.with_columns(joined.alias("raw")).with_row_index("source_row", offset=first + 1)
    form = TextForm("behaviors", "a table", {}, 0, ",", time="any" if columns.time else "none")
    return content_of(frame, _NO_REFUSED, file, form)


def _text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String))
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("ms"))
    if isinstance(column.dtype, pl.Datetime):
        in_utc = column.dt.convert_time_zone("UTC") if column.dtype.time_zone else column
        return in_utc.dt.strftime("%Y-%m-%d %H:%M:%S%.3f")
    return column.cast(pl.String).str.strip_chars()


def _require(path: Path, names: list[str], columns: ClickColumns) -> None:
    wrong = {what: name for what, name in columns.named().items() if names.count(name) != 1}
    if not wrong:
        return
    what, name = next(iter(wrong.items()))
    raise SourceError(
        "A table lacks a column that was named." if name not in names else "A table has a column twice.",
        where=f"{path}, line 1",
        found=", ".join(names)[:500],
        expected=", ".join(f"`{one}` ({kind})" for kind, one in wrong.items()),
        next_step=f"Name the column with `--{what}-column`. {closest(name, names)}",
        state="Nothing was written.",
    )
