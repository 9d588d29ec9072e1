"""The published tables as the report sees them: which exist, and aggregated answers only."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

Query = Callable[[str], pl.DataFrame]


class Published:
    """Published relations behind a query function.

    Every question is aggregated in SQL, so that the report of a hundred million rows reads a few hundred.

    Parameters
    ----------
    query
        Answers one SQL query over ``published.duckdb``.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        columns = query(
            "select table_schema || '.' || table_name as relation, column_name "
            "from information_schema.columns"
        )
        self._columns: dict[str, set[str]] = {}
        for relation, column in columns.rows():
            self._columns.setdefault(relation, set()).add(column)

    def has(self, relation: str, *columns: str) -> bool:
        """Tell whether a relation exists with all ``columns``."""
        return relation in self._columns and self._columns[relation].issuperset(columns)

    def ask(self, sql: str) -> pl.DataFrame:
        """Answer a query."""
        return self._query(sql)
