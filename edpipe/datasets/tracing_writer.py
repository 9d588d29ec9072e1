"""Write training examples as the columns of a :class:`~edpipe.datasets.tracing.TracingDataset`."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.columns import Array, ColumnWriter
from edpipe.datasets.dataset_folder import settle
from edpipe.datasets.tracing import (
    FORMAT,
    NO_KC,
    ROW_COLUMNS,
    SPLITS,
    STEP_COLUMNS,
    STUDENT_COLUMNS,
    Steps,
    TracingDataset,
    read_tracing_dataset,
)
from edpipe.datasets.vocabulary import TimeMoments, Vocabulary
from edpipe.errors import TrainingError

FINGERPRINT_LENGTH = 16


@dataclass(frozen=True)
class Catalog:
    """Items and KCs of one source, by key.

    Attributes
    ----------
    items
        Columns ``item_key``, ``item_id`` and ``kc_keys`` (a list).
    kcs
        Columns ``kc_key`` and ``kc_id``.
    """

    items: pl.DataFrame
    kcs: pl.DataFrame


def write_tracing_dataset(
    folder: Path, frames: Iterable[pl.DataFrame], catalog: Catalog, *, source: str, steps: Steps
) -> TracingDataset:
    """Write the examples in ``frames`` to ``folder/<fingerprint>`` and open them.

    The folder appears by rename when all is written; if equal data lie there already, they are kept.

    Parameters
    ----------
    folder
        Parent of the datasets.
    frames
        Pieces in order of student and step. For ``questions``: ``student_key, split, interaction_number,
        item_key, is_correct, elapsed_seconds, lag_seconds``, the last two possibly null. For ``rows``:
        ``student_key, split, row_number, item_key, kc_key, is_correct, is_first_row``.
    catalog
        Items and KCs that the pieces name.
    source
        Name of the source, kept with the data.
    steps
        What one row is.

    Raises
    ------
    TrainingError
        If a student's rows are not side by side and in order, a student is in two splits, an item is not in
        the catalog, or there is no row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as name:
        scratch = Path(name)
        writer = _Writer(scratch, catalog, steps)
        with writer:
            for frame in frames:
                writer.add(frame)
        description = writer.describe(source)
        target = settle(scratch, folder, description)
    return read_tracing_dataset(target)


