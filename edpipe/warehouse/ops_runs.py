"""``ops.runs`` beside the published tables: a copy in each publication, and the runs as they are now."""

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

NAME = "ops.runs"
_NAMED = re.compile(r'\bops"?\s*\.\s*"?runs\b', re.I)
PUBLISHED = "published"


def names_runs(text: str) -> bool:
    """Tell whether a query, or the name of a relation, is about ``ops.runs``."""
    return _NAMED.search(text) is not None


def runs_relation() -> Relation:
    """Return what ``ops.runs`` promises."""
    from edpipe.operations.run_table import COLUMNS, DESCRIPTION, GRAIN

    return Relation(name=NAME, is_view=False, description=DESCRIPTION, grain=GRAIN, columns=dict(COLUMNS))


def create_runs(connection: duckdb.DuckDBPyConnection, settings: Settings) -> int:
    """Create ``ops.runs`` from the runs as they are now, and return how many there are."""
    from edpipe.operations.run_table import run_table

    rows = run_table(settings)
    connection.execute("CREATE SCHEMA ops")
    connection.register("current_runs", rows.to_arrow())
    connection.execute("CREATE TABLE ops.runs AS SELECT * FROM current_runs")
    connection.unregister("current_runs")
    return rows.height


@contextmanager
def open_reader_with_runs(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published tables read-only, with ``ops.runs`` as it is now; there may be no other table yet.

    Files on disk and other databases cannot be reached through this connection.
    """
    connection = connect(None, settings, read_only=False)
    try:
        create_runs(connection, settings)
        connection.execute(f"SET search_path = {literal(','.join(_search_path(connection, settings)))}")
        connection.execute("SET enable_external_access = false")
        yield connection
    finally:
        connection.close()


def _search_path(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[str]:
    """Attach what is published and say where names with a schema are looked for: the runs in memory only."""
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
