"""Read time series from published files: long tables, wide tables, GluonTS lines, M4 rows.

Tables with a time column become long tables ``series_id, time, target``. Files that give a start only
become :class:`SourceSeries`, because the moments follow from a frequency that is not in the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.errors import SourceError

LONG_COLUMNS: Final = ("series_id", "time", "target")
# With and without a T, a fraction, a zone: what ISO allows, and what `edpipe … --format csv` writes.
_TIME_FORMATS: Final = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    *(f"%Y-%m-%d{between}%H:%M:%S%.f{zone}" for between in "T " for zone in ("", "%#z")),
)


@dataclass(frozen=True, slots=True, eq=False)
class SourceSeries:
    """One series as a file gives it.

    Attributes
    ----------
    series_id
        Its name in the file, or its number among the file's series.
    start
        Moment of the first value; None where the file does not say.
    target
        Values in order, NaN where unknown. Shape ``(length,)``.
    """

    series_id: str
    start: datetime | None
    target: NDArray[np.float64]


def read_long_series(
    path: Path,
    *,
    series_column: str | None = "series_id",
    time_column: str = "time",
    target_column: str = "target",
    time_format: str | None = None,
) -> pl.DataFrame:
    """Read a table of one value a row.

    Parameters
    ----------
    path
        A ``.csv`` or ``.parquet`` file.
    series_column
        Column with the name of the series; None if the table holds one series, named as the target.
    time_column, target_column
        Columns with moment and value.
    time_format
        As of ``strptime``; by default ISO dates and times.

    Returns
    -------
    polars.DataFrame
        ``series_id`` (str), ``time`` (datetime, UTC where the file has a zone), ``target`` (float, null where
        unknown), in the order of the file.

    Raises
    ------
    SourceError
        If the file, a column or a readable moment or number is missing.
    """
    frame = _read_table(path)
    names = [name for name in (series_column, time_column, target_column) if name]
    _require_columns(path, frame, names)
    series = pl.col(series_column).cast(pl.String) if series_column else pl.lit(target_column)
    return frame.select(
        series.alias("series_id"),
        _times(path, frame[time_column], time_format).alias("time"),
        _numbers(path, frame[target_column]).alias("target"),
    )


def read_wide_series(
    path: Path, *, time_column: str, targets: list[str] | None = None, time_format: str | None = None
) -> pl.DataFrame:
    """Read a table with one row a moment and one column a series, as a long table.

    Parameters
    ----------
    path
        A ``.csv`` or ``.parquet`` file.
    time_column
        Column with the moment.
    targets
        Columns to take; by default all numeric ones.
    time_format
        As of ``strptime``; by default ISO dates and times.

    Raises
    ------
    SourceError
        If the file, a column or a readable moment or number is missing.
    """
    frame = _read_table(path)
    if targets is None:
        targets = [name for name, kind in frame.schema.items() if kind.is_numeric() and name != time_column]
    _require_columns(path, frame, [time_column, *targets])
    if not targets:
        raise SourceError(
            "No column holds numbers.",
            where=str(path),
            found=", ".join(frame.columns),
            expected=f"a numeric column beside `{time_column}`",
            next_step="Name the columns with the values.",
        )
    times = _times(path, frame[time_column], time_format)
    parts = [
        pl.DataFrame(
            {
                "series_id": pl.Series([name], dtype=pl.String).new_from_index(0, frame.height),
                "time": times,
                "target": _numbers(path, frame[name]),
            }
        )
        for name in targets
    ]
    return pl.concat(parts)


def read_row_series(path: Path) -> list[SourceSeries]:
    """Read the M4 competition's layout: one series a row, its id first, blanks after its end.

    Parameters
    ----------
    path
        A ``.csv`` file with a header.

    Raises
    ------
    SourceError
        If the file is missing or a field is no number.
    """
    _require_file(path)
    found = []
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines)
        next(rows, None)
        for number, row in enumerate(rows, start=2):
            fields = row[1:]
            while fields and fields[-1].strip() in {"", "NA"}:
                fields.pop()
            try:
                target = [math.nan if field.strip() in {"", "NA"} else float(field) for field in fields]
            except ValueError as error:
                raise _unreadable(f"{path}:{number}", str(error), "numbers after the id") from error
            if row:
                found.append(SourceSeries(row[0], None, np.array(target, dtype=np.float64)))
    return found


def read_gluonts_series(path: Path, part: str) -> list[SourceSeries]:
    """Read one part of a data set in GluonTS form: a JSON object a line with ``start`` and ``target``.

    Parameters
    ----------
    path
        A folder, or a ``.tar.gz`` of one. Nothing is unpacked to disk.
    part
        Folder in it: ``train`` or ``test``.

    Returns
    -------
    list
        In the order of the lines. A line without ``item_id`` is named by its number, from 0.

    Raises
    ------
    SourceError
        If there is no such part, or a line is not of this form.
    """
    found: list[SourceSeries] = []
    is_present = False
    for name, lines in _json_files(path, part):
        is_present = True
        for number, line in enumerate(lines, start=1):
            if line.strip():
                found.append(_gluonts_entry(line, f"{path}, {name}:{number}", len(found)))
    if not is_present:
        raise SourceError(
            "The data set has no such part.",
            where=str(path),
            found=f"no `.json` file in a folder `{part}`",
            expected=f"`{part}/*.json`, one series a line",
            next_step="Check the path and the name of the part.",
        )
    return found


def _json_files(path: Path, part: str) -> Iterator[tuple[str, IO[str]]]:
    """Yield the part's JSON files in order of their names."""
    if path.is_dir():
        for file in sorted((path / part).glob("*.json*")):
            content = file.read_bytes()
            raw = gzip.decompress(content) if file.suffix == ".gz" else content
            yield f"{part}/{file.name}", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8")
        return
    _require_file(path)
    try:
        with tarfile.open(path) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            for member in sorted(members, key=lambda one: one.name):
                place = PurePosixPath(member.name)
                opened = archive.extractfile(member)
                if place.parent.name == part and place.suffix == ".json" and opened is not None:
                    yield str(place), io.TextIOWrapper(opened, encoding="utf-8")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _unreadable(str(path), str(error), "a tar archive, possibly compressed") from error


