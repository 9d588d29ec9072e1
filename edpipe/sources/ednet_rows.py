"""Text of many small CSV files to typed rows and rejects.

The quick path parses the bodies of many members as one CSV and adds students by repetition. It is
taken only if nothing in them is unusual; otherwise the members are halved until the unusual one
stands alone, and that one is read line by line, where each bad row is refused with its reason.
Both paths accept the same rows and give the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import polars as pl

from edpipe.sources.archive import MemberText
from edpipe.sources.ednet_formats import RowFormat
from edpipe.sources.ednet_lines import BOM, Refused, clean_text, read_lines, split_header

# Signs that the CSV parser takes more lightly than `read_lines`: `+5`, ` 5` and `5\r` are numbers to it.
_UNUSUAL = (b"\r", b" ", b"+", b"\t", BOM)


@dataclass(slots=True)
class Rows:
    """Rows and refusals of some members, in their order."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def parse_members(members: Sequence[MemberText], row_format: RowFormat, questions: pl.Series | None) -> Rows:
    """Read the rows of members.

    Parameters
    ----------
    members
        Their texts, header line included.
    row_format
        The columns to expect, in any order.
    questions
        Known question ids; None where the rows name no questions.
    """
    rows = Rows()
    _Parser(row_format, questions, rows).parse(members)
    return rows


class _Parser:
    def __init__(self, row_format: RowFormat, questions: pl.Series | None, rows: Rows) -> None:
        self._format = row_format
        self._questions = questions
        self._rows = rows

    def parse(self, members: Sequence[MemberText]) -> None:
        split = [(member, *split_header(member.text)) for member in members]
        for header, group in groupby(split, key=lambda item: item[1]):
            items = list(group)
            columns = header.decode(errors="replace").split(",")
            if sorted(columns) == sorted(self._format.columns):
                self._parse_alike([(member, body) for member, _, body in items], columns)
            else:
                for member, _, body in items:
                    self._read_slowly(member, body, None)

    def _parse_alike(self, members: list[tuple[MemberText, bytes]], columns: list[str]) -> None:
        frame = (
            None if any(member.problem for member, _ in members) else self._parse_quickly(members, columns)
        )
        if frame is not None:
            self._rows.frames.append(frame)
        elif len(members) == 1:
            self._read_slowly(*members[0], columns)
        else:
            middle = len(members) // 2
            self._parse_alike(members[:middle], columns)
            self._parse_alike(members[middle:], columns)

    def _parse_quickly(
        self, members: list[tuple[MemberText, bytes]], columns: list[str]
    ) -> pl.DataFrame | None:
        """Parse all at once, or return None if anything is unusual."""
        bodies = [body if body.endswith(b"\n") or not body else body + b"\n" for _, body in members]
        text = b"".join(bodies)
        counts = np.array([body.count(b"\n") for body in bodies])
        total = int(counts.sum())
        if any(sign in text for sign in _UNUSUAL) or text.count(b",") != total * (len(columns) - 1):
            return None
        schema = {name: self._format.schema[name] for name in columns}
        try:
            frame = pl.read_csv(text, has_header=False, schema=schema, quote_char=None)
        except pl.exceptions.PolarsError:
            return None
        if frame.height != total or self._has_unusable(frame):
            return None
        return self._with_students(frame, [member.name for member, _ in members], counts)

    def _has_unusable(self, frame: pl.DataFrame) -> bool:
        required = [
            name
            for name, kind in self._format.schema.items()
            if (kind.is_integer() and name not in self._format.optional_numbers)
            or name in self._format.required_text
        ]
        if any(frame[name].null_count() for name in required):
            return True
        if self._questions is None:
            return False
        question = pl.col(self._format.question_column)
        unknown = ~question.is_in(self._questions.implode(), nulls_equal=True)
        if self._format.only_q_ids:
            unknown &= question.str.starts_with("q")
        return bool(frame.select(unknown.fill_null(value=True).any()).item())

    def _with_students(self, frame: pl.DataFrame, names: list[str], counts: np.ndarray) -> pl.DataFrame:
        starts = np.cumsum(counts) - counts
        numbers = np.arange(frame.height) - np.repeat(starts, counts) + 1
        frame = frame.with_columns(source_row=pl.Series(numbers, dtype=pl.Int32))
        if self._format.has_students:
            students = pl.Series([student_of(name) for name in names], dtype=pl.String)
            index = pl.Series(np.repeat(np.arange(len(names)), counts), dtype=pl.UInt32)
            frame = frame.with_columns(student_id=students.gather(index))
        return self._in_order(frame)

    def _read_slowly(self, member: MemberText, body: bytes, columns: list[str] | None) -> None:
        known: frozenset[str] = frozenset(() if self._questions is None else self._questions.to_list())
        rows, refused = read_lines(
            member.name, clean_text(body), columns, self._format, known, member.problem
        )
        self._rows.refused += refused
        if rows:
            schema = {"source_row": pl.Int32(), **self._format.schema}
            frame = pl.DataFrame(rows, schema=schema, orient="row")
            if self._format.has_students:
                frame = frame.with_columns(student_id=pl.lit(student_of(member.name)))
            self._rows.frames.append(self._in_order(frame))

    def _in_order(self, frame: pl.DataFrame) -> pl.DataFrame:
        first = ["student_id"] if self._format.has_students else []
        return frame.select(*first, "source_row", *self._format.columns)


def student_of(name: str) -> str:
    """Return the student that a file name stands for: ``KT1/u12.csv`` holds ``u12``."""
    return name[name.rfind("/") + 1 :].removesuffix(".csv")
