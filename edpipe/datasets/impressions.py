"""Behaviors of students and the targets of a recommender, as memory-mapped columns.

A dataset is a folder named by its fingerprint: one ``.npy`` file a column, the behaviors of a student side by
side, oldest first, without padding; `features.json` with the feature map, `catalog.parquet` with the items,
`dataset.json` with the account. Nothing of the size of the data is ever held in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.columns import Array, read_column
from edpipe.datasets.dataset_folder import read_description
from edpipe.datasets.impressions_features import FeatureMap
from edpipe.errors import TrainingError
from edpipe.setting_groups_recommendation import LogName, Target

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
FORMAT = 1
NO_TIME = 0

# `item` is a row of the catalog, `outcome` a row of the outcomes, -1 where there is none.
BEHAVIOR_COLUMNS: dict[str, type] = {"item": np.int32, "outcome": np.int32, "milliseconds": np.int64}
# `seen` holds what each student ever met, rising; `train_end` is where a student's training rows end.
STUDENT_COLUMNS: dict[str, type] = {
    "student_key": np.int64,
    "offsets": np.int64,
    "seen": np.int32,
    "seen_offsets": np.int64,
    "train_end": np.int64,
}
# `position` and `history_end` are places in the behaviors.
TARGET_COLUMNS: dict[str, type] = {
    "position": np.int64,
    "history_end": np.int64,
    "requested_milliseconds": np.int64,
    "clicked": np.int8,
}
# Neighboring targets that share their history are one request.
REQUEST_COLUMNS: dict[str, type] = {"request_offsets": np.int64, "student": np.int32, "split": np.int8}
COLUMNS = {**BEHAVIOR_COLUMNS, **STUDENT_COLUMNS, **TARGET_COLUMNS, **REQUEST_COLUMNS, "popularity": np.int64}


@dataclass(frozen=True, slots=True)
class ImpressionOptions:
    """What makes two datasets of one log different.

    Attributes
    ----------
    source, log_name, target
        What is learned from, and what is foretold.
    valid, test
        Shares of each student's targets; those of the test are the latest.
    min_history
        Behaviors that must stand before a target.
    num_categories
        Categories of an item that are shown.
    """

    source: str
    log_name: LogName
    target: Target
    valid: float = 0.1
    test: float = 0.1
    min_history: int = 1
    num_categories: int = 3


@dataclass(frozen=True, eq=False)
class ImpressionDataset:
    """Behaviors and targets, read from a folder that :func:`write_impression_dataset` wrote.

    Attributes
    ----------
    folder
        Where the columns lie.
    fingerprint
        SHA-256 of all columns, the catalog and the options, shortened.
    options
        What was asked for.
    columns
        Memory-mapped columns by name.
    outcomes
        Words for outcomes; column ``outcome`` points into them.
    account
        What became of every behavior: targets by part of the split, others by the rule that left them out.
    features
        What training rows hold.
    """

    folder: Path
    fingerprint: str
    options: ImpressionOptions
    columns: Mapping[str, Array]
    outcomes: tuple[str, ...]
    account: Mapping[str, int]
    features: FeatureMap

    @cached_property
    def catalog(self) -> pl.DataFrame:
        """Items: ``catalog_key, item_id, category_ids, part``; column ``item`` points into it."""
        return pl.read_parquet(self.folder / "catalog.parquet")

    @property
    def num_behaviors(self) -> int:
        """Number of behaviors of all students."""
        return len(self.columns["item"])

    @property
    def num_students(self) -> int:
        """Number of students."""
        return len(self.columns["student_key"])

    @property
    def num_requests(self) -> int:
        """Number of requests of all splits."""
        return len(self.columns["split"])

    def requests(self, split: Split) -> NDArray[np.int64]:
        """Return the numbers of the requests of a part of the split.

        Raises
        ------
        TrainingError
            If there is none.
        """
        found = np.flatnonzero(self.columns["split"] == SPLITS.index(split))
        if len(found) == 0:
            raise TrainingError(
                f"No target is in the split {split!r}.",
                where=f"dataset `{self.folder}`",
                found=", ".join(f"{name} {count:,}" for name, count in self.account.items()),
                expected="students with enough targets for each of train, valid and test",
                next_step="Ingest longer logs, lower `recommendation.min_history`, or raise "
                "`recommendation.valid` and `recommendation.test`.",
                state="Nothing was trained.",
            )
        return found

    def history_lengths(self, requests: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many behaviors were known at each request."""
        first = np.asarray(self.columns["request_offsets"])[requests]
        starts = np.asarray(self.columns["offsets"])[self.columns["student"][requests]]
        return np.asarray(self.columns["history_end"][first] - starts)


def read_impression_dataset(folder: Path) -> ImpressionDataset:
    """Open a dataset without reading its columns.

    Raises
    ------
    TrainingError
        If the folder holds no finished dataset of this format.
    """
    values = read_description(folder, known_format=FORMAT, remedy="make it from the warehouse again")
    return ImpressionDataset(
        folder=folder,
        fingerprint=values["fingerprint"],
        options=ImpressionOptions(**values["options"]),
        columns={name: read_column(folder / f"{name}.npy") for name in COLUMNS},
        outcomes=tuple(values["outcomes"]),
        account=values["account"],
        features=FeatureMap.load(folder / "features.json"),
    )
