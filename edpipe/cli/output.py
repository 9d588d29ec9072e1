"""Rows on stdout in the asked format; everything else on stderr."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import polars as pl

MAX_TABLE_ROWS = 200
WIDTH_OF_A_PIPE = 200
NARROWEST_COLUMN = 10
# What stands between two columns, and at the edges.
FRAME = 3
# Columns of sentences, which wrap at spaces; anything else that is long is a name or a list of names.
PROSE = ("description", "detail", "evidence", "explain_value", "found", "meaning", "next_step", "selection")
SHORTENED = "Long values are shortened in the middle; `--format csv` or `--format json` gives them whole."


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

    A table shows at most 200 rows and says how many there are, each on one line: names that are too long for
    it are shortened in the middle. The other formats give everything. A caption says below the table what
    its columns mean.
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
    texts = {column: [_text(row[column], column) for row in shown] for column in columns}
    console = _console()
    whole = _widths(texts)
    room = console.width - FRAME * len(columns) - 1
    if len(columns) * NARROWEST_COLUMN > console.width or (len(shown) == 1 and sum(whole.values()) > room):
        _print_records(console, texts, len(shown), title)
    else:
        fitted = _shortened(texts, _narrowed(whole, room))
        console.print(_table(fitted, shown, title))
        if fitted != texts:
            say(SHORTENED)
    if count > MAX_TABLE_ROWS:
        say(f"{count:,} rows; the first {MAX_TABLE_ROWS} are shown. `--format csv` gives all.")


def _table(texts: dict[str, list[str]], shown: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in texts:
        is_number = any(isinstance(row[column], int | float) for row in shown[:20])
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in zip(*texts.values(), strict=True):
        table.add_row(*row)
    return table


def _widths(texts: dict[str, list[str]]) -> dict[str, int]:
    """Return how wide the longest line of each column is, its name included."""
    return {
        column: max(cell_len(line) for text in [column, *values] for line in text.split("\n"))
        for column, values in texts.items()
    }


def _narrowed(widths: dict[str, int], room: int) -> dict[str, int]:
    """Return the widths of columns that fit into the room: the widest give way first, all to one width."""
    cap = max(widths.values(), default=0)
    while cap > NARROWEST_COLUMN and sum(min(width, cap) for width in widths.values()) > room:
        cap -= 1
    return {column: min(width, cap) for column, width in widths.items()}


def _shortened(texts: dict[str, list[str]], widths: dict[str, int]) -> dict[str, list[str]]:
    """Take the middle out of names that are wider than their column; sentences and lines stay whole."""
    return {
        column: values
        if column in PROSE
        else [text if "\n" in text else _without_middle(text, widths[column]) for text in values]
        for column, values in texts.items()
    }


def _without_middle(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def _console() -> Console:
    # A pipe has no width; a narrow default would cut the values.
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False)


def _print_records(console: Console, texts: dict[str, list[str]], number: int, title: str) -> None:
    """Print each row as a block of names and values: too many columns stand side by side in no width."""
    for place in range(number):
        name = f"{title} {place + 1}" if number > 1 or not title else title
        block = Table(title=name.strip(), title_justify="left", show_header=False)
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for column, values in texts.items():
            block.add_row(column, values[place])
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
