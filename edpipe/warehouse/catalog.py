"""The contract of a published relation: columns, audits, rows, a sample, lineage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edpipe.errors import ContractError
from edpipe.setting_groups import closest
from edpipe.settings import Settings
from edpipe.warehouse.connection import open_reader, quoted
from edpipe.warehouse.ops_tables import open_reader_with_ops, ops_relation, ops_table_of
from edpipe.warehouse.predictions import how_to_make

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from edpipe.operations.tables import OpsTable


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One column: name, DuckDB type, what it means with unit and source."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class RelationInfo:
    """What a relation promises and what it holds now.

    Parameters
    ----------
    name
        Layer and name.
    description
        What it is.
    grain
        What one row is one of.
    columns
        In order.
    audits
        What is checked before it replaces the old one.
    num_rows
        Rows, or None for relations that are not published.
    sample
        A few rows; empty for relations that are not published.
    upstream, downstream
        Relations it reads and relations that read it.
    built_at
        UTC.
    """

    name: str
    description: str
    grain: str
    columns: tuple[ColumnInfo, ...]
    audits: tuple[str, ...]
    num_rows: int | None
    sample: pl.DataFrame
    upstream: tuple[str, ...]
    downstream: tuple[str, ...]
    built_at: str

    def column_rows(self) -> list[dict[str, Any]]:
        """Return one row a column, for tables."""
        return [
            {"column": item.name, "type": item.type, "description": item.description} for item in self.columns
        ]

    def lines(self) -> list[str]:
        """Say the rest in lines."""
        rows = "not published" if self.num_rows is None else f"{self.num_rows:,} rows"
        return [
            f"{self.name}: {self.description}",
            f"Grain: {self.grain or 'not stated'}. {rows}, built {self.built_at}.",
            f"Reads: {', '.join(self.upstream) or 'source files'}.",
            f"Read by: {', '.join(self.downstream) or 'nothing'}.",
            *(f"Audit: {audit}" for audit in self.audits),
        ]


def describe(settings: Settings, relation: str, *, sample_rows: int = 5) -> RelationInfo:
    """Describe a relation as of the last publication.

    Raises
    ------
    ContractError
        If there is no such relation (the closest known one is named) or nothing is published.
    """
    table = ops_table_of(relation)
    if table is not None:
        return _describe_ops(settings, table, sample_rows)
    with open_reader(settings) as connection:
        found = connection.execute(
            "SELECT description, grain, audits, upstream, num_rows, built_at "
            "FROM meta.relations WHERE relation = ?",
            [relation],
        ).fetchone()
        if found is None:
            raise _unknown(connection, relation)
        description, grain, audits, upstream, num_rows, built_at = found
        columns = connection.execute(
            "SELECT column_name, column_type, description FROM meta.columns "
            "WHERE relation = ? ORDER BY position",
            [relation],
        ).fetchall()
        downstream = connection.execute(
            "SELECT relation FROM meta.relations WHERE list_contains(upstream, ?) ORDER BY relation",
            [relation],
        ).fetchall()
        return RelationInfo(
            name=relation,
            description=description,
            grain=grain,
            columns=tuple(ColumnInfo(*column) for column in columns),
            audits=tuple(audits),
            num_rows=num_rows,
            sample=_sample(connection, relation, num_rows, sample_rows),
            upstream=tuple(upstream),
            downstream=tuple(name for (name,) in downstream),
            built_at=built_at,
        )


def _describe_ops(settings: Settings, table: OpsTable, sample_rows: int) -> RelationInfo:
    """Describe a table of ``ops`` as it is now, whether anything has been published or not."""
    promised = ops_relation(table)
    with open_reader_with_ops(settings) as connection:
        (num_rows,) = connection.execute(f"SELECT COUNT(*) FROM {promised.name}").fetchone() or (0,)
        newest = f"SELECT * FROM {promised.name} ORDER BY {table.newest_by} DESC LIMIT {int(sample_rows)}"
        return RelationInfo(
            name=promised.name,
            description=promised.description,
            grain=promised.grain,
            columns=tuple(ColumnInfo(name, kind, text) for name, (kind, text) in promised.columns.items()),
            audits=(),
            num_rows=num_rows,
            sample=connection.sql(newest).pl(),
            upstream=(),
            downstream=(),
            built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _sample(
    connection: duckdb.DuckDBPyConnection, relation: str, num_rows: int | None, count: int
) -> pl.DataFrame:
    import polars as pl

    if num_rows is None:
        return pl.DataFrame()
    schema, name = relation.split(".")
    return connection.sql(f"SELECT * FROM {quoted(schema)}.{quoted(name)} LIMIT {int(count)}").pl()


def _unknown(connection: duckdb.DuckDBPyConnection, relation: str) -> ContractError:
    known = [name for (name,) in connection.execute("SELECT relation FROM meta.relations").fetchall()]
    return ContractError(
        f"There is no relation {relation!r}.",
        where="argument RELATION",
        found=repr(relation),
        expected="a layer and a name, such as core.interactions",
        next_step=how_to_make(relation, known) or closest(relation, known),
    )
