"""The SQL models over frames in memory: what SQLMesh renders, run by DuckDB without a build."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import polars as pl

from edpipe.raw import RAW_SCHEMAS
from edpipe.settings import Settings
from edpipe.warehouse.contract import plain_name
from edpipe.warehouse.project import LAYERS, open_context

POLARS = {
    "VARCHAR": pl.String,
    "VARCHAR[]": pl.List(pl.String),
    "BIGINT": pl.Int64,
    "INTEGER": pl.Int32,
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
}


class Models:
    """Rendered models in the order of their dependencies."""

    def __init__(self, settings: Settings) -> None:
        from sqlglot import exp

        context = open_context(settings, database=Path(":memory:"))
        self.queries: dict[str, str] = {}
        self.upstream: dict[str, set[str]] = {}
        for fqn in context.dag.sorted:
            query = context.get_model(fqn, raise_if_missing=True).render_query_or_raise().copy()
            for table in query.find_all(exp.Table):
                table.set("catalog", None)
            self.queries[plain_name(fqn)] = query.sql(dialect="duckdb")
            self.upstream[plain_name(fqn)] = {plain_name(parent) for parent in context.dag.upstream(fqn)}
        context.close()

    def run(
        self, raw: dict[str, Iterable[dict[str, object]]], wanted: Iterable[str] = ()
    ) -> duckdb.DuckDBPyConnection:
        """Run models over raw rows, given by relation such as ``ednet_kt1``.

        All of them, or those wanted with what they read.
        """
        wanted = set(wanted)
        needed = wanted.union(*(self.upstream[name] for name in wanted)) or set(self.queries)
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        for layer in LAYERS:
            connection.execute(f"CREATE SCHEMA {layer}")
        for (source, relation), columns in RAW_SCHEMAS.items():
            schema = {name: POLARS[kind] for name, kind in columns.items()}
            frame = pl.DataFrame(list(raw.get(f"{source}_{relation}", [])), schema=schema, orient="row")
            connection.register("given", frame.to_arrow())
            connection.execute(f"CREATE TABLE raw.{source}_{relation} AS SELECT * FROM given")
            connection.unregister("given")
        for name, query in self.queries.items():
            if name not in needed:
                continue
            if name.startswith("raw.") and name.removeprefix("raw.") not in {"manifests", "rejects"}:
                continue
            connection.execute(f"CREATE TABLE {name} AS {query}")
        return connection
