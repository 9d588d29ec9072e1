"""Anybody's SQL over the published tables, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edpipe.errors import ContractError
from edpipe.settings import Settings
from edpipe.warehouse.connection import open_reader
from edpipe.warehouse.ops_tables import names_ops, open_reader_with_ops
from edpipe.warehouse.predictions import how_to_make

if TYPE_CHECKING:
    import duckdb
    import polars as pl

READING = ("SELECT", "EXPLAIN", "RELATION")


def query(settings: Settings, sql: str) -> pl.DataFrame:
    """Answer one query over ``published.duckdb``.

    Parameters
    ----------
    settings
        Where the published tables are.
    sql
        One statement that reads: SELECT, WITH, FROM, DESCRIBE, SHOW, EXPLAIN. Tables of ``ops`` hold what
        happened until now, also since the last publication.

    Raises
    ------
    ContractError
        If the query is wrong, writes, is not one statement, or nothing has been published.
    """
    import duckdb

    reader = open_reader_with_ops if names_ops(sql) else open_reader
    with reader(settings) as connection:
        try:
            _refuse_writing(connection, sql)
            return connection.sql(sql).pl()
        except duckdb.Error as error:
            raise ContractError(
                "The query cannot be answered.",
                where=str(settings.published_path),
                found=str(error).strip(),
                expected="a query over the published tables (`edpipe status` lists them)",
                next_step=how_to_make(sql, _published(connection))
                or "`edpipe show RELATION` explains the columns of a table.",
                state="Nothing was changed.",
            ) from error


def _published(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
    return {name for (name,) in found}


def _refuse_writing(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    kinds = [statement.type.name for statement in statements]
    if len(kinds) != 1 or kinds[0] not in READING:
        raise ContractError(
            "Only one reading statement is taken.",
            where="the query",
            found=", ".join(kinds) or "no statement",
            expected="one SELECT (or WITH, FROM, DESCRIBE, SHOW, EXPLAIN)",
            next_step="For tables of your own, attach `published.duckdb` read-only from your own database.",
            state="Nothing was changed.",
        )
