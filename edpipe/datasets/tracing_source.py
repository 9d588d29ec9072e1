"""Training examples out of the warehouse, in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.datasets.tracing import Steps, TracingDataset
from edpipe.datasets.tracing_writer import Catalog, write_tracing_dataset
from edpipe.settings import Settings

ROWS_A_PIECE = 500_000

QUESTIONS = """
    select student_key, split, interaction_number, item_key, is_correct, elapsed_seconds, lag_seconds
    from training.tracing_examples
    where source = ?
    order by student_key, interaction_number
"""
ROWS = """
    select student_key, split, row_number, item_key, kc_key, is_correct, is_first_row
    from training.tracing_rows
    where source = ?
    order by student_key, row_number
"""
ITEMS = """
    select items.item_key, items.item_id, coalesce(sets.kc_keys, []) as kc_keys
    from core.items as items
    left join (
        select item_key, list(distinct kc_key order by kc_key) as kc_keys
        from core.item_kcs where source = ? group by item_key
    ) as sets using (item_key)
    where items.source = ?
    order by items.item_key
"""
KCS = "select kc_key, kc_id from core.kcs where source = ? order by kc_key"


def tracing_dataset(settings: Settings, *, folder: Path | None = None) -> TracingDataset:
    """Write the warehouse's training examples as a dataset, or find it written already, and open it.

    The examples are read again each time: the fingerprint is that of the rows themselves, so nothing stale
    can be taken for current.

    Parameters
    ----------
    settings
        ``tracing.source`` and ``tracing.steps`` say which examples.
    folder
        Parent of the datasets; by default ``<home>/datasets``.

    Raises
    ------
    TrainingError
        If the source has no example, or the examples break their order.
    """
    from edpipe import warehouse

    source, steps = settings.tracing.source, settings.tracing.steps
    with warehouse.open_reader(settings) as connection:
        catalog = Catalog(
            items=connection.execute(ITEMS, [source, source]).pl(),
            kcs=connection.execute(KCS, [source]).pl(),
        )
        return write_tracing_dataset(
            folder or settings.home / "datasets",
            _pieces(connection, source, steps),
            catalog,
            source=source,
            steps=steps,
        )


def _pieces(connection: Any, source: str, steps: Steps) -> Iterator[pl.DataFrame]:
    """Yield the examples in order; DuckDB sorts within its memory limit and hands over Arrow batches."""
    query = QUESTIONS if steps == "questions" else ROWS
    for batch in connection.execute(query, [source]).to_arrow_reader(ROWS_A_PIECE):
        frame = pl.from_arrow(batch)
        if isinstance(frame, pl.DataFrame):
            yield frame
