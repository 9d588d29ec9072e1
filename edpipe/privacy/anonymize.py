"""Rules by which a relation leaves the house without its students."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from edpipe.keys import keyed_hash

RARE: Final = "rare"
PSEUDONYM_DIGITS: Final = 32
MOST_WEEKS: Final = 26
LONGEST_SECONDS: Final = 3600
# Numbers of rows in files, and numbers in the order of ids: whoever has the source finds the student by them.
_LEFT_OUT: Final = ("source_file", "source_row", "published_row", "row_number", "group_id", "scored_at")
_LEFT_OUT_ENDS: Final = ("_key", "_keys", "_milliseconds")
_IDS_OF_STUDENTS: Final = ("session_id",)


def is_left_out(column: str) -> bool:
    """Tell whether a column is never exported."""
    return column in _LEFT_OUT or column.endswith(_LEFT_OUT_ENDS)


def generalized_columns(schema: Mapping[str, pl.DataType]) -> list[str]:
    """Return the columns of words, of which those of few students are generalized."""
    return [
        name
        for name, kind in schema.items()
        if kind in (pl.String, pl.List(pl.String))
        and name not in ("student_id", "source")
        and not is_left_out(name)
    ]


def pseudonym(key: bytes, source: str, student_id: str) -> str:
    """Return a student's pseudonym: the same under the same key, untold without it."""
    return keyed_hash(key, "student", source, student_id)[:PSEUDONYM_DIGITS]


def shift_weeks(key: bytes, source: str, student_id: str) -> int:
    """Return by how many weeks a student's times are moved, from -26 to 26: weekday and hour stay."""
    return int(keyed_hash(key, "shift", source, student_id), 16) % (2 * MOST_WEEKS + 1) - MOST_WEEKS


def anonymized(rows: pl.DataFrame, key: bytes, rare: Mapping[str, Iterable[str]]) -> pl.DataFrame:
    """Apply the rules to rows of a relation.

    ``student_id`` becomes a pseudonym and ids that only one student has become keyed hashes; times move by a
    student's number of weeks and are cut to the hour; durations are whole seconds, an hour at most; values in
    ``rare`` become one word; keys, row numbers and file names are left out.

    Parameters
    ----------
    rows
        With ``source`` and ``student_id``.
    key
        Secret of the pseudonyms.
    rare
        By column, the values of too few students.
    """
    students = rows.select("source", "student_id").unique()
    told = students.with_columns(
        pl.Series("_pseudonym", [pseudonym(key, *one) for one in students.rows()], dtype=pl.String),
        pl.Series("_weeks", [shift_weeks(key, *one) for one in students.rows()], dtype=pl.Int64),
    )
    joined = rows.join(told, on=["source", "student_id"], maintain_order="left", nulls_equal=True)
    kept = [name for name in rows.columns if not is_left_out(name)]
    return joined.select(_rule(name, rows.schema[name], key, set(rare.get(name, ()))) for name in kept)


def _rule(name: str, kind: pl.DataType, key: bytes, rare: set[str]) -> pl.Expr:
    column = pl.col(name)
    if name == "student_id":
        return pl.col("_pseudonym").alias(name)
    if name in _IDS_OF_STUDENTS:
        return (
            pl.format("{}:{}", "source", column)
            .map_elements(lambda one: keyed_hash(key, name, one)[:PSEUDONYM_DIGITS], return_dtype=pl.String)
            .alias(name)
        )
    if isinstance(kind, pl.Datetime):
        return (column + pl.duration(weeks=pl.col("_weeks"))).dt.truncate("1h")
    if name.endswith("_seconds"):
        return column.round(0).clip(0, LONGEST_SECONDS)
    if kind == pl.String and rare:
        return pl.when(column.is_in(rare)).then(pl.lit(RARE)).otherwise(column).alias(name)
    if kind == pl.List(pl.String) and rare:
        element = pl.element()
        return column.list.eval(pl.when(element.is_in(rare)).then(pl.lit(RARE)).otherwise(element))
    return column
