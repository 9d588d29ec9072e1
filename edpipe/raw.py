"""The raw layer as a contract: which relations ingestion writes and the warehouse reads.

A relation is a folder ``<home>/raw/<source>/<relation>/`` of Parquet shards with a ``manifest.json``.
Only shards that the manifest lists count: a reader never sees a half-written relation, because the
manifest is replaced by rename after its shards are complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edpipe.errors import SourceError

MANIFEST_FILE = "manifest.json"
MANIFEST_VERSION = 1
TUTOR_SOURCES = ("kddcup", "datashop", "mathia")

# Column types are DuckDB's names; `student_id` stands only in member names of EdNet's archives, and
# `source_row` counts the data rows of one member or file from 1, rejected rows included.
_STUDENT_ROW = {"student_id": "VARCHAR", "source_row": "INTEGER"}
_ACTION = {
    "timestamp": "BIGINT",
    "action_type": "VARCHAR",
    "item_id": "VARCHAR",
    "source": "VARCHAR",
    "user_answer": "VARCHAR",
    "platform": "VARCHAR",
}

# What KDD Cup, DataShop and MATHia files share. `dataset` is the name of the file without `_train`,
# `_test`, `_master` or `_transactions…`; `split` is that word where there is one. Times are milliseconds
# since 1970 of the clock as written: local, in `time_zone` where the source names it, never comparable
# between students. One entry a KC model in the parallel lists; several KCs of a cell are joined by `~~`.
_TUTOR_ROW = {
    "source_file": "VARCHAR",
    "dataset": "VARCHAR",
    "split": "VARCHAR",
    "source_row": "INTEGER",
    "student_id": "VARCHAR",
    "problem_hierarchy": "VARCHAR",
    "problem_name": "VARCHAR",
    "problem_view": "INTEGER",
    "step_name": "VARCHAR",
    "condition": "VARCHAR",
    "kc_models": "VARCHAR[]",
    "kc_cells": "VARCHAR[]",
}
_TUTOR_STEP = {
    **_TUTOR_ROW,
    "opportunity_cells": "VARCHAR[]",
    "published_row": "INTEGER",  # column Row: neither dense nor from 1
    "step_start_milliseconds": "BIGINT",
    "first_transaction_milliseconds": "BIGINT",
    "correct_transaction_milliseconds": "BIGINT",
    "step_end_milliseconds": "BIGINT",
    "step_duration_seconds": "DOUBLE",
    "correct_step_duration_seconds": "DOUBLE",
    "error_step_duration_seconds": "DOUBLE",
    "first_attempt": "VARCHAR",  # correct, incorrect or hint; of 1 and 0: correct, incorrect
    "incorrects": "INTEGER",
    "hints": "INTEGER",
    "corrects": "INTEGER",
}
_TUTOR_TRANSACTION = {
    **_TUTOR_ROW,
    "published_row": "INTEGER",
    "transaction_id": "VARCHAR",
    "session_id": "VARCHAR",
    "milliseconds": "BIGINT",
    "time_zone": "VARCHAR",
    "duration_seconds": "DOUBLE",
    "student_response_type": "VARCHAR",
    "tutor_response_type": "VARCHAR",
    "problem_start_milliseconds": "BIGINT",
    "attempt_at_step": "INTEGER",
    "outcome": "VARCHAR",  # as published: CORRECT, OK, JIT, INITIAL_HINT, STUDY …
    "selection": "VARCHAR",
    "action": "VARCHAR",
    "input": "VARCHAR",
    "help_level": "INTEGER",
    "is_autofilled": "BOOLEAN",
    "field_names": "VARCHAR[]",  # columns that have no place of their own: CF (…), Feedback …, School
    "field_values": "VARCHAR[]",
}

RAW_SCHEMAS: dict[tuple[str, str], dict[str, str]] = {
    ("ednet", "kt1"): {
        **_STUDENT_ROW,
        "timestamp": "BIGINT",
        "solving_id": "INTEGER",
        "question_id": "VARCHAR",
        "user_answer": "VARCHAR",
        "elapsed_time": "BIGINT",
    },
    ("ednet", "kt2"): {**_STUDENT_ROW, **_ACTION},
    ("ednet", "kt3"): {**_STUDENT_ROW, **_ACTION},
    ("ednet", "kt4"): {**_STUDENT_ROW, **_ACTION, "cursor_time": "BIGINT"},
    ("ednet", "questions"): {
        "source_row": "INTEGER",
        "question_id": "VARCHAR",
        "bundle_id": "VARCHAR",
        "explanation_id": "VARCHAR",
        "correct_answer": "VARCHAR",
        "part": "INTEGER",
        "tags": "VARCHAR",
        "deployed_at": "BIGINT",
    },
    ("ednet", "lectures"): {
        "source_row": "INTEGER",
        "lecture_id": "VARCHAR",
        "part": "INTEGER",
        "tags": "VARCHAR",
        "video_length": "BIGINT",
        "deployed_at": "BIGINT",
    },
    ("ednet", "payments"): {
        "source_row": "INTEGER",
        "payment_item_id": "VARCHAR",
        "type": "VARCHAR",
        "duaration": "BIGINT",
        "number_of_questions": "BIGINT",
    },
    ("ednet", "coupons"): {
        "source_row": "INTEGER",
        "coupon_id": "VARCHAR",
        "coupon_type": "VARCHAR",
        "duration": "BIGINT",
    },
    # One row a source row, in file order; a problem with several KCs is repeated in two of the layouts.
    ("assistments", "answers"): {
        "source_file": "VARCHAR",
        "split": "VARCHAR",  # train, valid or test when the file name says so
        "student_id": "VARCHAR",
        "source_row": "INTEGER",  # order within the student, from 1
        "problem_id": "VARCHAR",
        "kc_id": "VARCHAR",
        "correct": "INTEGER",
        "is_original": "BOOLEAN",
        "attempt_count": "INTEGER",
        "hint_count": "INTEGER",
        "response_milliseconds": "BIGINT",
        "opportunity": "INTEGER",
    },
    ("kddcup", "steps"): _TUTOR_STEP,
    ("datashop", "steps"): _TUTOR_STEP,
    ("datashop", "transactions"): _TUTOR_TRANSACTION,
    ("mathia", "steps"): _TUTOR_STEP,
    ("mathia", "transactions"): _TUTOR_TRANSACTION,
    # What students took up, of any log: one row a published row, of lists one an entry. `dataset` is the name
    # of the folder or file, and stands before every id, because each log numbers anew.
    ("clicks", "behaviors"): {
        "source_file": "VARCHAR",
        "dataset": "VARCHAR",
        "source_row": "INTEGER",
        "student_id": "VARCHAR",
        "item_id": "VARCHAR",
        "category_ids": "VARCHAR[]",  # of the item, as this row names them; null where rows name none
        "outcome": "VARCHAR",  # as published: a rating, a kind of click, right or wrong
        "milliseconds": "BIGINT",  # since 1970; null in layouts that give an order only
    },
    ("clicks", "items"): {
        "source_file": "VARCHAR",
        "dataset": "VARCHAR",
        "source_row": "INTEGER",
        "item_id": "VARCHAR",
        "title": "VARCHAR",
        "category_ids": "VARCHAR[]",
    },
}

REJECT_SCHEMA: dict[str, str] = {
    "source": "VARCHAR",
    "relation": "VARCHAR",
    "file": "VARCHAR",
    "source_row": "INTEGER",
    "reason": "VARCHAR",
    "raw_text": "VARCHAR",
}


@dataclass(frozen=True, slots=True)
class RawInput:
    """One file or folder that was read: identity enough to see that it changed."""

    path: str
    size: int
    sha256: str = ""
    mtime_ns: int = 0
    num_members: int = 1


@dataclass(frozen=True, slots=True)
class RawShard:
    """One Parquet file of rows and, where rows were refused, one of rejects.

    In a relation of deliveries a shard of rows holds the students of one ``bucket``, and
    ``conflicting_rows`` counts those beyond the first of one key. ``forgotten_rows`` were there, kept or
    refused, and belonged to students who are forgotten.
    """

    file: str
    rows: int
    rejects_file: str = ""
    rejected_rows: int = 0
    forgotten_rows: int = 0
    bucket: int | None = None
    conflicting_rows: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one run added to a relation that files are added to.

    ``read_rows = added_rows + duplicate_rows + rejected_rows``. ``late_rows`` are those added that are
    older than the last row their student had; ``num_students`` those who got rows, in ``buckets``.
    """

    added_at: str
    num_files: int
    read_rows: int
    added_rows: int
    duplicate_rows: int
    late_rows: int
    rejected_rows: int
    num_students: int
    buckets: list[int]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a raw relation holds and where it came from.

    ``source_rows = rows + rejected_rows + duplicate_rows``; members left out by a student selection are
    counted in ``excluded_members`` and named by ``selection``, rows of forgotten students in
    ``forgotten_rows``. A relation that files are added to lists its ``deliveries``, and ``read_file`` names
    the Parquet file of the keys of all files it holds.
    """

    source: str
    relation: str
    fingerprint: str
    inputs: list[RawInput]
    shards: list[RawShard]
    release: str = ""
    licence: str = ""
    selection: str = "all students"
    excluded_members: int = 0
    created_at: str = ""
    version: int = MANIFEST_VERSION
    notes: list[str] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    read_file: str = ""

    @property
    def rows(self) -> int:
        """Rows kept."""
        return sum(shard.rows for shard in self.shards)

    @property
    def rejected_rows(self) -> int:
        """Rows refused with a reason."""
        return sum(shard.rejected_rows for shard in self.shards)

    @property
    def forgotten_rows(self) -> int:
        """Rows left out because their student is forgotten."""
        return sum(shard.forgotten_rows for shard in self.shards)

    @property
    def duplicate_rows(self) -> int:
        """Rows read that another delivery, or the same file before it grew, held already."""
        return sum(delivery.duplicate_rows for delivery in self.deliveries)

    @property
    def late_rows(self) -> int:
        """Rows older than the last row their student had when they came."""
        return sum(delivery.late_rows for delivery in self.deliveries)

    @property
    def conflicting_rows(self) -> int:
        """Rows beyond the first of one key, other in content, of a relation of deliveries."""
        return sum(shard.conflicting_rows for shard in self.shards)

    @property
    def source_rows(self) -> int:
        """Rows read from the inputs, without those of forgotten students."""
        return self.rows + self.rejected_rows + self.duplicate_rows


def relation_dir(raw_dir: Path, source: str, relation: str) -> Path:
    """Return the folder of a raw relation."""
    return raw_dir / source / relation


def read_manifest(raw_dir: Path, source: str, relation: str) -> Manifest | None:
    """Read the manifest of a relation, or None where there is none.

    Raises
    ------
    SourceError
        If the file is not a manifest of this version.
    """
    path = relation_dir(raw_dir, source, relation) / MANIFEST_FILE
    if not path.exists():
        return None
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        data["inputs"] = [RawInput(**item) for item in data["inputs"]]
        data["shards"] = [RawShard(**item) for item in data["shards"]]
        data["deliveries"] = [Delivery(**item) for item in data.get("deliveries", [])]
        manifest = Manifest(**data)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise SourceError(
            "A raw manifest cannot be read.",
            where=str(path),
            found=str(error),
            expected=f"a manifest of version {MANIFEST_VERSION}",
            next_step=f"Delete `{path.parent}` and run `edpipe ingest {source} …` again.",
        ) from error
    return manifest


def write_manifest(raw_dir: Path, manifest: Manifest) -> Path:
    """Replace the manifest of a relation by rename; readers see the old or the new one."""
    path = relation_dir(raw_dir, manifest.source, manifest.relation) / MANIFEST_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".json.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(manifest), file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def refuse_inputs_of_others(raw_dir: Path, source: str, inputs: Iterable[RawInput]) -> None:
    """Refuse files that have been ingested under another source too: each row would count twice.

    Parameters
    ----------
    raw_dir
        Folder of the raw relations.
    source
        Source of ``inputs``.
    inputs
        Files that are or would be read.

    Raises
    ------
    SourceError
        With the first of them, and where it is already.
    """
    others = [
        (manifest, entry)
        for manifest in landed(raw_dir)
        if manifest.source != source
        for entry in manifest.inputs
    ]
    for one in inputs:
        for manifest, entry in others:
            if _is_same_file(one, entry):
                folder = relation_dir(raw_dir, manifest.source, manifest.relation)
                raise SourceError(
                    f"One file would count twice, as {source} and as {manifest.source}.",
                    where=one.path,
                    found=f"the same content in `{folder}`, read from {entry.path}",
                    expected="a file under one source",
                    next_step=f"Leave it out of {source}, or delete `{folder}` and ingest the other files of "
                    f"{manifest.source} again.",
                    state="The raw rows and the published tables are as they were.",
                )


def _is_same_file(one: RawInput, other: RawInput) -> bool:
    """Compare by content where both are hashed; large files by name and size, and folders never."""
    if one.num_members != 1 or other.num_members != 1 or one.size != other.size or not one.size:
        return False
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return Path(one.path).name == Path(other.path).name


def refuse_missing_shards(raw_dir: Path) -> None:
    """Refuse to go on where a listed shard is not on the disk.

    Raises
    ------
    SourceError
        If one is missing.
    """
    for manifest in landed(raw_dir):
        folder = relation_dir(raw_dir, manifest.source, manifest.relation)
        missing = [shard.file for shard in manifest.shards if not (folder / shard.file).exists()]
        if missing:
            raise SourceError(
                f"{len(missing)} of {len(manifest.shards)} raw shards are missing.",
                where=str(folder),
                found=f"no `{missing[0]}`",
                expected="all shards that the manifest lists",
                next_step=f"Run `edpipe ingest {manifest.source} …` again: it writes what is missing.",
                state="The published tables are as they were.",
            )


def landed(raw_dir: Path) -> list[Manifest]:
    """Return the manifests of all relations that have been ingested."""
    found = (read_manifest(raw_dir, source, relation) for source, relation in RAW_SCHEMAS)
    return [manifest for manifest in found if manifest is not None]
