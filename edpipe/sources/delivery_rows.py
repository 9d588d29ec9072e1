"""Put the rows of several deliveries together: each event once, whatever came first.

The rule is one: the rows of a student are the union of those of all files, and a row that stands in
several files is there as often as in the file that has it most often. So a longer file takes the place
of a shorter one, a file read twice adds nothing, rows that a publisher wrote twice stay two, and the
result depends on the set of files alone, not on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import polars as pl

from edpipe.raw import RAW_SCHEMAS
from edpipe.sources.landing import polars_schema
from edpipe.sources.subset import student_hash

NUM_BUCKETS: Final = 64
BUCKET_SALT: Final = "bucket"
# Which file a row came from, as a column of what is read from shards.
ORIGIN: Final = "origin"
BUCKET: Final = "bucket"
_COPY: Final = "copy"
# Of EdNet, whose files all have the name of the student: when the file begins, and the row in it.
FILE_START: Final = "file_start"
FILE_ROW: Final = "file_row"


@dataclass(frozen=True, slots=True)
class DeliveryRule:
    """What makes rows of one relation the same, and how they stand.

    Parameters
    ----------
    source, relation
        The raw relation.
    key
        Columns that name an event: rows equal in these alone are in conflict. Both are kept.
    time
        Columns of which the first that is not null says when, in milliseconds.
    place
        Columns that give each row its place among rows of one time, in the order of the files.
    ignored
        Columns that say where a row stood and nothing about what happened.
    is_numbered
        True where ``source_row`` counts the rows of a student over all files, by time.
    """

    source: str
    relation: str
    key: tuple[str, ...]
    time: tuple[str, ...]
    place: tuple[str, ...]
    ignored: tuple[str, ...]
    is_numbered: bool = False

    @property
    def schema(self) -> pl.Schema:
        """Columns of the shards of such a relation: those of the raw relation and of the place."""
        schema = dict(polars_schema(self.source, self.relation))
        if self.is_numbered:
            schema |= {FILE_START: pl.Int64(), FILE_ROW: pl.Int32()}
        return pl.Schema(schema)

    @property
    def part_schema(self) -> pl.Schema:
        """Columns of what one run reads: with the bucket of the student."""
        return pl.Schema([*self.schema.items(), (BUCKET, pl.Int32())])

    @property
    def content(self) -> list[str]:
        """Columns that are the same in rows that are the same."""
        return [name for name in RAW_SCHEMAS[self.source, self.relation] if name not in self.ignored]


_IN_FILE = ("source_file", "source_row")
_STEP = ("dataset", "student_id", "problem_hierarchy", "problem_name", "problem_view", "step_name")


def delivery_rule(source: str, relation: str) -> DeliveryRule:
    """Return the rule of a relation whose rows are of students."""
    if source == "ednet":
        what = ("question_id",) if relation == "kt1" else ("action_type", "item_id")
        return DeliveryRule(
            source,
            relation,
            key=("student_id", "timestamp", *what),
            time=("timestamp",),
            place=(FILE_START, FILE_ROW),
            ignored=("source_row",),
            is_numbered=True,
        )
    if source == "clicks":
        click = ("student_id", "item_id", "milliseconds")
        return DeliveryRule(source, relation, click, ("milliseconds",), _IN_FILE, _IN_FILE)
    # The column Row is numbered anew in every export.
    ignored = (*_IN_FILE, "published_row")
    if relation == "steps":
        time = (
            "first_transaction_milliseconds",
            "correct_transaction_milliseconds",
            "step_end_milliseconds",
        )
        return DeliveryRule(source, relation, _STEP, time, _IN_FILE, ignored)
    key = (*_STEP, "milliseconds", "attempt_at_step")
    return DeliveryRule(source, relation, key, ("milliseconds",), _IN_FILE, ignored)


def bucketed(rows: pl.DataFrame, rule: DeliveryRule) -> pl.DataFrame:
    """Add the place of each row in its file and the bucket of its student, and sort by bucket.

    Parameters
    ----------
    rows
        Rows of the raw relation; of EdNet, each student's of one file.
    """
    if rule.is_numbered:
        rows = rows.with_columns(
            pl.col(rule.time[0]).min().over("student_id").alias(FILE_START),
            pl.col("source_row").alias(FILE_ROW),
        )
    students = rows.select("student_id").unique()
    shares = student_hash(students["student_id"].to_list(), BUCKET_SALT)
    numbers = pl.Series(BUCKET, (shares * NUM_BUCKETS).astype("int32"))
    placed = rows.join(students.with_columns(numbers), on="student_id", how="left", maintain_order="left")
    return placed.select(list(rule.part_schema)).cast(dict(rule.part_schema.items())).sort(BUCKET)


@dataclass(frozen=True, slots=True)
class Merged:
    """Rows of one bucket after a delivery, and what was new in it, for how many students."""

    rows: pl.DataFrame
    added_rows: int
    late_rows: int
    conflicting_rows: int
    num_students: int


def merge(
    held: pl.DataFrame, new: pl.DataFrame, rule: DeliveryRule, *, grown: Collection[str] = ()
) -> Merged:
    """Put the rows of one bucket together.

    Merging is associative, commutative and idempotent: any order of any grouping of the same files
    gives the same frame.

    Parameters
    ----------
    held
        What earlier runs of this function made; columns of ``rule.schema``.
    new
        Rows that came, with a column ``origin`` that tells the files of one student apart.
    rule
        What is the same.
    grown
        Names of files of which ``new`` holds all rows again: these stand in the place of those held.
    """
    came = new.select(*rule.schema, ORIGIN)
    students = came.select("student_id").unique()
    untouched = held.join(students, on="student_id", how="anti")
    touched = held.join(students, on="student_id", how="semi")
    placed = pl.concat([touched.with_columns(pl.lit("").alias(ORIGIN)), came])
    exact, same = comparable(placed, rule)
    # The n-th of equal rows of one file is the same as the n-th of another.
    copies = exact.sort(rule.place).with_columns(pl.int_range(pl.len()).over([ORIGIN, *same]).alias(_COPY))
    is_new = (pl.col(ORIGIN) != "").all().over([*same, _COPY]).alias("is_new")
    if grown:
        is_stale = (pl.col(ORIGIN) == "") & pl.col("source_file").is_in(list(grown))
        copies = copies.sort(is_stale, *rule.place)
    kept = copies.with_columns(is_new).unique([*same, _COPY], keep="first", maintain_order=True)
    time = pl.coalesce(rule.time)
    last = touched.group_by("student_id").agg(time.max().alias("last"))
    late = kept.filter("is_new").join(last, on="student_id").filter(time < pl.col("last"))
    rows = _in_order(pl.concat([untouched, kept.select(list(rule.schema))]), rule)
    conflicting = rows.height - rows.select(rule.key).unique().height
    added = kept.filter("is_new")
    num_students = added["student_id"].n_unique()
    return Merged(rows, added.height, late.height, conflicting, num_students)


def is_within(some: pl.DataFrame, others: pl.DataFrame, rule: DeliveryRule) -> bool:
    """Tell whether every row stands among others too, at least as often."""
    left, same = comparable(some, rule)
    right, _ = comparable(others, rule)
    counts = left.group_by(same).len("num")
    found = counts.join(right.group_by(same).len("most"), on=same, how="left", nulls_equal=True)
    return bool((found["num"] <= found["most"].fill_null(0)).all())


def comparable(rows: pl.DataFrame, rule: DeliveryRule) -> tuple[pl.DataFrame, list[str]]:
    """Return rows with texts beside their lists, and the columns that hold the content.

    Every entry stands behind its length, so different lists are different texts.
    """
    columns = rule.content
    lists = [name for name in columns if isinstance(rows.schema[name], pl.List)]
    entry = pl.format("{}:{}", pl.element().str.len_bytes(), pl.element()).fill_null("-")
    texts = [pl.col(name).list.eval(entry).list.join(",").alias(f"{name} as text") for name in lists]
    same = [f"{name} as text" if name in lists else name for name in columns]
    return rows.with_columns(texts), same


def _in_order(rows: pl.DataFrame, rule: DeliveryRule) -> pl.DataFrame:
    """Sort by student and place, of EdNet by time first: what is late goes where it belongs."""
    if not rule.is_numbered:
        return rows.sort("student_id", *rule.place)
    # Rows of one time that begin two files of one beginning are told apart by what they say.
    ordered = rows.sort("student_id", *rule.time, *rule.place, *rule.content)
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("student_id").alias("source_row")
    return ordered.with_columns(number)
