"""Behaviors and targets out of the warehouse, in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from edpipe.datasets.impressions import ImpressionDataset, ImpressionOptions
from edpipe.datasets.impressions_writer import write_impression_dataset
from edpipe.setting_groups_recommendation import Target
from edpipe.settings import Settings

TARGETS_A_PIECE = 500_000
# One row holds up to 10,000 behaviors.
STUDENTS_A_PIECE = 2_000

SEQUENCES = """
    select student_key, num_behaviors, catalog_keys, outcome_keys, acted_milliseconds, earlier_catalog_keys
    from features.behavior_sequences
    where source = ? and log_name = ?
    order by student_key
"""
# What of the three is asked, and which behaviors are asked about.
CLICKED: dict[Target, tuple[str, str]] = {
    "next_item": ("true", "is_next_item"),
    "engagement": ("is_engaged", "is_engaged is not null"),
    "correct": ("is_correct", "is_correct is not null"),
}
EXAMPLES = """
    select student_key, behavior_number, history_length, epoch_ms(requested_at) as requested_milliseconds,
        {clicked} as clicked
    from training.recommendation_examples
    where source = ? and log_name = ? and {chosen}
    order by student_key, behavior_number
"""
CATALOG = """
    select catalog_key, item_id, category_ids, part
    from core.catalog where source = ? and log_name = ? order by catalog_key
"""
OUTCOMES = "select outcome_key, outcome from core.outcomes where source = ? and log_name = ?"


def impression_dataset(settings: Settings, *, folder: Path | None = None) -> ImpressionDataset:
    """Write the warehouse's behaviors and targets as a dataset, or find it written already, and open it.

    The rows are read again each time: the fingerprint is that of the rows themselves, so nothing stale can be
    taken for current.

    Parameters
    ----------
    settings
        ``recommendation`` says which log, which target, and how it is split.
    folder
        Parent of the datasets; by default ``<home>/datasets``.

    Raises
    ------
    TrainingError
        If the log has no target, or the rows break their order.
    ContractError
        If nothing has been published.
    """
    from edpipe import warehouse

    chosen = settings.recommendation
    options = ImpressionOptions(
        source=chosen.source,
        log_name=chosen.log_name,
        target=chosen.target,
        valid=chosen.valid,
        test=chosen.test,
        min_history=chosen.min_history,
        num_categories=chosen.num_categories,
    )
    of_log = [options.source, options.log_name]
    clicked, asked = CLICKED[chosen.target]
    with warehouse.open_reader(settings) as connection:
        return write_impression_dataset(
            folder or settings.home / "datasets",
            _pieces(connection, SEQUENCES, of_log, STUDENTS_A_PIECE),
            _pieces(connection, EXAMPLES.format(clicked=clicked, chosen=asked), of_log, TARGETS_A_PIECE),
            catalog=connection.execute(CATALOG, of_log).pl(),
            outcomes=connection.execute(OUTCOMES, of_log).pl(),
            options=options,
        )


def _pieces(connection: Any, query: str, of_log: list[str], rows: int) -> Iterator[pl.DataFrame]:
    """Yield rows in order; DuckDB sorts within its memory limit and hands over Arrow batches."""
    for batch in connection.execute(query, of_log).to_arrow_reader(rows):
        frame = pl.from_arrow(batch)
        if isinstance(frame, pl.DataFrame):
            yield frame
