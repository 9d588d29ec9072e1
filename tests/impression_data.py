"""Small logs of behaviors with known structure, for tests of what recommenders read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edpipe.datasets.impressions import ImpressionDataset, ImpressionOptions
from edpipe.datasets.impressions_writer import write_impression_dataset

NUM_ITEMS = 30
SECOND = 1_000
START = 1_600_000_000_000
OUTCOMES = pl.DataFrame({"outcome_key": [1, 2, 3], "outcome": ["correct", "incorrect", "unanswered"]})


def catalog(num_items: int = NUM_ITEMS) -> pl.DataFrame:
    """Item ``i`` has category ``c{i mod 4}``, every third another, and part ``i mod 7 + 1``."""
    keys = range(101, 101 + num_items)
    return pl.DataFrame(
        {
            "catalog_key": keys,
            "item_id": [f"q{key}" for key in keys],
            "category_ids": [[f"c{key % 4}", *([f"c{key % 4}x"] if key % 3 == 0 else [])] for key in keys],
            "part": [key % 7 + 1 for key in keys],
        }
    )


def behaviors(num_students: int = 12, *, seed: int = 0, num_items: int = NUM_ITEMS) -> pl.DataFrame:
    """Students of random length do random items; about a third of the steps take no time."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for student in range(1, num_students + 1):
        now = START + student
        for number in range(1, int(random.integers(5, 40)) + 1):
            now += int(random.choice([0, 1, 60], p=[0.34, 0.33, 0.33])) * SECOND
            row = {"student_key": 10 * student, "behavior_number": number, "acted_milliseconds": now}
            row |= {
                "catalog_key": 101 + int(random.integers(num_items)),
                "outcome_key": int(random.integers(4)),
            }
            rows.append(row)
    return pl.DataFrame(rows)


def sequences(rows: pl.DataFrame, *, kept: int = 10_000) -> pl.DataFrame:
    """Return the rows as ``features.behavior_sequences`` holds them, cut to the last ``kept``."""
    return rows.group_by("student_key", maintain_order=True).agg(
        pl.len().alias("num_behaviors"),
        *(
            pl.col(name).tail(kept).alias(f"{name}s" if name != "acted_milliseconds" else name)
            for name in ("catalog_key", "outcome_key", "acted_milliseconds")
        ),
        pl.col("catalog_key")
        .head((pl.len().cast(pl.Int64) - kept).clip(0))
        .unique()
        .sort()
        .alias("earlier_catalog_keys"),
    )


def examples(rows: pl.DataFrame, target: str = "next_item") -> pl.DataFrame:
    """Return the targets among the rows, computed one student after the other."""
    found: list[dict[str, Any]] = []
    for (student,), group in rows.group_by("student_key", maintain_order=True):
        times, met = group["acted_milliseconds"].to_list(), set()
        for place, (item, outcome) in enumerate(group.select("catalog_key", "outcome_key").iter_rows()):
            is_first, is_known = item not in met, outcome in {1, 2}
            met.add(item)
            if is_first if target == "next_item" else is_known:
                found.append(
                    {
                        "student_key": student,
                        "behavior_number": place + 1,
                        "history_length": sum(time < times[place] for time in times),
                        "requested_milliseconds": times[place],
                        "clicked": True if target == "next_item" else outcome == 1,
                    }
                )
    return pl.DataFrame(found)


def pieces(frame: pl.DataFrame, cuts: Sequence[int] = ()) -> Iterable[pl.DataFrame]:
    """Cut a frame into pieces."""
    bounds = [0, *cuts, frame.height]
    return [frame[start:end] for start, end in pairwise(bounds)]


def dataset(
    folder: Path,
    rows: pl.DataFrame | None = None,
    *,
    target: str = "next_item",
    kept: int = 10_000,
    **options: Any,
) -> ImpressionDataset:
    """Write rows as a dataset."""
    rows = behaviors() if rows is None else rows
    return write_impression_dataset(
        folder,
        [sequences(rows, kept=kept)],
        [examples(rows, target)],
        catalog=catalog(),
        outcomes=OUTCOMES,
        options=ImpressionOptions(source="ednet", log_name="answers", target=target, **options),
    )
