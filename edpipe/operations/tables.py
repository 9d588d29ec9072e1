"""The tables of ``ops``: what each promises, and how its rows are read as they are now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edpipe.operations import decisions, drift_table, run_table
from edpipe.operations.columns import Columns

if TYPE_CHECKING:
    import polars as pl

    from edpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class OpsTable:
    """One table of ``ops``.

    Attributes
    ----------
    name, description, grain, columns
        What it promises; its name has no schema in front.
    newest_by
        Column that orders its rows, the newest last.
    read
        Returns its rows.
    """

    name: str
    description: str
    grain: str
    columns: Columns
    newest_by: str
    read: Callable[[Settings], pl.DataFrame]


OPS_TABLES = (
    OpsTable(
        "runs", run_table.DESCRIPTION, run_table.GRAIN, run_table.COLUMNS, "started_at", run_table.run_table
    ),
    OpsTable(
        decisions.NAME,
        decisions.DESCRIPTION,
        decisions.GRAIN,
        decisions.COLUMNS,
        "decided_at",
        decisions.decision_table,
    ),
    OpsTable(
        drift_table.NAME,
        drift_table.DESCRIPTION,
        drift_table.GRAIN,
        drift_table.COLUMNS,
        "checked_at",
        drift_table.drift_table,
    ),
)
