"""Anybody's SQL over the published tables: read-only, shut in, and limited in time and memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from edpipe.errors import ContractError
from edpipe.settings import Settings
from edpipe.warehouse.connection import open_sandbox
from edpipe.warehouse.ops_tables import add_ops, names_ops
from edpipe.warehouse.predictions import how_to_make
from edpipe.warehouse.query_limits import Watch, watched

if TYPE_CHECKING:
    import duckdb
    import polars as pl

READING = ("SELECT", "EXPLAIN", "RELATION")
_ROWS_AT_ONCE: Final = 100_000


def query(settings: Settings, sql: str) -> pl.DataFrame:
    """Answer one query over ``published.duckdb``.

    Whoever asks is trusted with the published tables and with nothing else: files, other databases, the
    network, extensions and settings are out of reach, and `settings.query` limits time and memory.

    Parameters
    ----------
    settings
        Where the published tables are, and the limits.
    sql
        One statement that reads: SELECT, WITH, FROM, DESCRIBE, SHOW, EXPLAIN. Tables of ``ops`` hold what
        happened until now, also since the last publication.

    Raises
    ------
    ContractError
        If the query is wrong, writes, is not one statement, reaches for files or settings, takes too long
        or too much memory, or nothing has been published.
    """
    import duckdb

    limits = settings.query
    prepare = partial(add_ops, settings=settings) if names_ops(sql) else None
    with (
        open_sandbox(settings, prepare) as connection,
        watched(connection, seconds=limits.timeout_seconds, memory_mib=limits.memory_limit_mib) as watch,
    ):
        try:
            _refuse_writing(connection, sql)
            return _answer(connection, sql, limits.memory_limit_mib)
        except (duckdb.InterruptException, duckdb.OutOfMemoryException, MemoryError) as error:
            # An interrupt that nobody here asked for is the person's.
            if isinstance(error, duckdb.InterruptException) and not watch.reason:
                raise KeyboardInterrupt from error
            raise _too_much(settings, watch, error) from error
        except duckdb.PermissionException as error:
            raise ContractError(
                "The query reaches for something outside the published tables.",
                where="the query",
                found=str(error).strip().splitlines()[0],
                expected="published tables alone: no files, databases, extensions or addresses",
                next_step="For files of your own, attach `published.duckdb` read-only to your own database.",
                state="Nothing was changed or read.",
            ) from error
        except duckdb.Error as error:
            if watch.reason:
                raise _too_much(settings, watch, error) from error
            raise ContractError(
                "The query cannot be answered.",
                where=str(settings.published_path),
                found=str(error).strip(),
                expected="a query over the published tables (`edpipe status` lists them)",
                next_step=how_to_make(sql, _published(connection))
                or "`edpipe show RELATION` explains the columns of a table.",
                state="Nothing was changed.",
            ) from error


def _answer(connection: duckdb.DuckDBPyConnection, sql: str, memory_limit_mib: int) -> pl.DataFrame:
    """Take the answer in pieces: what stands outside of DuckDB is counted by nobody else."""
    import polars as pl
    import pyarrow as pa

    reader = connection.execute(sql).to_arrow_reader(_ROWS_AT_ONCE)
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in reader:
        size += batch.nbytes
        if size > memory_limit_mib * 2**20:
            raise MemoryError(f"an answer of more than {size / 2**20:,.0f} MiB")
        batches.append(batch)
    return pl.DataFrame(pa.Table.from_batches(batches, schema=reader.schema))


def _too_much(settings: Settings, watch: Watch, error: BaseException) -> ContractError:
    limits = settings.query
    state = "Nothing was changed."
    if watch.reason == "time":
        return ContractError(
            "The query took too long and was stopped.",
            where="setting `query.timeout_seconds`",
            found=f"no answer after {limits.timeout_seconds:g} seconds",
            expected="an answer within that time",
            next_step="Ask for less, or allow more: `edpipe --set query.timeout_seconds=600 sql …`.",
            state=state,
        )
    return ContractError(
        "The query needs more memory than it may have.",
        where="setting `query.memory_limit_mib`",
        found=str(error).strip().splitlines()[0],
        expected=f"at most {limits.memory_limit_mib:,} MiB, answer included",
        next_step="Aggregate, select fewer columns or add a LIMIT, or allow more: "
        "`edpipe --set query.memory_limit_mib=4096 sql …`.",
        state=state,
    )


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
