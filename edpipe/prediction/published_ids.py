"""Dense keys back to the ids that people query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from edpipe.datasets.tracing import TracingDataset
from edpipe.settings import Settings
from edpipe.warehouse import query


def with_published_ids(
    settings: Settings, dataset: TracingDataset, frames: Iterable[pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    """Yield frames of ``student_key, kc_key, …`` with ``student_id, source, kc_id`` in place of the keys.

    The students are those of the published warehouse that the dataset was read from.
    """
    students = query(settings, "select student_key, source, student_id from core.students").with_columns(
        pl.col("student_key").cast(pl.Int64)
    )
    kcs = pl.DataFrame({"kc_key": dataset.kc_keys, "kc_id": list(dataset.kc_ids)})
    for frame in frames:
        named = frame.join(students, on="student_key", maintain_order="left").join(
            kcs, on="kc_key", maintain_order="left"
        )
        yield named.select("student_id", "source", "kc_id", "mastery", "num_opportunities")
