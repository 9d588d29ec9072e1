"""Look for words in every table of a DuckDB file, whatever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edpipe.warehouse.connection import literal, quoted


def count_named(path: Path, pattern_of: Callable[[str], str | None]) -> int:
    """Count the rows of all stored tables in which a text matches the pattern of its column.

    Raises
    ------
    OSError
        If the file cannot be opened: another process writes it, or it is not a DuckDB file.
    """
    import duckdb

    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise OSError(str(error)) from error
    with connection:
        columns = connection.execute(
            "SELECT schema_name, table_name, list(column_name) FROM duckdb_columns() "
            "WHERE NOT internal AND regexp_matches(data_type, 'VARCHAR|ENUM|JSON') "
            "GROUP BY ALL"
        ).fetchall()
        stored = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        found = 0
        for schema, table, names in columns:
            if (schema, table) not in stored:
                continue
            told = " OR ".join(
                f"regexp_matches(CAST({quoted(name)} AS VARCHAR), {literal(pattern)})"
                for name in names
                if (pattern := pattern_of(name)) is not None
            )
            if not told:
                continue
            counted = connection.execute(
                f"SELECT COUNT(*) FROM {quoted(schema)}.{quoted(table)} WHERE {told}"
            ).fetchone()
            found += int(counted[0]) if counted else 0
        return found
