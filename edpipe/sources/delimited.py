"""Text with a separator, cut into cells: lines of another number of cells are refused, none is lost."""

from __future__ import annotations

import codecs
import csv
import io

import polars as pl

from edpipe.sources.tutor_quotes import regular_cells


def decode(data: bytes) -> tuple[str, bool]:
    """Decode UTF-8, reading each byte that is none as Latin-1; say whether there was one."""
    try:
        return data.decode("utf-8"), False
    except UnicodeDecodeError:
        return data.decode("utf-8", errors="edpipe-latin-1"), True


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("edpipe-latin-1", _as_latin_1)


def split_cells(
    text: str, *, width: int, separator: str, newline: str, is_quoted: bool, first_row: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut whole lines into cells.

    Parameters
    ----------
    text
        Lines, header excluded. Empty ones are passed over and counted.
    width
        Cells of a line.
    separator
        What stands between two cells; one character where cells may be quoted.
    newline
        What ends a line: line feed (a carriage return before it is dropped) or carriage return.
    is_quoted
        Whether cells are read as CSV, line ends inside quotes included.
    first_row
        Number of the first line.

    Returns
    -------
    tuple[polars.DataFrame, polars.DataFrame]
        ``source_row, raw`` and one text column a cell (`c0`, …); and lines of another number of cells as
        ``source_row, reason, raw``.
    """
    if not is_quoted:
        return _plain_cells(text, width, separator, newline, first_row)
    cells = regular_cells(text.encode(), newline.encode(), separator, width)
    if cells is None:
        return _quoted_cells(text, width, separator, first_row)
    raw = pl.concat_str(pl.all().fill_null(""), separator=separator).alias("raw")
    numbered = cells.select(
        pl.int_range(first_row, first_row + pl.len(), dtype=pl.Int32).alias("source_row"), raw
    )
    whole = pl.concat([numbered, cells], how="horizontal")
    return whole, numbered.clear().select("source_row", pl.lit("").alias("reason"), "raw")


def _quoted_cells(text: str, width: int, separator: str, first_row: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    csv.field_size_limit(2**31 - 1)
    records: list[list[str]] = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    raw = pl.Series("raw", [separator.join(record) for record in records], dtype=pl.String)
    count = pl.Series("count", [len(record) for record in records], dtype=pl.UInt32)
    whole, refused, is_whole = _counted(raw, count, width, first_row)
    names = [f"c{place}" for place in range(width)]
    columns = list(zip(*(records[place] for place in is_whole.arg_true()), strict=True)) or [()] * width
    cells = pl.DataFrame(dict(zip(names, columns, strict=True)), schema=dict.fromkeys(names, pl.String))
    return pl.concat([whole, cells], how="horizontal"), refused


def _plain_cells(
    text: str, width: int, separator: str, newline: str, first_row: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = pl.Series("raw", text.split(newline), dtype=pl.String).str.strip_chars_end("\r")
    count = raw.str.count_matches(separator, literal=True).alias("count") + 1
    whole, refused, _ = _counted(raw, count, width, first_row)
    split = whole["raw"].str.split_exact(separator, width - 1)
    cells = split.struct.unnest().rename(lambda name: f"c{name.removeprefix('field_')}")
    if '"' in text:
        quoted = [name for name in cells.columns if cells[name].str.starts_with('"').any()]
        cells = cells.with_columns(_unquoted(pl.col(name)) for name in quoted)
    return pl.concat([whole, cells], how="horizontal"), refused


def _counted(
    raw: pl.Series, count: pl.Series, width: int, first_row: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Return numbered lines of ``width`` fields, others with a reason, and which are the first kind."""
    lines = pl.DataFrame([raw, count]).with_row_index("source_row", offset=first_row)
    lines = lines.with_columns(pl.col("source_row").cast(pl.Int32))
    is_text = raw.str.strip_chars() != ""
    is_whole = is_text & (count == width)
    num_ends = pl.col("raw").str.count_matches("\n", literal=True)
    reason = pl.format("{} fields instead of {}", "count", width)
    reason = (
        pl.when(num_ends > 0)
        .then(pl.format("{}: a quoted cell goes over {} lines", reason, num_ends + 1))
        .otherwise(reason)
    )
    refused = lines.filter(is_text & ~is_whole).select("source_row", reason.alias("reason"), "raw")
    return lines.filter(is_whole).drop("count"), refused, is_whole


def _unquoted(cell: pl.Expr) -> pl.Expr:
    """Undo the quoting of a cell that a spreadsheet wrote because of its quotes or commas, and no other."""
    is_quoted = cell.str.starts_with('"') & cell.str.contains(r'^"(?:[^"]|"")*(?:""|,)(?:[^"]|"")*"$')
    inside = cell.str.slice(1, cell.str.len_chars() - 2).str.replace_all('""', '"', literal=True)
    return pl.when(is_quoted & (cell.str.len_chars() > 2)).then(inside).otherwise(cell)
