"""The verb that lets relations leave the house without their students."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edpipe.errors import SettingsError
from edpipe.forgotten import FOLDER
from edpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    import duckdb
    import polars as pl

KEY_FILE: Final = "export.key"
KEY_VARIABLE: Final = "EDPIPE_EXPORT_KEY"
README: Final = "README.md"
RELATIONS: Final = ("core.interactions",)
# Aggregates: what is counted, over which column of which relation.
AGGREGATES: Final = {
    "by_item": ("core.interactions", "item_id"),
    "by_part": ("core.interactions", "CAST(part AS VARCHAR)"),
    "by_kc": ("core.interaction_kcs", "kc_id"),
}
_ROWS_AT_ONCE: Final = 100_000


@dataclass(frozen=True, slots=True)
class Exported:
    """One file: rows in it, students or groups in it, and how many values or groups were withheld."""

    file: str
    rows: int
    students: int
    withheld: int


def export(
    target: Path,
    settings: Settings | None = None,
    *,
    anonymize: bool = False,
    relations: Sequence[str] = RELATIONS,
    k: int = 5,
    key_file: Path | None = None,
    dry_run: bool = False,
) -> list[Exported]:
    """Write relations as Parquet with keyed pseudonyms, and k-anonymous aggregates; a README says the rules.

    Parameters
    ----------
    target
        Folder that does not exist yet; it appears whole or not at all.
    settings
        Default: :func:`edpipe.load_settings`.
    anonymize
        Must be set: nothing is exported with its students. ``edpipe sql`` answers those who may see them.
    relations
        Published relations with students, such as ``core.interactions``.
    k
        Least number of students behind any value of words and any aggregate, at least 2.
    key_file
        Secret of the pseudonyms: the same key gives the same pseudonyms. By default the environment's
        ``EDPIPE_EXPORT_KEY``, else a key kept in home and made once.
    dry_run
        Count and write nothing.

    Raises
    ------
    SettingsError
        If ``anonymize`` is not set, a number is out of range, a relation has no students, or the target is
        there.
    ContractError
        If nothing was published.
    """
    from edpipe.warehouse.connection import open_reader

    settings = settings or load_settings()
    _refuse(target, anonymize=anonymize, k=k)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with open_reader(settings) as connection:
        for relation in relations:
            _refuse_relation(connection, relation)
        # Nothing is written in a dry run, no key either.
        key = bytes(32) if dry_run else _key(settings, key_file)
        if not dry_run:
            scratch.mkdir(parents=True)
        try:
            done = [_relation(connection, one, key, k, None if dry_run else scratch) for one in relations]
            done += [_aggregate(connection, name, k, None if dry_run else scratch) for name in AGGREGATES]
            if not dry_run:
                (scratch / README).write_text(_readme(done, k), encoding="utf-8")
                scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return done


def _refuse(target: Path, *, anonymize: bool, k: int) -> None:
    wrong = [
        (not anonymize, "flag `--anonymize`", "not set", "`--anonymize`: nothing leaves with its students"),
        (k < 2, "flag `--k`", str(k), "at least 2"),
        (target.exists(), "argument OUT", f"{target} is there", "a folder that does not exist yet"),
    ]
    for is_wrong, where, found, expected in wrong:
        if is_wrong:
            raise SettingsError(
                "This is not exported.",
                where=where,
                found=found,
                expected=expected,
                next_step='For your own eyes: `edpipe sql "from core.interactions" --format parquet`.',
                state="Nothing was written.",
            )


def _refuse_relation(connection: duckdb.DuckDBPyConnection, relation: str) -> None:
    known = connection.execute(
        "SELECT relation FROM meta.columns WHERE column_name IN ('student_id', 'student_key') "
        "AND relation IN (SELECT relation FROM meta.relations WHERE num_rows IS NOT NULL) GROUP BY ALL"
    ).fetchall()
    names = sorted(name for (name,) in known)
    if relation not in names:
        raise SettingsError(
            f"{relation!r} is no published relation with students.",
            where="flag `--relation`",
            found=repr(relation),
            expected=f"one of {', '.join(names)}",
            state="Nothing was written.",
        )


def _key(settings: Settings, key_file: Path | None) -> bytes:
    from edpipe.keys import key_of_home, read_key

    if key_file is not None:
        return read_key(key_file)
    given = os.environ.get(KEY_VARIABLE, "")
    if given and len(given) < 16:
        raise SettingsError(
            "The secret key is too short to be secret.",
            where=f"environment variable `{KEY_VARIABLE}`",
            found=f"{len(given)} characters",
            expected="16 or more, for example of `openssl rand -hex 32`",
            state="Nothing was written.",
        )
    return given.encode() or key_of_home(settings.home / FOLDER / KEY_FILE)


def _with_students(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    """Return the relation as a query with ``source`` and ``student_id``, whichever it has itself."""
    schema, name = relation.split(".")
    quoted = f'"{schema}"."{name}"'
    columns = [row[0] for row in connection.execute(f"DESCRIBE {quoted}").fetchall()]
    if "student_id" in columns:
        return f"SELECT * FROM {quoted}"
    return (
        f"SELECT s.student_id, r.* FROM {quoted} AS r "
        "JOIN core.students AS s ON r.source = s.source AND r.student_key = s.student_key"
    )


def _relation(
    connection: duckdb.DuckDBPyConnection, relation: str, key: bytes, k: int, folder: Path | None
) -> Exported:
    import polars as pl
    import pyarrow.parquet as pq

    from edpipe.privacy.anonymize import anonymized, generalized_columns

    asked = _with_students(connection, relation)
    empty = pl.DataFrame(connection.execute(f"SELECT * FROM ({asked}) LIMIT 0").to_arrow_table())
    rare = {
        column: _too_few(connection, asked, column, k, is_list=empty.schema[column] != pl.String)
        for column in generalized_columns(empty.schema)
    }
    rows = 0
    writer: Any = None
    file = f"{relation}.parquet"
    try:
        for batch in connection.execute(asked).to_arrow_reader(_ROWS_AT_ONCE):
            part = anonymized(pl.DataFrame(batch), key, rare)
            rows += part.height
            if folder is not None:
                table = part.to_arrow()
                writer = writer or pq.ParquetWriter(folder / file, table.schema, compression="zstd")
                writer.write_table(table)
        if folder is not None and writer is None:
            anonymized(empty, key, rare).write_parquet(folder / file)
    finally:
        if writer is not None:
            writer.close()
    counted = connection.execute(f"SELECT COUNT(DISTINCT (source, student_id)) FROM ({asked})").fetchone()
    return Exported(file, rows, int(counted[0]) if counted else 0, sum(len(one) for one in rare.values()))


def _too_few(
    connection: duckdb.DuckDBPyConnection, asked: str, column: str, k: int, *, is_list: bool
) -> set[str]:
    from edpipe.privacy.suppress import suppressed_values

    value = f'unnest("{column}")' if is_list else f'"{column}"'
    return suppressed_values(_members(connection, asked, value), k)


def _members(connection: duckdb.DuckDBPyConnection, asked: str, value: str) -> pl.DataFrame:
    """Return who has which value, each pair once."""
    import polars as pl

    told = connection.execute(
        f"SELECT value, student FROM (SELECT {value} AS value, hash(source, student_id) AS student "
        f"FROM ({asked})) WHERE value IS NOT NULL GROUP BY ALL"
    )
    return pl.DataFrame(told.to_arrow_table())


def _aggregate(connection: duckdb.DuckDBPyConnection, name: str, k: int, folder: Path | None) -> Exported:
    """Write one row a group of ``k`` students or more, and a source's total where it tells nothing more."""
    import polars as pl

    from edpipe.privacy.suppress import suppressed_values

    relation, value = AGGREGATES[name]
    counted = pl.DataFrame(
        connection.execute(
            f"SELECT source, {value} AS value, COUNT(DISTINCT student_id) AS num_students, "
            "COUNT(*) AS num_interactions, COALESCE(SUM(is_correct::INTEGER), 0)::BIGINT AS num_correct "
            f"FROM {relation} WHERE {value} IS NOT NULL GROUP BY ALL"
        ).to_arrow_table()
    )
    parts, withheld = [counted.clear()], 0
    for (source,), groups in counted.sort("source").group_by("source", maintain_order=True):
        members = _members(connection, f"SELECT * FROM {relation} WHERE source = '{source}'", value)
        hidden = suppressed_values(members, k)
        shown = groups.filter(~pl.col("value").is_in(hidden)).sort("value")
        left = members.filter(pl.col("value").is_in(hidden))["student"].n_unique()
        # Less the groups that are shown, the total tells the sum of the hidden: it must not be of a few.
        if members["student"].n_unique() >= k and (not hidden or left >= k):
            total = groups.select(
                "source",
                value=pl.lit("total"),
                num_students=pl.lit(members["student"].n_unique(), dtype=pl.Int64),
                num_interactions=pl.col("num_interactions").sum(),
                num_correct=pl.col("num_correct").sum(),
            ).head(1)
            parts.append(total)
        parts.append(shown)
        withheld += len(hidden)
    frame = pl.concat(parts)
    file = f"{name}.parquet"
    if folder is not None:
        frame.write_parquet(folder / file)
    return Exported(file, frame.height, frame.filter(pl.col("value") != "total").height, withheld)


