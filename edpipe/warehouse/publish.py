"""Good tables go to readers: a copy beside the old file, then one rename."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.errors import ContractError
from edpipe.settings import Settings
from edpipe.warehouse.connection import connect, literal, quoted
from edpipe.warehouse.contract import Relation, load_contracts
from edpipe.warehouse.lock import writer_lock
from edpipe.warehouse.ops_tables import create_ops, ops_relation
from edpipe.warehouse.predictions import contract_of
from edpipe.warehouse.project import PUBLISHED_LAYERS
from edpipe.warehouse.state import (
    contracts_path,
    prediction_files,
    predictions_fingerprint,
    read_state,
    write_state,
)

if TYPE_CHECKING:
    import duckdb

CATALOG_TABLES = """
CREATE SCHEMA meta;
CREATE TABLE meta.relations (relation VARCHAR, layer VARCHAR, is_view BOOLEAN, description VARCHAR,
  grain VARCHAR, audits VARCHAR[], upstream VARCHAR[], num_rows BIGINT, built_at VARCHAR);
CREATE TABLE meta.columns (relation VARCHAR, position INTEGER, column_name VARCHAR, column_type VARCHAR,
  description VARCHAR);
COMMENT ON TABLE meta.relations IS 'One row a relation: what it is, what is audited, what it reads.';
COMMENT ON TABLE meta.columns IS 'One row a column of a relation: its type and what it means.';
"""


def publish(settings: Settings) -> Path:
    """Replace ``published.duckdb`` by rename: core, features, training and predictions.

    Readers with an open connection keep what they had; a new one sees the new tables, all of them.

    Raises
    ------
    ContractError
        If nothing has been built yet.
    WarehouseBusyError
        If another process is writing the warehouse.
    """
    state = read_state(settings)
    if not state.built_at:
        raise ContractError(
            "There is nothing to publish.",
            where=str(settings.warehouse_path),
            found="no finished build",
            expected="a warehouse that was built",
            next_step="Run `edpipe build`.",
            state="Nothing was changed.",
        )
    with writer_lock(settings, "publish"):
        relations = load_contracts(contracts_path(settings))
        predictions = predictions_fingerprint(settings)
        rows = write_published(settings, relations, state.built_at)
        write_state(settings, replace(state, predictions=predictions, rows=rows))
    return settings.published_path


def write_published(settings: Settings, relations: dict[str, Relation], built_at: str) -> dict[str, int]:
    """Write the published file beside the old one, rename it, and return the rows of each relation.

    The caller holds the writer lock.
    """
    target = settings.published_path
    temporary = target.with_name(target.name + ".tmp")
    temporary.unlink(missing_ok=True)
    temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)
    connection = connect(temporary, settings, read_only=False)
    rows: dict[str, int] = {}
    try:
        # Order is kept: tables that models order stay ordered for their readers.
        connection.execute("SET preserve_insertion_order = true")
        connection.execute(f"ATTACH {literal(str(settings.warehouse_path))} AS warehouse (READ_ONLY)")
        connection.execute(CATALOG_TABLES)
        present = _present(connection)
        for relation in relations.values():
            if relation.layer in PUBLISHED_LAYERS and relation.name in present:
                rows[relation.name] = _copy(connection, relation)
                _comment(connection, relation)
            if relation.name in present:
                _catalog(connection, relation, rows.get(relation.name), built_at)
        for table, files in prediction_files(settings).items():
            rows[f"predictions.{table}"] = _predictions(connection, table, files, built_at)
        rows |= _ops(connection, settings, built_at)
        connection.execute("DETACH warehouse")
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    _rename_durably(temporary, target)
    return rows


def _present(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute(
        "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE database_name = 'warehouse'"
    ).fetchall()
    return {name for (name,) in found}


def _copy(connection: duckdb.DuckDBPyConnection, relation: Relation) -> int:
    name = f"{quoted(relation.layer)}.{quoted(relation.short_name)}"
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(relation.layer)}")
    if relation.is_view:
        connection.execute(f"CREATE VIEW {name} AS {relation.view_query}")
    else:
        columns = ", ".join(
            f"CAST({quoted(column)} AS {kind}) AS {quoted(column)}"
            for column, (kind, _) in relation.columns.items()
        )
        connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM warehouse.{name}")
    return _count(connection, name)


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    counted = connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()
    return int(counted[0]) if counted else 0


def _comment(connection: duckdb.DuckDBPyConnection, relation: Relation) -> None:
    name = f"{quoted(relation.layer)}.{quoted(relation.short_name)}"
    kind = "VIEW" if relation.is_view else "TABLE"
    connection.execute(f"COMMENT ON {kind} {name} IS {literal(relation.description)}")
    for column, (_, text) in relation.columns.items():
        connection.execute(f"COMMENT ON COLUMN {name}.{quoted(column)} IS {literal(text)}")


def _catalog(
    connection: duckdb.DuckDBPyConnection, relation: Relation, num_rows: int | None, built_at: str
) -> None:
    connection.execute(
        "INSERT INTO meta.relations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            relation.name,
            relation.layer,
            relation.is_view,
            relation.description,
            relation.grain,
            list(relation.audits),
            list(relation.upstream),
            num_rows,
            built_at,
        ],
    )
    connection.executemany(
        "INSERT INTO meta.columns VALUES (?, ?, ?, ?, ?)",
        [
            [relation.name, position, column, kind, text]
            for position, (column, (kind, text)) in enumerate(relation.columns.items(), 1)
        ],
    )


def _predictions(connection: duckdb.DuckDBPyConnection, table: str, files: list[Path], built_at: str) -> int:
    name = f"predictions.{quoted(table)}"
    listed = ", ".join(literal(str(path)) for path in files)
    connection.execute("CREATE SCHEMA IF NOT EXISTS predictions")
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet([{listed}], union_by_name = true)")
    described = connection.execute(f"DESCRIBE {name}").fetchall()
    contract = contract_of(table)
    relation = Relation(
        name=f"predictions.{table}",
        is_view=False,
        description=contract.description,
        grain=contract.grain,
        columns={row[0]: (row[1], contract.columns.get(row[0], "")) for row in described},
        upstream=contract.upstream,
    )
    _comment(connection, relation)
    num_rows = _count(connection, name)
    _catalog(connection, relation, num_rows, built_at)
    return num_rows


def _ops(connection: duckdb.DuckDBPyConnection, settings: Settings, built_at: str) -> dict[str, int]:
    """Copy runs, decisions and so on until now: the run of this publication has no end yet."""
    from edpipe.operations.tables import OPS_TABLES

    counts = create_ops(connection, settings)
    relations = {table.name: ops_relation(table) for table in OPS_TABLES}
    for name, relation in relations.items():
        _comment(connection, relation)
        _catalog(connection, relation, counts[name], built_at)
    return {relation.name: counts[name] for name, relation in relations.items()}


def _rename_durably(temporary: Path, target: Path) -> None:
    _flush(temporary)
    temporary.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
