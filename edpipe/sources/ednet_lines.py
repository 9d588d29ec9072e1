"""One member read line by line: the exact rules of what a usable row is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from edpipe.sources.ednet_formats import RowFormat

BOM = b"\xef\xbb\xbf"
BAD_NUMBER = "bad number"
WRONG_COLUMN_COUNT = "wrong column count"
UNKNOWN_QUESTION = "unknown question"
BROKEN_ENCODING = "broken encoding"
MISSING_VALUE = "missing value"
UNKNOWN_HEADER = "unknown header"
LONGEST_RAW_TEXT = 10_000
_NUMBER = re.compile(r"-?[0-9]+")

Value = str | int | None


class Refused(NamedTuple):
    """One row that cannot be used; row 0 is the member itself."""

    file: str
    source_row: int
    reason: str
    raw_text: str


class _UnusableError(ValueError):
    """Carries the reason why a row is refused."""


def split_header(text: bytes) -> tuple[bytes, bytes]:
    """Cut the header line off; a byte-order mark and a carriage return go with it.

    A body that ends in blank lines loses them: they are no rows.
    """
    end = text.find(b"\n")
    header, body = (text, b"") if end < 0 else (text[:end], text[end + 1 :])
    if body.endswith((b"\n\n", b"\r\n\r\n")) or body in {b"\n", b"\r\n"}:
        body = body.rstrip(b"\r\n") + b"\n" if body.strip(b"\r\n") else b""
    return header.removeprefix(BOM).removesuffix(b"\r"), body


def clean_text(body: bytes) -> list[bytes]:
    """Split a body into its lines, with either line end; the last may lack it."""
    if not body:
        return []
    lines = body.removesuffix(b"\n").split(b"\n")
    return [line.removesuffix(b"\r") for line in lines]


def read_lines(
    file: str,
    lines: Sequence[bytes],
    columns: list[str] | None,
    row_format: RowFormat,
    questions: frozenset[str],
    problem: str,
) -> tuple[list[tuple[Value, ...]], list[Refused]]:
    """Read rows one by one into ``(source_row, *published columns)``.

    ``columns`` is the header, None if it is not one of this format. With a ``problem`` of the whole
    member no row is trusted.
    """
    reason = problem or ("" if columns is not None else UNKNOWN_HEADER)
    if columns is None or reason:
        refused = [Refused(file, number, reason, _shown(line)) for number, line in enumerate(lines, 1)]
        return [], refused or [Refused(file, 0, reason, "")]
    rows: list[tuple[Value, ...]] = []
    refused = []
    for number, line in enumerate(lines, 1):
        try:
            values = _values(line, columns, row_format, questions)
        except _UnusableError as unusable:
            refused.append(Refused(file, number, str(unusable), _shown(line)))
        else:
            rows.append((number, *(values[name] for name in row_format.columns)))
    return rows, refused


def _values(
    line: bytes, columns: list[str], row_format: RowFormat, questions: frozenset[str]
) -> dict[str, Value]:
    try:
        cells = line.decode().split(",")
    except UnicodeDecodeError:
        raise _UnusableError(BROKEN_ENCODING) from None
    if len(cells) != len(columns):
        raise _UnusableError(WRONG_COLUMN_COUNT)
    values = {name: _value(name, cell, row_format) for name, cell in zip(columns, cells, strict=True)}
    question = values.get(row_format.question_column)
    asked = row_format.question_column and not (row_format.only_q_ids and not str(question).startswith("q"))
    if asked and question not in questions:
        raise _UnusableError(UNKNOWN_QUESTION)
    return values


def _value(name: str, cell: str, row_format: RowFormat) -> Value:
    kind = row_format.schema[name]
    if kind.is_integer():
        return _number(cell, kind, optional=name in row_format.optional_numbers)
    if "\r" in cell:
        raise _UnusableError(BROKEN_ENCODING)
    if not cell and name in row_format.required_text:
        raise _UnusableError(MISSING_VALUE)
    return cell or None


def _number(cell: str, kind: pl.DataType, *, optional: bool) -> int | None:
    if not cell and optional:
        return None
    if not _NUMBER.fullmatch(cell):
        raise _UnusableError(BAD_NUMBER)
    number = int(cell)
    bits = 31 if kind == pl.Int32 else 63
    if not -(2**bits) <= number < 2**bits:
        raise _UnusableError(BAD_NUMBER)
    return number


def _shown(line: bytes) -> str:
    return line[:LONGEST_RAW_TEXT].decode(errors="backslashreplace")
