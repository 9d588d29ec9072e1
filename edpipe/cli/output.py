"""Rows on stdout in the asked format; everything else on stderr."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import polars as pl

MAX_TABLE_ROWS = 200
WIDTH_OF_A_PIPE = 200
NARROWEST_COLUMN = 10


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


def say(text: str) -> None:
    """Tell the person something; never part of the result."""
    print(text, file=sys.stderr, flush=True)


def rows_of(items: Iterable[Any], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Take the named attributes of each item as a row."""
    return [{column: _plain(getattr(item, column)) for column in columns} for item in items]


def emit(
    rows: pl.DataFrame | list[dict[str, Any]], form: Format, *, title: str = "", caption: str = ""
) -> None:
    """Print rows on stdout.

    A table shows at most 200 rows and says how many there are; the other formats give all. A caption
    says below the table what its columns mean.
    """
    if form is Format.table:
        _print_table(rows, title)
        if caption:
            _console().print(caption, markup=False)
        return
    import polars as pl

    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, infer_schema_length=None)
    if form is Format.parquet:
        if sys.stdout.isatty():
            say("Parquet is binary: redirect it, for example `> rows.parquet`.")
            return
        frame.write_parquet(sys.stdout.buffer)
    elif form is Format.csv:
        sys.stdout.write(_flat(frame).write_csv())
    else:
        import json

        json.dump(frame.to_dicts(), sys.stdout, default=str, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """CSV has no nested values: write them as JSON text."""
    import polars as pl

    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    return frame.with_columns(
        pl.col(name).map_elements(lambda value: str(list(value)), return_dtype=pl.String) for name in nested
    )


def _print_table(rows: pl.DataFrame | list[dict[str, Any]], title: str) -> None:
    if isinstance(rows, list):
        columns, shown, count = list(rows[0]) if rows else [], rows[:MAX_TABLE_ROWS], len(rows)
    else:
        columns, shown, count = rows.columns, rows.head(MAX_TABLE_ROWS).to_dicts(), rows.height
    table = Table(title=title or None, title_justify="left", header_style="bold")
    numeric = {
        column for column in columns if any(isinstance(row[column], int | float) for row in shown[:20])
    }
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for row in shown:
        table.add_row(*(_text(row[column], column) for column in columns))
    console = _console()
    if len(columns) * NARROWEST_COLUMN > console.width:
        _print_records(console, shown, columns, title)
    else:
        console.print(table)
    if count > MAX_TABLE_ROWS:
        say(f"{count:,} rows; the first {MAX_TABLE_ROWS} are shown. `--format csv` gives all.")


def _console() -> Console:
    # A pipe has no width; a narrow default would cut the values.
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False)


def _print_records(console: Console, rows: list[dict[str, Any]], columns: Sequence[str], title: str) -> None:
    """Print each row as a block of names and values: too many columns stand side by side in no width."""
    for number, row in enumerate(rows, 1):
        block = Table(title=f"{title} {number}".strip(), title_justify="left", show_header=False)
        for column in columns:
            block.add_row(column, _text(row[column], column))
        console.print(block)


def _text(value: Any, column: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        # Keys and ids are copied into queries, which take no separators.
        return str(value) if column.endswith(("_id", "_key")) else f"{value:,}"
    if isinstance(value, float):
        # Adding nothing takes the sign of a zero.
        return f"{value + 0.0:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return value