class _Writer:
    """The columns being written, and what is learned on the way."""

    def __init__(self, folder: Path, catalog: Catalog, steps: Steps) -> None:
        self._folder = folder
        self._steps = steps
        self._types = {**STEP_COLUMNS, **STUDENT_COLUMNS, **(ROW_COLUMNS if steps == "rows" else {})}
        items = catalog.items.sort("item_key")
        kcs = catalog.kcs.sort("kc_key")
        self._item_keys = items["item_key"].to_numpy().astype(np.int64)
        self._item_ids = [str(name) for name in items["item_id"]]
        self._kc_keys = kcs["kc_key"].to_numpy().astype(np.int64)
        self._kc_ids = [str(name) for name in kcs["kc_id"]]
        name_of = dict(zip(self._kc_keys.tolist(), self._kc_ids, strict=True))
        self._item_kcs = [sorted(name_of[key] for key in keys or ()) for keys in items["kc_keys"].to_list()]
        self._files = ExitStack()
        self._columns: dict[str, ColumnWriter] = {}
        self._trained_items = np.zeros(len(self._item_keys), dtype=bool)
        self._trained_kcs = np.zeros(len(self._kc_keys), dtype=bool)
        self._moments = {"elapsed_seconds": TimeMoments(), "lag_seconds": TimeMoments()}
        self._rows = 0
        self._last = (-1, -1, -1)  # student, number, split
        # One hash a column, so that equal data cut into other pieces have the same fingerprint.
        self._hashes = {name: hashlib.sha256() for name in self._types}

    def __enter__(self) -> _Writer:
        for name, dtype in self._types.items():
            column = ColumnWriter(self._folder / f"{name}.npy", dtype)
            self._columns[name] = self._files.enter_context(column)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._append("offsets", np.array([self._rows]))
        self._files.close()

    def add(self, frame: pl.DataFrame) -> None:
        """Write one piece."""
        if frame.is_empty():
            return
        number = "interaction_number" if self._steps == "questions" else "row_number"
        students = frame["student_key"].to_numpy().astype(np.int64)
        numbers = frame[number].to_numpy().astype(np.int64)
        splits = self._split_numbers(frame["split"])
        starts = self._check_order(students, numbers, splits)
        items = _positions(self._item_keys, frame["item_key"], "item_key")
        self._append("interaction_number", numbers)
        self._append("item", items)
        self._append("is_correct", frame["is_correct"].cast(pl.Int8).to_numpy())
        in_training = splits == SPLITS.index("train")
        self._trained_items[items[in_training]] = True
        for name, moments in self._moments.items():
            seconds = _seconds(frame, name)
            self._append(name, seconds)
            moments.add(seconds[in_training])
        if self._steps == "rows":
            has_kc = frame["kc_key"].is_not_null()
            kcs = np.full(len(frame), NO_KC)
            kcs[has_kc.to_numpy()] = _positions(self._kc_keys, frame["kc_key"].drop_nulls(), "kc_key")
            self._append("kc", kcs)
            self._append("is_first_row", frame["is_first_row"].to_numpy())
            self._trained_kcs[kcs[in_training & (kcs != NO_KC)]] = True
        self._append("student_key", students[starts])
        self._append("split", splits[starts])
        self._append("offsets", starts + self._rows)
        self._rows += len(frame)

    def describe(self, source: str) -> dict[str, Any]:
        """Return the content of `dataset.json`."""
        if self._rows == 0:
            raise TrainingError(
                "There is no example to train on.",
                where=f"relation `training.tracing_{'rows' if self._steps == 'rows' else 'examples'}`",
                found=f"no row of source {source!r}",
                next_step="Check `tracing.source`; run `edpipe ingest` and `edpipe build`.",
                state="Nothing was trained.",
            )
        catalog = {
            "item_keys": self._item_keys.tolist(),
            "item_ids": self._item_ids,
            "item_kcs": self._item_kcs,
            "kc_keys": self._kc_keys.tolist(),
            "kc_ids": self._kc_ids,
        }
        digests = {name: digest.hexdigest() for name, digest in self._hashes.items()}
        content = json.dumps([FORMAT, source, self._steps, catalog, digests]).encode()
        return {
            "format": FORMAT,
            "fingerprint": hashlib.sha256(content).hexdigest()[:FINGERPRINT_LENGTH],
            "source": source,
            "steps": self._steps,
            "catalog": catalog,
            "vocabulary": self._vocabulary().to_dict(),
        }

    def _vocabulary(self) -> Vocabulary:
        known = np.flatnonzero(self._trained_items)
        if self._steps == "questions":
            trained_kcs = {kc for item in known for kc in self._item_kcs[item]}
        else:
            trained_kcs = {self._kc_ids[index] for index in np.flatnonzero(self._trained_kcs)}
        kc_ids = tuple(kc for kc in self._kc_ids if kc in trained_kcs)
        item_ids = tuple(self._item_ids[index] for index in known)
        bare = Vocabulary(item_ids, kc_ids, np.zeros((0, 1), dtype=np.int64))
        sets = bare.kc_sets([(), (), *(self._item_kcs[index] for index in known)])
        return Vocabulary(
            item_ids,
            kc_ids,
            sets,
            self._moments["elapsed_seconds"].scaler(),
            self._moments["lag_seconds"].scaler(),
        )

    def _append(self, name: str, values: Array) -> None:
        piece: Array = np.ascontiguousarray(values, dtype=self._types[name])
        self._columns[name].append(piece)
        self._hashes[name].update(piece.tobytes())

    def _split_numbers(self, splits: pl.Series) -> NDArray[np.int64]:
        numbers = splits.replace_strict(list(SPLITS), list(range(len(SPLITS))), default=-1)
        result: NDArray[np.int64] = numbers.to_numpy().astype(np.int64)
        if (result < 0).any():
            found = splits.filter(numbers == -1)[0]
            raise _wrong("A split has an unknown name.", "split", repr(found), "train, valid or test")
        return result

    def _check_order(
        self, students: NDArray[np.int64], numbers: NDArray[np.int64], splits: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return where a student begins in this piece, after looking at order and splits."""
        last_student, last_number, last_split = self._last
        before = np.concatenate([[last_student], students[:-1]])
        begins = students != before
        number_before = np.concatenate([[last_number], numbers[:-1]])
        split_before = np.concatenate([[last_split], splits[:-1]])
        if (students < before).any() or (~begins & (numbers <= number_before)).any():
            raise _wrong(
                "The examples are not ordered.",
                "student_key",
                f"student {int(students[0])} and after",
                "rows ordered by student and number, each number once",
            )
        if (~begins & (splits != split_before)).any():
            raise _wrong(
                "A student is in two splits.", "split", "a change inside a student", "one split each"
            )
        self._last = (int(students[-1]), int(numbers[-1]), int(splits[-1]))
        return np.flatnonzero(begins)


def _positions(keys: NDArray[np.int64], wanted: pl.Series, column: str) -> NDArray[np.int64]:
    """Return where each wanted key stands in the sorted ``keys``."""
    values = wanted.to_numpy().astype(np.int64)
    found = np.minimum(np.searchsorted(keys, values), max(len(keys) - 1, 0))
    missing = values if len(keys) == 0 else values[keys[found] != values]
    if len(missing):
        raise _wrong(
            "An example names a key that the catalog does not have.", column, str(missing[0]), "a known key"
        )
    return found


def _seconds(frame: pl.DataFrame, name: str) -> NDArray[np.float32]:
    """Return a column of seconds with NaN where it is null or absent."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan, dtype=np.float32)
    return frame[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _wrong(what: str, column: str, found: str, expected: str) -> TrainingError:
    return TrainingError(
        what,
        where=f"training relation, column `{column}`",
        found=found,
        expected=expected,
        next_step="Run `edpipe build --full`; if it stays, the SQL model is at fault.",
        state="Nothing was written.",
    )
