"""Training examples of knowledge tracing as memory-mapped columns.

A dataset is a folder named by its fingerprint: one ``.npy`` file a column, the rows of a student side by
side in order, `offsets.npy` with where each student starts, and `dataset.json` with the vocabulary. Nothing
of the size of the data is ever held in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.columns import Array, read_column
from edpipe.datasets.dataset_folder import read_description
from edpipe.datasets.vocabulary import UNKNOWN, Vocabulary
from edpipe.datasets.windows import Windows, cut_windows
from edpipe.errors import TrainingError

Steps = Literal["questions", "rows"]
Split = Literal["train", "valid", "test"]

FORMAT = 1
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
# Readers of the published four-line files cut students into pieces of this many rows.
PIECE_LENGTH = 200

# Column `kc` of a row without a KC: the last place of a table that ends with the unknown one.
NO_KC = -1

STEP_COLUMNS: dict[str, type] = {
    "interaction_number": np.int32,
    "item": np.int32,
    "is_correct": np.int8,
    "elapsed_seconds": np.float32,
    "lag_seconds": np.float32,
}
# What a source row has and a question has not: the one KC it stands for, and where it stands.
ROW_COLUMNS: dict[str, type] = {"kc": np.int32, "is_first_row": np.bool_}
STUDENT_COLUMNS: dict[str, type] = {"student_key": np.int64, "split": np.int8, "offsets": np.int64}


@dataclass(frozen=True, eq=False)
class TracingDataset:
    """Answers of many students, read from a folder that :func:`write_tracing_dataset` wrote.

    Attributes
    ----------
    folder
        Where the columns lie.
    fingerprint
        SHA-256 of all columns and the catalog, shortened; equal data have equal fingerprints.
    source
        Source of the answers.
    steps
        ``questions``: one step a question with its KC set. ``rows``: one step a source row with one KC.
    columns
        Memory-mapped columns by name.
    item_keys
        Keys of the catalog's items; column ``item`` points into it.
    item_ids
        Published ids of these items.
    item_kcs
        Published KC ids of each of these items.
    kc_keys, kc_ids
        Keys and published ids of the catalog's KCs.
    vocabulary
        What training rows contain.
    """

    folder: Path
    fingerprint: str
    source: str
    steps: Steps
    columns: Mapping[str, Array]
    item_keys: NDArray[np.int64]
    item_ids: tuple[str, ...]
    item_kcs: tuple[tuple[str, ...], ...]
    kc_keys: NDArray[np.int64]
    kc_ids: tuple[str, ...]
    vocabulary: Vocabulary

    @cached_property
    def kc_members(self) -> NDArray[np.int64]:
        """Rows of ``kc_keys`` for each item of the catalog, right-padded with -1."""
        place = {kc: index for index, kc in enumerate(self.kc_ids)}
        width = max((len(kcs) for kcs in self.item_kcs), default=0)
        members = np.full((len(self.item_kcs), width), -1, dtype=np.int64)
        for item, kcs in enumerate(self.item_kcs):
            members[item, : len(kcs)] = [place[kc] for kc in kcs]
        return members

    @property
    def num_steps(self) -> int:
        """Number of steps of all students."""
        return len(self.columns["item"])

    @property
    def num_students(self) -> int:
        """Number of students."""
        return len(self.columns["student_key"])

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each student's steps start, and the end at last. Shape ``(num_students + 1,)``."""
        return np.asarray(self.columns["offsets"])

    def students(self, split: Split | None = None) -> NDArray[np.int64]:
        """Return the rows of the students of ``split``, or of all."""
        if split is None:
            return np.arange(self.num_students)
        return np.flatnonzero(self.columns["split"] == SPLITS.index(split))

    def windows(self, split: Split | None, context_length: int, *, overlap: bool) -> Windows:
        """Return windows of the students of ``split``; see :func:`~edpipe.datasets.windows.cut_windows`.

        Parameters
        ----------
        split
            Students to take; None takes all.
        context_length
            Most steps of a window. Source rows are cut at 200 whatever is asked for, without overlap, as
            the published results with this protocol were.
        overlap
            Whether later windows begin with half a window of history that is not scored.

        Raises
        ------
        TrainingError
            If the split has no student.
        """
        students = self.students(split)
        if len(students) == 0:
            raise TrainingError(
                f"No student is in the split {split!r}.",
                where=f"dataset `{self.folder}`",
                found=f"{self.num_students} students in all",
                expected="at least one student in each of train, valid and test",
                next_step="Ingest more students or raise `split.valid`, `split.test`; then `edpipe build`.",
                state="Nothing was trained.",
            )
        if self.steps == "rows":
            return cut_windows(self.offsets, students, length=PIECE_LENGTH)
        history = context_length // 2 if overlap else 0
        return cut_windows(self.offsets, students, length=context_length, overlap=history)

    def count_steps(self, split: Split) -> int:
        """Return how many steps the students of ``split`` have."""
        students = self.students(split)
        return int((self.offsets[students + 1] - self.offsets[students]).sum())

    def item_numbers(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """Return the number that ``vocabulary`` gives to each item of the catalog."""
        return vocabulary.item_numbers(self.item_ids)

    def kc_table(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """Return the KC numbers of each item of the catalog, unseen items included.

        An item without a KC has the unknown one. Shape ``(num catalog items, width)``.
        """
        table = vocabulary.kc_sets(self.item_kcs)
        table[table.sum(axis=1) == 0, 0] = UNKNOWN
        return table


def read_tracing_dataset(folder: Path) -> TracingDataset:
    """Open a dataset without reading its columns.

    Raises
    ------
    TrainingError
        If the folder holds no finished dataset of this format.
    """
    values = read_description(folder, known_format=FORMAT, remedy="run `edpipe train tracing`")
    names = [*STEP_COLUMNS, *STUDENT_COLUMNS, *(ROW_COLUMNS if values["steps"] == "rows" else ())]
    catalog = values["catalog"]
    return TracingDataset(
        folder=folder,
        fingerprint=values["fingerprint"],
        source=values["source"],
        steps=values["steps"],
        columns={name: read_column(folder / f"{name}.npy") for name in names},
        item_keys=np.array(catalog["item_keys"], dtype=np.int64),
        item_ids=tuple(catalog["item_ids"]),
        item_kcs=tuple(tuple(kcs) for kcs in catalog["item_kcs"]),
        kc_keys=np.array(catalog["kc_keys"], dtype=np.int64),
        kc_ids=tuple(catalog["kc_ids"]),
        vocabulary=Vocabulary.from_dict(values["vocabulary"]),
    )
