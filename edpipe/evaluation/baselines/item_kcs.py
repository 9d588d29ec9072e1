"""Items and their KCs as flat arrays, and histories as offsets: what the compiled loops read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.evaluation.metrics import Int

Int32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ItemKcs:
    """The KC sets of items: those of item ``i`` are ``kcs[starts[i] : starts[i + 1]]``.

    Parameters
    ----------
    starts
        Offsets by item key. Shape ``(largest_item_key + 2,)``.
    kcs
        KCs as positions in ``kc_keys``. Shape ``(num_pairs,)``.
    kc_keys
        Keys in ascending order. Shape ``(num_kcs,)``.
    """

    starts: Int
    kcs: Int32
    kc_keys: Int

    @property
    def num_kcs(self) -> int:
        """Number of KCs."""
        return len(self.kc_keys)

    @classmethod
    def from_frame(cls, item_kcs: pl.DataFrame) -> ItemKcs:
        """Read ``item_key, kc_key``; a repeated pair counts once, a null KC not at all."""
        pairs = (
            item_kcs.select(pl.col("item_key").cast(pl.Int64), pl.col("kc_key").cast(pl.Int64))
            .drop_nulls()
            .unique()
            .sort("item_key", "kc_key")
        )
        kc_keys, kcs = np.unique(pairs["kc_key"].to_numpy(), return_inverse=True)
        counts = np.bincount(pairs["item_key"].to_numpy(), minlength=1)
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return cls(starts, kcs.astype(np.int32), kc_keys)


@dataclass(frozen=True, slots=True)
class Histories:
    """Answers of students one after another: student ``s`` has rows ``starts[s]`` to ``starts[s + 1]``.

    Parameters
    ----------
    starts
        Offsets by student. Shape ``(num_students + 1,)``.
    items
        Item keys. Shape ``(num_rows,)``.
    correct
        1 for right, 0 for wrong. Shape ``(num_rows,)``.
    """

    starts: Int
    items: Int
    correct: NDArray[np.uint8]

    @classmethod
    def from_ordered(cls, rows: pl.DataFrame) -> Histories:
        """Read rows that stand by student and interaction number."""
        students = rows["student_key"].to_numpy()
        changes = np.flatnonzero(students[1:] != students[:-1]) + 1
        starts = np.concatenate(([0], changes, [len(students)])).astype(np.int64)
        return cls(
            starts if len(students) else np.zeros(1, dtype=np.int64),
            rows["item_key"].cast(pl.Int64).to_numpy(),
            rows["is_correct"].cast(pl.UInt8).to_numpy(),
        )
