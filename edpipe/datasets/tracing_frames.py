"""A tracing dataset as frames, for what reads answers in tables: baselines, mastery groups."""

from __future__ import annotations

import numpy as np
import polars as pl

from edpipe.datasets.tracing import SPLITS, TracingDataset


def examples(dataset: TracingDataset) -> pl.DataFrame:
    """Return ``student_key, split, interaction_number, item_key, is_correct`` of every step, in order."""
    columns = dataset.columns
    lengths = np.diff(dataset.offsets)
    return pl.DataFrame(
        {
            "student_key": np.repeat(np.asarray(columns["student_key"]), lengths),
            # Numbers behind the names: as text this column alone would outweigh all others.
            "split": pl.Series(SPLITS, dtype=pl.Enum(SPLITS)).gather(
                np.repeat(np.asarray(columns["split"]).astype(np.uint32), lengths)
            ),
            "interaction_number": np.asarray(columns["interaction_number"]).astype(np.int64),
            "item_key": dataset.item_keys[np.asarray(columns["item"])],
            "is_correct": np.asarray(columns["is_correct"]).astype(bool),
        }
    )


def item_kcs(dataset: TracingDataset) -> pl.DataFrame:
    """Return ``item_key, kc_key``, one row a pair."""
    key_of = dict(zip(dataset.kc_ids, dataset.kc_keys.tolist(), strict=True))
    pairs = [
        (item, key_of[kc])
        for item, kcs in zip(dataset.item_keys.tolist(), dataset.item_kcs, strict=True)
        for kc in kcs
    ]
    return pl.DataFrame(pairs, schema={"item_key": pl.Int64, "kc_key": pl.Int64}, orient="row")