def _readme(done: list[Exported], k: int) -> str:
    from edpipe.privacy.anonymize import LONGEST_SECONDS, MOST_WEEKS, PSEUDONYM_DIGITS, RARE

    lines = "\n".join(f"| {one.file} | {one.rows:,} | {one.students:,} | {one.withheld:,} |" for one in done)
    return f"""# Anonymized export

| file | rows | students or groups | values or groups withheld |
|---|---|---|---|
{lines}

Rules:

- `student_id` is a pseudonym: {PSEUDONYM_DIGITS} digits of HMAC-SHA256 with a secret key. Who has the key
  can make it again from an id; nobody else can. The same key gives the same pseudonyms in every export.
- Times are moved by a whole number of weeks of each student's own, from -{MOST_WEEKS} to {MOST_WEEKS},
  and cut to the hour. Weekday, hour and order of a student's rows are kept; dates and distances between
  students mean nothing.
- Durations are whole seconds, {LONGEST_SECONDS:,} at most.
- A word (an item, a KC, an answer) of fewer than {k} students reads `{RARE}`, and so do the next more
  frequent ones where `{RARE}` would stand for fewer than {k} students.
- Keys, row numbers and file names are left out.
- Aggregates have at least {k} students a group. Groups of fewer are withheld, with as many more that the
  total does not give them away.

What is left is pseudonymous, not anonymous in law: the order of a long history may still be unique. Hand the
rows to people who agree not to look for anybody; the aggregates may be published.
"""