def _gluonts_entry(line: str, where: str, number: int) -> SourceSeries:
    try:
        entry: dict[str, Any] = json.loads(line)
        values = [math.nan if value in {None, "NaN"} else float(value) for value in entry["target"]]
        start = datetime.fromisoformat(str(entry["start"]))
    except (ValueError, KeyError, TypeError) as error:
        expected = "a JSON object with `start` (a moment) and `target` (a list of numbers)"
        raise _unreadable(where, f"{type(error).__name__}: {error}", expected) from error
    return SourceSeries(str(entry.get("item_id", number)), start, np.array(values, dtype=np.float64))


def _read_table(path: Path) -> pl.DataFrame:
    _require_file(path)
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=10_000, null_values=["", "NA", "NaN"])
    except (pl.exceptions.PolarsError, OSError) as error:
        expected = "a Parquet table" if path.suffix == ".parquet" else "a CSV table with a header"
        raise _unreadable(str(path), str(error).splitlines()[0], expected) from error


def _times(path: Path, column: pl.Series, time_format: str | None) -> pl.Series:
    """Return moments without a zone; a zone in the file becomes UTC first."""
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime):
        in_utc = column.dt.convert_time_zone("UTC") if column.dtype.time_zone else column
        return in_utc.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    text = column.cast(pl.String)
    formats = [time_format] if time_format else list(_TIME_FORMATS)
    for one in formats:
        parsed = text.str.to_datetime(one, time_unit="us", strict=False)
        if isinstance(parsed.dtype, pl.Datetime) and parsed.dtype.time_zone:
            parsed = parsed.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        if not (parsed.is_null() & text.is_not_null()).any():
            return parsed
    unread = text.filter(parsed.is_null() & text.is_not_null())
    where = f"{path}, column `{column.name}`"
    raise _unreadable(where, f"{len(unread)} of {len(text)}, first {unread[0]!r}", " or ".join(formats[:3]))


def _numbers(path: Path, column: pl.Series) -> pl.Series:
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return column.cast(pl.Float64).fill_nan(None)
    numbers = column.cast(pl.Float64, strict=False)
    unread = column.filter(numbers.is_null() & column.is_not_null())
    if len(unread):
        where = f"{path}, column `{column.name}`"
        raise _unreadable(where, f"{len(unread)} of {len(column)}, first {unread[0]!r}", "numbers")
    return numbers.fill_nan(None)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise SourceError(
            "The file does not exist.",
            where=str(path),
            expected="a file with time series",
            next_step="Check the path.",
        )


def _require_columns(path: Path, frame: pl.DataFrame, names: list[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise SourceError(
            "The table lacks columns.",
            where=f"{path}: {', '.join(f'`{name}`' for name in missing)}",
            found=", ".join(frame.columns),
            expected=", ".join(names),
            next_step=f"Rename the columns to {', '.join(names)}.",
        )


def _unreadable(where: str, found: str, expected: str) -> SourceError:
    return SourceError(
        "A time series cannot be read.",
        where=where,
        found=found,
        expected=expected,
        next_step="Correct the file or name the right columns and format.",
    )
