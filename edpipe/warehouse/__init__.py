"""DuckDB and SQLMesh: builds, reconciliation, publishing, queries. The only package that imports them."""

from edpipe.warehouse.build import BuildReport, BuiltModel, build
from edpipe.warehouse.catalog import ColumnInfo, RelationInfo, describe
from edpipe.warehouse.connection import open_reader, open_writer
from edpipe.warehouse.plan import BuildPlan, PlannedModel, plan_build
from edpipe.warehouse.publish import publish
from edpipe.warehouse.query import query
from edpipe.warehouse.status import WarehouseStatus, status

__all__ = [
    "BuildPlan",
    "BuildReport",
    "BuiltModel",
    "ColumnInfo",
    "PlannedModel",
    "RelationInfo",
    "WarehouseStatus",
    "build",
    "describe",
    "open_reader",
    "open_writer",
    "plan_build",
    "publish",
    "query",
    "status",
]
