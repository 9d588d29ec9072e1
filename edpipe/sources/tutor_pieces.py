"""Cut a log into pieces that end at line ends, in memory that does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edpipe.errors import SourceError
from edpipe.sources.delimited import decode
from edpipe.sources.tutor_quotes import record_ends

LONGEST_HEADER: Final = 2**20
# A quote that is never closed would make one line of all that follows.
LONGEST_LINE: Final = 256 * 2**20
_WINDOW: Final = 2**16


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a file, what ends its lines, and where the next line begins."""

    line: str
    newline: str
    end: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines between two bytes of a file; ``first_row`` counts them from 1 after the header, 0 if unknown."""

    start: int
    end: int
    first_row: int
    is_utf8: bool = True


def read_head(path: Path) -> Head | None:
    """Return the head of a file, or None where its first line is blank.

    Raises
    ------
    SourceError
        If the file cannot be read.
    """
    start = read_bytes(path, 0, LONGEST_HEADER)
    newline = "\n" if b"\n" in start else "\r"
    end = start.find(newline.encode())
    line = start if end < 0 else start[:end]
    return Head(decode(line)[0], newline, len(line) + (end >= 0)) if line.strip() else None


def read_bytes(path: Path, start: int, size: int) -> bytes:
    """Read a part of a file.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    try:
        with path.open("rb") as opened:
            opened.seek(start)
            return opened.read(size)
    except OSError as error:
        raise SourceError(
            "A log cannot be read.",
            where=str(path),
            found=error.strerror or str(error),
            expected="a file that may be read",
            next_step="Check the path and its permissions.",
            state="The earlier state still counts.",
        ) from error


def cut(path: Path, head: Head, size: int, *, separator: str, is_quoted: bool) -> Iterator[Piece]:
    """Yield pieces of about ``size`` bytes, each with the number of its first row.

    Where cells may be quoted a piece ends at a line end outside quotes, as Python's ``csv`` reads them.

    Raises
    ------
    SourceError
        If the file cannot be read, or a line is longer than :data:`LONGEST_LINE`.
    """
    newline, start, row, rest = head.newline.encode(), head.end, 1, b""
    while True:
        block = read_bytes(path, start + len(rest), size)
        data, is_last = rest + block, len(block) < size
        if not data:
            return
        if is_quoted:
            ends = record_ends(data, newline, separator)
            end, rows = (int(ends[-1]), len(ends)) if len(ends) else (0, 0)
        else:
            end = data.rfind(newline) + 1
            rows = data.count(newline)
        if is_last:
            end = len(data)
        if end:
            whole = data[:end]
            is_utf8 = whole.isascii() or not decode(whole)[1]
            yield Piece(start, start + end, row, is_utf8)
        start, row, rest = start + end, row + rows, data[end:]
        if is_last:
            return
        if len(rest) > LONGEST_LINE:
            raise _too_long(path, row, is_quoted)


def cut_quickly(path: Path, head: Head, size: int) -> Iterator[Piece]:
    """Yield the pieces of :func:`cut` for a file without quoting, reading only where they end."""
    newline, start = head.newline.encode(), head.end
    total = path.stat().st_size
    for reach in range(head.end + size, total + 1, size):
        end = _last_end(path, newline, start, reach)
        if end > start:
            yield Piece(start, end, 0)
            start = end
    if total > start:
        yield Piece(start, total, 0)


def _last_end(path: Path, newline: bytes, start: int, reach: int) -> int:
    """Return where the last line before ``reach`` ends; ``start`` if none does."""
    while reach > start:
        begin = max(start, reach - _WINDOW)
        found = read_bytes(path, begin, reach - begin).rfind(newline)
        if found >= 0:
            return begin + found + 1
        reach = begin
    return start


def _too_long(path: Path, row: int, is_quoted: bool) -> SourceError:
    return SourceError(
        "A line of a log does not end.",
        where=f"{path}, row {row}",
        found=f"more than {LONGEST_LINE / 2**20:.0f} MiB without a line end"
        + (" outside quotes" if is_quoted else ""),
        expected="a text file of lines" + (", each quote closed" if is_quoted else ""),
        next_step="Look at this row; repair or download the file again.",
        state="The earlier state still counts.",
    )
