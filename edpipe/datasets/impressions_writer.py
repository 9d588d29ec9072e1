"""Write behaviors and targets as columns of an :class:`~edpipe.datasets.impressions.ImpressionDataset`."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.columns import Array, ColumnWriter, read_column
from edpipe.datasets.dataset_folder import settle
from edpipe.datasets.impressions import (
    BEHAVIOR_COLUMNS,
    COLUMNS,
    FORMAT,
    SPLITS,
    TARGET_COLUMNS,
    ImpressionDataset,
    ImpressionOptions,
    read_impression_dataset,
)
from edpipe.datasets.impressions_features import FeatureMap
from edpipe.datasets.impressions_fit import fit_features
from edpipe.datasets.impressions_split import count_rows, request_starts, split_requests, train_ends
from edpipe.errors import TrainingError

FINGERPRINT_LENGTH = 16
CATALOG = ("catalog_key", "item_id", "category_ids", "part")
# Written while the pieces pass; the others are computed from them.
_PASSING = [*BEHAVIOR_COLUMNS, *TARGET_COLUMNS, "student_key", "offsets", "seen", "seen_offsets", "owner"]


def write_impression_dataset(
    folder: Path,
    sequences: Iterable[pl.DataFrame],
    examples: Iterable[pl.DataFrame],
    *,
    catalog: pl.DataFrame,
    outcomes: pl.DataFrame,
    options: ImpressionOptions,
) -> ImpressionDataset:
    """Write a log's behaviors and targets to ``folder/<fingerprint>`` and open them.

    The folder appears by rename when all is written; if equal data lie there already, they are kept.

    Parameters
    ----------
    folder
        Parent of the datasets.
    sequences
        Pieces in order of student: ``student_key, num_behaviors, catalog_keys, outcome_keys,
        acted_milliseconds, earlier_catalog_keys``, as in ``features.behavior_sequences``.
    examples
        Pieces in order of student and behavior, targets only: ``student_key, behavior_number,
        history_length, requested_milliseconds, clicked``.
    catalog
        Items that the sequences name: ``catalog_key, item_id, category_ids, part``.
    outcomes
        ``outcome_key, outcome``.
    options
        What is learned, and how students' targets are split.

    Raises
    ------
    TrainingError
        If students or their targets are not in order, a key is not in the catalog, or there is no target.
    """
    folder.mkdir(parents=True, exist_ok=True)
    catalog, outcomes = catalog.sort("catalog_key").select(CATALOG), outcomes.sort("outcome_key")
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as name:
        scratch = Path(name)
        writer = _Writer(scratch, catalog, outcomes, options)
        with writer:
            for frame in sequences:
                writer.add_sequences(frame)
            writer.end_sequences()
            for frame in examples:
                writer.add_targets(frame)
        account, features = writer.finish()
        catalog.write_parquet(scratch / "catalog.parquet")
        features.save(scratch / "features.json")
        description = {
            "format": FORMAT,
            "fingerprint": writer.fingerprint(catalog),
            "options": asdict(options),
            "outcomes": outcomes["outcome"].to_list(),
            "account": account,
        }
        target = settle(scratch, folder, description)
    return read_impression_dataset(target)


class _Writer:
    """The columns being written, and what is counted on the way."""

    def __init__(
        self, folder: Path, catalog: pl.DataFrame, outcomes: pl.DataFrame, options: ImpressionOptions
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._outcomes = outcomes
        self._options = options
        self._keys = catalog["catalog_key"].to_numpy().astype(np.int64)
        self._outcome_keys = outcomes["outcome_key"].to_numpy().astype(np.int64)
        self._files = ExitStack()
        self._columns: dict[str, ColumnWriter] = {}
        self._hashes = {name: hashlib.sha256() for name in COLUMNS}
        self._rows = self._seen = self._all_behaviors = self._read_targets = 0
        self._last_student, self._last_target = -1, (-1, -1)
        self._counts = {"before the kept sequence": 0, "short history": 0}
        self._students: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._offsets = self._dropped = self._students
        self._kept: list[tuple[Array, Array, Array]] = []

    def __enter__(self) -> _Writer:
        for name in _PASSING:
            column = ColumnWriter(self._folder / f"{name}.npy", COLUMNS.get(name, np.int32))
            self._columns[name] = self._files.enter_context(column)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._files.close()

    def add_sequences(self, frame: pl.DataFrame) -> None:
        """Write the behaviors of some students."""
        if frame.is_empty():
            return
        students = frame["student_key"].to_numpy().astype(np.int64)
        if (np.diff(students, prepend=self._last_student) <= 0).any():
            raise _wrong(
                "The students are not ordered.", "student_key", str(students[0]), "each once, rising"
            )
        self._last_student = int(students[-1])
        lengths = frame["catalog_keys"].list.len().to_numpy().astype(np.int64)
        self._append("item", _positions(self._keys, _flat(frame["catalog_keys"]), "catalog_keys"))
        outcome = _flat(frame["outcome_keys"])
        known = np.full(len(outcome), -1)
        known[outcome > 0] = _positions(self._outcome_keys, outcome[outcome > 0], "outcome_keys")
        self._append("outcome", known)
        self._append("milliseconds", _flat(frame["acted_milliseconds"]))
        met = frame.select(
            pl.concat_list("catalog_keys", "earlier_catalog_keys").list.unique().list.sort()
        ).to_series()
        self._append("seen", _positions(self._keys, _flat(met), "earlier_catalog_keys"))
        self._append("student_key", students)
        self._append("offsets", self._rows + np.cumsum(lengths) - lengths)
        numbers = met.list.len().to_numpy().astype(np.int64)
        self._append("seen_offsets", self._seen + np.cumsum(numbers) - numbers)
        total = frame["num_behaviors"].to_numpy().astype(np.int64)
        self._kept.append((students, self._rows + np.cumsum(lengths) - lengths, total - lengths))
        self._rows += int(lengths.sum())
        self._seen += int(numbers.sum())
        self._all_behaviors += int(total.sum())

    def end_sequences(self) -> None:
        """Close the behaviors: targets follow, and point into them."""
        self._append("offsets", np.array([self._rows]))
        self._append("seen_offsets", np.array([self._seen]))
        if self._kept:
            parts = [np.concatenate(column) for column in zip(*self._kept, strict=True)]
            self._students, self._offsets, self._dropped = parts
        self._kept = []

    def add_targets(self, frame: pl.DataFrame) -> None:
        """Write some targets; those that cannot be asked are counted by the rule that leaves them out."""
        if frame.is_empty():
            return
        student = _positions(self._students, frame["student_key"].to_numpy().astype(np.int64), "student_key")
        number = frame["behavior_number"].to_numpy().astype(np.int64)
        place = np.stack([student, number])
        before = np.concatenate([np.array([self._last_target]).T, place[:, :-1]], axis=1)
        if not ((student > before[0]) | ((student == before[0]) & (number > before[1]))).all():
            raise _wrong(
                "The targets are not ordered.", "behavior_number", str(number[0]), "each once, rising"
            )
        self._last_target = (int(student[-1]), int(number[-1]))
        start, dropped = self._offsets[student], self._dropped[student]
        history = frame["history_length"].to_numpy().astype(np.int64) - dropped
        is_kept = number > dropped
        is_long = history >= self._options.min_history
        self._counts["before the kept sequence"] += int((~is_kept).sum())
        self._counts["short history"] += int((is_kept & ~is_long).sum())
        self._read_targets += len(frame)
        chosen = is_kept & is_long
        self._append("owner", student[chosen])
        self._append("position", (start + number - dropped - 1)[chosen])
        self._append("history_end", (start + np.maximum(history, 0))[chosen])
        milliseconds = frame["requested_milliseconds"].fill_null(0).to_numpy()
        self._append("requested_milliseconds", milliseconds[chosen])
        self._append("clicked", frame["clicked"].cast(pl.Int8).to_numpy()[chosen])

    def finish(self) -> tuple[dict[str, int], FeatureMap]:
        """Write what follows from all targets together; return the account and what training rows hold."""
        columns = {name: read_column(self._folder / f"{name}.npy") for name in _PASSING}
        owner = np.asarray(columns["owner"]).astype(np.int64)
        if len(owner) == 0:
            raise TrainingError(
                f"There is no target {self._options.target!r} to learn from.",
                where="relation `training.recommendation_examples`",
                found=f"source {self._options.source!r}, log {self._options.log_name!r}: "
                f"{self._all_behaviors:,} behaviors, {self._read_targets:,} targets, of which "
                f"{self._counts['short history']:,} with a history shorter than {self._options.min_history}",
                next_step="Check `recommendation.source`, `.log`, `.target` and `.min_history`; run `edpipe "
                "ingest` and `edpipe build`.",
                state="Nothing was trained.",
            )
        starts = request_starts(owner, np.asarray(columns["history_end"]))
        split = split_requests(owner, starts, valid=self._options.valid, test=self._options.test)
        student, end = owner[starts], np.asarray(columns["history_end"])[starts]
        offsets = np.asarray(columns["offsets"])
        ends = train_ends(offsets, student, end, split)
        counts = {
            name: np.zeros(size, dtype=np.int64)
            for name, size in (("item", len(self._keys)), ("outcome", len(self._outcome_keys)))
        }
        for name, found in counts.items():
            count_rows(offsets, ends, columns[name], found)
        computed = {
            "request_offsets": np.append(starts, len(owner)),
            "student": student,
            "split": split,
            "train_end": ends,
            "popularity": counts["item"],
        }
        for name, values in computed.items():
            with ColumnWriter(self._folder / f"{name}.npy", COLUMNS[name]) as column:
                self._columns[name] = column
                self._append(name, values)
        (self._folder / "owner.npy").unlink()
        features = fit_features(
            self._catalog,
            self._outcomes["outcome"].to_list(),
            counts,
            columns,
            student=student,
            first=starts[split == 0],
            requests=np.flatnonzero(split == 0),
            num_categories=self._options.num_categories,
        )
        return self._account(starts, split, len(owner)), features

    def fingerprint(self, catalog: pl.DataFrame) -> str:
        """Return the digest of columns, catalog and options."""
        digests = {name: digest.hexdigest() for name, digest in self._hashes.items()}
        items = hashlib.sha256(json.dumps(catalog.rows()).encode()).hexdigest()
        words = self._outcomes["outcome"].to_list()
        content = json.dumps([FORMAT, asdict(self._options), digests, items, words]).encode()
        return hashlib.sha256(content).hexdigest()[:FINGERPRINT_LENGTH]

    def _account(self, starts: NDArray[np.int64], split: Array, num_targets: int) -> dict[str, int]:
        sizes = np.diff(np.append(starts, num_targets))
        of_split = {name: int(sizes[split == place].sum()) for place, name in enumerate(SPLITS)}
        no_target = self._all_behaviors - self._read_targets
        return {"behaviors": self._all_behaviors, **of_split, "no target": no_target, **self._counts}

    def _append(self, name: str, values: Array) -> None:
        piece: Array = np.ascontiguousarray(values, dtype=COLUMNS.get(name, np.int32))
        self._columns[name].append(piece)
        if name in self._hashes:
            self._hashes[name].update(piece.tobytes())


def _flat(lists: pl.Series) -> NDArray[np.int64]:
    return lists.list.explode(empty_as_null=False, keep_nulls=False).to_numpy().astype(np.int64)


def _positions(keys: NDArray[np.int64], wanted: NDArray[np.int64], column: str) -> NDArray[np.int64]:
    """Return where each wanted key stands in the sorted ``keys``."""
    found = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    missing = wanted if len(keys) == 0 else wanted[keys[found] != wanted]
    if len(missing):
        raise _wrong("A row names a key that is not known.", column, str(missing[0]), "a known key")
    return found


def _wrong(what: str, column: str, found: str, expected: str) -> TrainingError:
    return TrainingError(
        what,
        where=f"relations of behaviors, column `{column}`",
        found=found,
        expected=expected,
        next_step="Run `edpipe build --full`; if it stays, the SQL model is at fault.",
        state="Nothing was written.",
    )
