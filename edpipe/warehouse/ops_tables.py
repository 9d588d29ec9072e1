"""Tables of ``ops`` beside the published ones: a copy in each publication, and their rows as they are now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edpipe.settings import Settings
from edpipe.warehouse.connection import connect, literal, open_error
from edpipe.warehouse.contract import Relation

if TYPE_CHECKING:
    import duckdb

    from edpipe.operations.tables import OpsTable

_NAMED = re.compile(r'\bops"?\s*\.\s*"?(\w+)', re.I)
SCHEMA = "ops"
PUBLISHED = "published"


def names_ops(text: str) -> bool:
    """Tell whether a query, or the name of a relation, is about a table of ``ops``."""
    return ops_table_of(text) is not None


def ops_table_of(text: str) -> OpsTable | None:
    """Return the first table of ``ops`` that a query, or the name of a relation, is about."""
    from edpipe.operations.tables import OPS_TABLES

    named = [found.lower() for found in _NAMED.findall(text)]
    return next((table for name in named for table in OPS_TABLES if table.name == name), None)


def ops_relation(table: OpsTable) -> Relation:
    """Return what a table of ``ops`` promises."""
    return Relation(
        name=f"{SCHEMA}.{table.name}",
        is_view=False,
        description=table.description,
        grain=table.grain,
        columns=dict(table.columns),
    )


def create_ops(connection: duckdb.DuckDBPyConnection, settings: Settings) -> dict[str, int]:
    """Create every table of ``ops`` from its rows as they are now, and return how many each has."""
    from edpipe.operations.tables import OPS_TABLES

    connection.execute(f"CREATE SCHEMA {SCHEMA}")
    counts = {}
    for table in OPS_TABLES:
        rows = table.read(settings)
        connection.register("current_rows", rows.to_arrow())
        connection.execute(f"CREATE TABLE {SCHEMA}.{table.name} AS SELECT * FROM current_rows")
        connection.unregister("current_rows")
        counts[table.name] = rows.height
    return counts


def add_ops(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Put ``ops`` into a connection to memory, and what is published, if anything is, beside it."""
    create_ops(connection, settings)
    connection.execute(f"SET search_path = {literal(','.join(_search_path(connection, settings)))}")


@contextmanager
def open_reader_with_ops(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published tables read-only, with ``ops`` as it is now; there may be no other table yet.

    Files on disk and other databases cannot be reached through this connection.
    """
    connection = connect(None, settings, read_only=False)
    try:
        add_ops(connection, settings)
        connection.execute("SET enable_external_access = false")
        yield connection
    finally:
        connection.close()


def _search_path(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[str]:
    """Attach what is published and say where names with a schema are looked for: ``ops`` in memory only."""
    import duckdb

    ours, published = "memory.ops", settings.published_path
    if not published.exists():
        return [ours]
    try:
        connection.execute(f"ATTACH {literal(str(published))} AS {PUBLISHED} (READ_ONLY)")
    except duckdb.IOException as error:
        refused = open_error(error, published, settings, read_only=True)
        if refused is None:
            raise
        raise refused from error
    found = connection.execute(
        "SELECT DISTINCT schema_name FROM duckdb_tables() WHERE database_name = ? ORDER BY schema_name",
        [PUBLISHED],
    ).fetchall()
    others = [f"{PUBLISHED}.{schema}" for (schema,) in found if schema != "ops"]
    return [f"{PUBLISHED}.main", ours, *others]
