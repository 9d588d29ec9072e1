"""Find records and cells in text with quotes by counting quotes, where that is sure to be right.

It is where every quote stands at the edge of a cell or beside another quote; such text is called regular.
Other text is read by the csv module, one record after another.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

_QUOTE, _LINE_FEED, _RETURN = ord('"'), ord("\n"), ord("\r")
_MARK: Final = "\0end"

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


def record_ends(data: bytes, newline: bytes, separator: str) -> Positions:
    """Return the positions behind the line ends that are outside quotes; ``data`` begins outside."""
    codes = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    if not _is_regular(codes, quotes, newline, separator):
        return _read_ends(data, newline, separator)
    return _outside(np.flatnonzero(codes == newline[0]), quotes) + 1


def regular_cells(data: bytes, newline: bytes, separator: str, width: int) -> pl.DataFrame | None:
    """Return the cells of regular UTF-8 text whose records all have ``width`` of them, else None.

    Columns are `c0`, `c1` …; an empty cell is an empty text or null.
    """
    codes = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    if not data or len(quotes) % 2 or not _is_regular(codes, quotes, newline, separator):
        return None
    ends = _outside(np.flatnonzero(codes == newline[0]), quotes)
    if not data.endswith(newline):
        ends = np.append(ends, len(data))
    separators = _outside(np.flatnonzero(codes == ord(separator)), quotes)
    if (np.diff(np.searchsorted(separators, ends), prepend=0) != width - 1).any():
        return None
    cells = pl.read_csv(
        data,
        has_header=False,
        separator=separator,
        eol_char=newline.decode(),
        infer_schema=False,
        new_columns=[f"c{place}" for place in range(width)],
    )
    return cells if cells.shape == (len(ends), width) else None


def _outside(positions: Positions, quotes: Positions) -> Positions:
    is_outside = (np.searchsorted(quotes, positions) & 1) == 0
    return np.asarray(positions[is_outside])


def _is_regular(codes: Bytes, quotes: Positions, newline: bytes, separator: str) -> bool:
    if newline == b"\n":
        returns = np.flatnonzero(codes[:-1] == _RETURN)
        if len(returns) and (codes[returns + 1] != _LINE_FEED).any():
            return False
    elif (codes == _LINE_FEED).any():
        return False
    edges = [ord(separator), _LINE_FEED, _RETURN, _QUOTE]
    opening, closing = quotes[::2], quotes[1::2]
    before = codes[opening[opening > 0] - 1]
    after = codes[closing[closing < codes.size - 1] + 1]
    return bool(np.isin(before, edges).all() and np.isin(after, edges).all())


def _read_ends(data: bytes, newline: bytes, separator: str) -> Positions:
    """Return the ends of the records that the csv module finds, without one that is not over."""
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        # Latin-1 keeps the number of bytes.
        for line in io.StringIO(data.decode("latin-1"), newline=""):
            read += len(line)
            yield line
        yield _MARK

    csv.field_size_limit(2**31 - 1)
    ends, last = [], [""]
    for record in csv.reader(lines(), delimiter=separator):
        ends.append(read)
        last = record
    ends.pop()
    # An open quote takes the mark in, and so does not end.
    if last == [_MARK] and ends and not data.endswith(newline):
        ends.pop()
    return np.array(ends, dtype=np.int64)
