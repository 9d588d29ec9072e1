"""Small answer logs with known structure, for tests of datasets, training and prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from edpipe.datasets.tracing import Steps, TracingDataset
from edpipe.datasets.tracing_writer import Catalog, write_tracing_dataset


def catalog(num_items: int = 12, num_kcs: int = 4) -> Catalog:
    """Item ``i`` has KC ``i mod num_kcs``, and every third item the next KC too."""
    kc_keys = [
        sorted({i % num_kcs + 1, *([(i + 1) % num_kcs + 1] if i % 3 == 0 else [])}) for i in range(num_items)
    ]
    items = pl.DataFrame(
        {
            "item_key": range(1, num_items + 1),
            "item_id": [f"q{i + 1}" for i in range(num_items)],
            "kc_keys": kc_keys,
        },
        schema={"item_key": pl.Int32, "item_id": pl.String, "kc_keys": pl.List(pl.Int32)},
    )
    kcs = pl.DataFrame(
        {"kc_key": range(1, num_kcs + 1), "kc_id": [f"k{i + 1}" for i in range(num_kcs)]},
        schema={"kc_key": pl.Int32, "kc_id": pl.String},
    )
    return Catalog(items, kcs)


def answers(num_students: int = 30, *, steps: Steps = "questions", seed: int = 0) -> pl.DataFrame:
    """Students of different ability answer random items; every fifth is valid, every sixth test."""
    random = np.random.default_rng(seed)
    kcs_of = dict(zip(catalog().items["item_key"], catalog().items["kc_keys"].to_list(), strict=True))
    rows = []
    for student in range(1, num_students + 1):
        split = "valid" if student % 5 == 0 else "test" if student % 6 == 0 else "train"
        ability = random.normal()
        number = 0
        for _ in range(int(random.integers(3, 40))):
            item = int(random.integers(1, 13))
            is_correct = bool(random.random() < 1 / (1 + np.exp(-(ability + 0.3 * (item - 6)))))
            times = (float(random.integers(1, 90)), None if number == 0 else float(random.integers(0, 9999)))
            for place, kc in enumerate(kcs_of[item] if steps == "rows" else [0]):
                number += 1
                rows.append((student, split, number, item, kc, is_correct, place == 0, *times))
    names = ["student_key", "split", "number", "item_key", "kc_key", "is_correct", "is_first_row"]
    frame = pl.DataFrame(rows, schema=[*names, "elapsed_seconds", "lag_seconds"], orient="row")
    number_name = "interaction_number" if steps == "questions" else "row_number"
    dropped = ["kc_key", "is_first_row"] if steps == "questions" else ["elapsed_seconds", "lag_seconds"]
    return frame.rename({"number": number_name}).drop(dropped)


def dataset(
    folder: Path, *, steps: Steps = "questions", num_students: int = 30, seed: int = 0
) -> TracingDataset:
    """Write :func:`answers` as a dataset."""
    frame = answers(num_students, steps=steps, seed=seed)
    return write_tracing_dataset(folder, [frame], catalog(), source="test", steps=steps)


def _kcs_of(item: int, num_kcs: int) -> list[int]:
    kcs = {item % num_kcs + 1}
    return sorted(kcs | {(item + 1) % num_kcs + 1} if item % 3 == 0 else kcs)
