"""Rows of a recommender's split as files that FuxiCTR's loader reads: the same rows, histories and negatives.

A folder holds `items.parquet` (fields of each item; row 0 is padding), `students.parquet` (behaviors, oldest
first), one file of rows for each epoch of training and for `valid` and `test`, and `rows.json`, written last.
An item is its row of the catalog plus 1. Rows lie in random order, those of one request apart, as FuxiCTR
shuffles them; column ``row`` says where each stood.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edpipe.datasets.impressions import ImpressionDataset, Split
from edpipe.datasets.impressions_batches import ImpressionEncoder
from edpipe.datasets.vocabulary import TimeScaler
from edpipe.prediction.diffumin import rows_frame

DESCRIPTION = "rows.json"
ROW = ("student", "item", "history", "clicked")


def items_alone(dataset: ImpressionDataset) -> ImpressionDataset:
    """Return the dataset without outcomes, times and lengths of histories: as FuxiCTR is told of it."""
    columns = dict(dataset.columns)
    columns["outcome"] = np.full(dataset.num_behaviors, -1, dtype=np.int32)
    columns["milliseconds"] = np.zeros(dataset.num_behaviors, dtype=np.int64)
    # A spread without end makes every length of a history 0.
    features = replace(dataset.features, outcomes=(), history=TimeScaler(0.0, math.inf))
    return replace(
        dataset,
        columns=columns,
        outcomes=(),
        features=features,
        fingerprint=f"{dataset.fingerprint}-items",
    )


def drawn(encoder: ImpressionEncoder, split: Split, epoch: int) -> pl.DataFrame:
    """Return all rows of a part of the split in edpipe's order, with the negatives of an epoch.

    Parameters
    ----------
    encoder
        Dataset, and how negatives are drawn.
    split
        Part to take.
    epoch
        0 for validation and test; training counts from 1.
    """
    requests = encoder.dataset.requests(split)
    return rows_frame(encoder.dataset, requests, encoder.draw(requests, epoch=epoch))


def export_rows(
    encoder: ImpressionEncoder, folder: Path, *, num_epochs: int, batch_size: int, sizes: dict[str, Any]
) -> None:
    """Write the folder, unless it is whole already.

    Parameters
    ----------
    encoder
        Dataset, length of histories, seed and number of negatives.
    folder
        Where to write.
    num_epochs
        Epochs of training, each with negatives of its own.
    batch_size
        Requests a batch; FuxiCTR's batches, which are of rows, are as many an epoch.
    sizes
        Widths of the networks, handed on in `rows.json`.
    """
    if (folder / DESCRIPTION).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    dataset = encoder.dataset
    names = field_names(encoder)
    fields = np.concatenate([np.zeros((1, len(names)), dtype=np.int64), encoder.item_fields])
    items = pl.DataFrame(dict(zip(names, fields.T, strict=True)))
    items.with_row_index("item_index").cast(pl.Int64).write_parquet(folder / "items.parquet")
    bounds = np.asarray(dataset.columns["offsets"])
    numbers = np.asarray(dataset.columns["item"]).astype(np.int64) + 1
    sequences = [part.tolist() for part in np.split(numbers, bounds[1:-1])]
    pl.DataFrame({"full_item_seq": sequences}).write_parquet(folder / "students.parquet")
    for epoch in range(num_epochs):
        _write(drawn(encoder, "train", epoch + 1), folder, f"train_{epoch}", encoder.seed)
    _write(drawn(encoder, "valid", 0), folder, "valid", encoder.seed)
    _write(drawn(encoder, "test", 0), folder, "test", encoder.seed)
    num_rows = len(drawn(encoder, "train", 1))
    batches = math.ceil(len(dataset.requests("train")) / batch_size)
    description = {
        "fields": dict(zip(names, dataset.features.field_sizes, strict=True)),
        "length": encoder.max_length,
        "num_epochs": num_epochs,
        "batch_rows": math.ceil(num_rows / batches),
        **sizes,
    }
    scratch = folder / f".{DESCRIPTION}"
    scratch.write_text(json.dumps(description, indent=1), encoding="utf-8")
    scratch.replace(folder / DESCRIPTION)


def field_names(encoder: ImpressionEncoder) -> list[str]:
    """Return a name for each field of an item; the features name all categories alike."""
    return [f"{name}_{number}" for number, name in enumerate(encoder.features.field_names)]


def read_rows(folder: Path, part: str) -> pl.DataFrame:
    """Return the rows of a file in edpipe's order: ``student, item, history, clicked``."""
    found = pl.read_parquet(folder / f"{part}.parquet").sort("row")
    return found.select(
        student=pl.col("user_index"),
        item=pl.col("item_index") - 1,
        history=pl.col("seq_len"),
        clicked=pl.col("label") > 0,
    )


def write_asked(encoder: ImpressionEncoder, students: list[int], items: list[int], folder: Path) -> None:
    """Write `asked.parquet`: each item for each student after all that the student did."""
    bounds = np.asarray(encoder.dataset.columns["offsets"])
    lengths = np.diff(bounds)[students]
    pl.DataFrame(
        {
            "user_index": np.repeat(students, len(items)),
            "seq_len": np.repeat(lengths, len(items)),
            "item_index": np.tile(np.asarray(items) + 1, len(students)),
            "label": np.zeros(len(items) * len(students), dtype=np.int64),
        }
    ).write_parquet(folder / "asked.parquet")


def _write(rows: pl.DataFrame, folder: Path, name: str, seed: int) -> None:
    """Write rows in random order, the one with the longest history last.

    FuxiCTR pads to the longest history of a batch and fails where that is shorter than its short window; the
    last batch may be small.
    """
    order = np.random.default_rng([seed, *name.encode()]).permutation(len(rows))
    longest = int(rows["history"].to_numpy()[order].argmax())
    order[[longest, -1]] = order[[-1, longest]]
    pl.DataFrame(
        {
            "row": order,
            "user_index": rows["student"].to_numpy()[order],
            "seq_len": rows["history"].to_numpy()[order],
            "item_index": rows["item"].to_numpy()[order] + 1,
            # An integer: FuxiCTR stacks all columns, and a float would turn the numbers of items into floats.
            "label": rows["clicked"].to_numpy()[order].astype(np.int64),
        }
    ).cast(pl.Int64).write_parquet(folder / f"{name}.parquet")
