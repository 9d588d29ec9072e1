"""The three layouts in which ASSISTments answers are passed around, read into one table.

``akt``: four lines a student (index and id, problems, KCs, 0/1). ``dkt``: three lines a student (length,
KCs, 0/1), no ids. ``skill_builder``: the published table, one row an answer and KC, with a header.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from edpipe.errors import SourceError
from edpipe.sources.landing import polars_schema, reject_frame

AssistmentsLayout = Literal["akt", "dkt", "skill_builder"]
LINES_PER_STUDENT: Final = {"akt": 4, "dkt": 3}
REQUIRED_COLUMNS: Final = ("user_id", "problem_id", "correct")
# In the order in which the raw relation holds them.
NUMBER_COLUMNS: Final = ("attempt_count", "hint_count", "ms_first_response", "opportunity")
# What the raw columns hold: 32 bits, but 64 for milliseconds. Floats are exact up to 2**53.
LARGEST: Final = {"ms_first_response": 2**53 - 1}
LARGEST_COUNT: Final = 2**31 - 1
LONGEST_WHOLE_NUMBER: Final = 18
MISSING: Final = frozenset({"", "NA", "NULL", "nan"})
RAW_TEXT_CHARACTERS: Final = 500

Row = tuple[
    str, int, str | None, str | None, int, bool | None, int | None, int | None, int | None, int | None
]


def decode(data: bytes) -> tuple[str, str]:
    """Return text with LF line ends, and the encoding: UTF-8 (with or without mark) or Latin-1."""
    try:
        text, encoding = data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def detect_layout(text: str) -> AssistmentsLayout | None:
    """Return the layout that the first line speaks for, or None."""
    first = [cell.strip().strip('"') for cell in text.lstrip("\n").split("\n", 1)[0].split(",")]
    if set(REQUIRED_COLUMNS) <= set(first):
        return "skill_builder"
    if len(first) > 1 and not first[-1]:
        first.pop()
    if not all(map(_is_whole, first)) or len(first) > 2:
        return None
    return "akt" if len(first) == 2 else "dkt"


@dataclass(slots=True)
class Parsed:
    """Rows and refused rows of one file, before ids are made unique."""

    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[int, str, str]] = field(default_factory=list)

    def refuse(self, source_row: int, reason: str, raw_text: str) -> None:
        """Refuse one source row."""
        self.refused.append((source_row, reason, raw_text[:RAW_TEXT_CHARACTERS]))


def parse(text: str, layout: AssistmentsLayout, where: str) -> Parsed:
    """Read one file; ``where`` names it in errors."""
    if layout == "skill_builder":
        return _parse_table(text, where)
    parsed = Parsed()
    seen: set[str] = set()
    for number, lines in enumerate(_records(text, LINES_PER_STUDENT[layout]), start=1):
        _parse_record(parsed, number, lines, layout, seen)
    return parsed


def students_of(text: str) -> set[str]:
    """Return the student ids of a file in the four-line layout."""
    lines = (lines[0].split(",") for lines in _records(text, LINES_PER_STUDENT["akt"]))
    return {cells[1].strip() for cells in lines if len(cells) > 1}


def _records(text: str, size: int) -> Iterator[list[str]]:
    lines = text.strip("\n").split("\n")
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


def _cells(line: str) -> list[str]:
    """Return the cells of a list that may end with a comma."""
    cells = [cell.strip() for cell in line.split(",")]
    return cells[:-1] if cells and not cells[-1] else cells


def _parse_record(
    parsed: Parsed, number: int, lines: list[str], layout: AssistmentsLayout, seen: set[str]
) -> None:
    """Read one student of a list layout; a list that does not fit refuses all its positions."""
    head = _cells(lines[0])
    lists = [_cells(line) for line in lines[1:]]
    length = max((len(cells) for cells in lists), default=0)
    student = head[1] if layout == "akt" and len(head) == 2 else str(number)
    reason = ""
    if len(lines) < LINES_PER_STUDENT[layout]:
        reason = "truncated record"
    elif len(head) != (2 if layout == "akt" else 1) or not all(map(_is_whole, head)):
        reason = "bad student line"
    elif student in seen:
        reason = "student repeated"
    elif len({len(cells) for cells in lists}) > 1:
        reason = "ragged lists"
    elif layout == "dkt" and int(head[0]) != length:
        reason = "wrong length"
    seen.add(student)
    if reason:
        for position in range(max(length, 1)):
            shown = ",".join(cells[position] if position < len(cells) else "" for cells in lists)
            parsed.refuse(position + 1, reason, f"record {number} ({lines[0]}): {shown}")
        return
    problems: Sequence[str | None] = lists[0] if layout == "akt" else [None] * length
    for position, (problem, kc, correct) in enumerate(zip(problems, *lists[-2:], strict=True), start=1):
        reason = _problem_with(problem, kc, correct)
        if reason:
            shown = f"{'' if problem is None else problem},{kc},{correct}"
            parsed.refuse(position, reason, f"record {number} ({lines[0]}): {shown}")
        else:
            parsed.rows.append((student, position, problem, kc, int(correct), None, None, None, None, None))


def _problem_with(problem: str | None, kc: str, correct: str) -> str:
    if correct not in {"0", "1"}:
        return "bad correct"
    if problem is not None and not problem:
        return "empty problem"
    return "" if kc else "empty kc"


def _parse_table(text: str, where: str) -> Parsed:
    lines = csv.reader(io.StringIO(text.lstrip("\n"), newline="\n"))
    header = [cell.strip() for cell in next(lines)]
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise SourceError(
            "A skill-builder table has a column twice.",
            where=where,
            found=", ".join(repeated),
            expected="each column once",
            next_step="Remove or rename one of them.",
            state="Nothing was written.",
        )
    parsed = Parsed()
    accepted: list[tuple[int, dict[str, str]]] = []
    for number, cells in enumerate(_table_lines(lines, where), start=1):
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        reason = "wrong column count" if len(cells) != len(header) else _problem_with_row(row)
        if reason:
            parsed.refuse(number, reason, ",".join(cells))
        else:
            accepted.append((number, row))
    if "order_id" in header:
        # The published file is ordered by skill; `order_id` is the order in time.
        accepted.sort(key=lambda entry: (int(entry[1]["order_id"]), entry[0]))
    places: Counter[str] = Counter()
    for _, row in accepted:
        places[row["user_id"]] += 1
        parsed.rows.append(_table_row(row, places[row["user_id"]]))
    return parsed


def _table_lines(lines: Iterator[list[str]], where: str) -> Iterator[list[str]]:
    """Yield the cells of every line that is not empty."""
    try:
        yield from filter(None, lines)
    except csv.Error as error:
        raise SourceError(
            "A skill-builder table cannot be split into cells.",
            where=where,
            found=str(error),
            expected="comma-separated cells; a quote only around a whole cell",
            next_step="Look for a quote that is never closed.",
            state="Nothing was written.",
        ) from error


def _problem_with_row(row: dict[str, str]) -> str:
    if not row["user_id"] or not row["problem_id"]:
        return "empty student or problem"
    if row["correct"] not in {"0", "1"}:
        return "bad correct"
    if any(_number(row, name) is None and row.get(name, "") not in MISSING for name in NUMBER_COLUMNS):
        return "bad number"
    if not _is_whole(row.get("order_id", "0")):
        return "bad number"
    return "" if row.get("original", "") in {"0", "1", *MISSING} else "bad original"


def _number(row: dict[str, str], name: str) -> int | None:
    """Return a whole number; spreadsheets write some of them as ``12.0``."""
    try:
        value = float(row.get(name, ""))
    except ValueError:
        return None
    return int(value) if value.is_integer() and abs(value) <= LARGEST.get(name, LARGEST_COUNT) else None


def _is_whole(cell: str) -> bool:
    return cell.isascii() and cell.isdecimal() and len(cell) <= LONGEST_WHOLE_NUMBER


def _table_row(row: dict[str, str], place: int) -> Row:
    attempts, hints, milliseconds, opportunity = (_number(row, name) for name in NUMBER_COLUMNS)
    kc = row.get("skill_id", "")
    original = row.get("original", "")
    return (
        row["user_id"],
        place,
        row["problem_id"],
        None if kc in MISSING else kc,
        int(row["correct"]),
        None if original in MISSING else original == "1",
        attempts,
        hints,
        milliseconds,
        opportunity,
    )


def frames(
    parsed: Parsed, *, file: str, split: str | None, students: str, problems: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows and rejects in the raw schemas; ids get the name of the space they belong to."""
    schema = polars_schema("assistments", "answers")
    columns = [name for name in schema if name not in {"source_file", "split"}]
    rows = pl.DataFrame(parsed.rows, schema={name: schema[name] for name in columns}, orient="row")
    rows = rows.with_columns(
        source_file=pl.lit(file, dtype=pl.String),
        split=pl.lit(split, dtype=pl.String),
        student_id=pl.lit(f"{students}:") + pl.col("student_id"),
        problem_id=pl.lit(f"{problems}:") + pl.col("problem_id"),
        kc_id=pl.lit(f"{problems}:") + pl.col("kc_id"),
    ).select(list(schema))
    refused = [(file, *row) for row in parsed.refused]
    return rows, reject_frame("assistments", "answers", refused)
