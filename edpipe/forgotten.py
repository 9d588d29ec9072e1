"""Students whom this home has forgotten: kept as keyed hashes, so that they never come back by ingestion."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from edpipe.errors import SourceError
from edpipe.keys import key_of_home, keyed_hash, read_key, replace_private
from edpipe.raw import RAW_SCHEMAS, TUTOR_SOURCES

if TYPE_CHECKING:
    import polars as pl

FOLDER: Final = "privacy"
KEY_FILE: Final = "key"
LIST_FILE: Final = "forgotten.json"
FORMAT: Final = 1
# Between the parts of a refused line, and of a path; ids hold none of these.
_BETWEEN: Final = re.compile(r"[,;|\t\r\n\"]+")


class Student(NamedTuple):
    """A student of a source: published id, and the id as the files of the source write it."""

    source: str
    student_id: str

    @property
    def bare(self) -> str:
        """The id without the data set before it."""
        if self.source in TUTOR_SOURCES:
            return self.student_id.partition("/")[2] or self.student_id
        if self.source in ("clicks", "assistments"):
            return self.student_id.partition(":")[2] or self.student_id
        return self.student_id


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Who is to be left out of what is read.

    Attributes
    ----------
    key
        Secret of the hashes.
    students
        Keyed hashes of ``source, published id``.
    bare
        Keyed hashes of ``source, id as its files write it``: refused lines are known by these.
    """

    key: bytes = b""
    students: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Tell whether anybody was forgotten."""
        return bool(self.students)

    def names(self, source: str, student_id: str) -> bool:
        """Tell whether this is a forgotten student."""
        return keyed_hash(self.key, source, student_id) in self.students

    def without(
        self, source: str, relation: str, rows: pl.DataFrame, rejects: pl.DataFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame, int]:
        """Return rows and rejects without those of forgotten students, and how many were left out."""
        import polars as pl

        if not self or "student_id" not in RAW_SCHEMAS[source, relation]:
            return rows, rejects, 0
        published = published_ids(source)
        ids = rows.select(published.alias("id")).unique()["id"].drop_nulls()
        gone = [one for one in ids.to_list() if self.names(source, one)]
        kept = rows.filter(~published.is_in(gone).fill_null(value=False)) if gone else rows
        is_named = [
            self._is_named(source, file, raw) for file, raw in rejects.select("file", "raw_text").rows()
        ]
        kept_rejects = rejects.filter(~pl.Series(is_named, dtype=pl.Boolean))
        return kept, kept_rejects, rows.height - kept.height + rejects.height - kept_rejects.height

    def _is_named(self, source: str, file: str, raw_text: str | None) -> bool:
        words = {PurePosixPath(file or "").stem, *(word.strip() for word in _BETWEEN.split(raw_text or ""))}
        return any(keyed_hash(self.key, source, word) in self.bare for word in words if word)


def published_ids(source: str) -> pl.Expr:
    """Return the published id of the rows of a raw relation: of tutors the data set stands before it."""
    import polars as pl

    if source in TUTOR_SOURCES:
        return pl.concat_str("dataset", pl.lit("/"), "student_id")
    return pl.col("student_id")


def read_forgotten(home: Path) -> Forgotten:
    """Read who was forgotten in a home; nobody, where nobody was.

    Raises
    ------
    SourceError
        If the list cannot be read: forgotten students would come back.
    SettingsError
        If its key is missing or open to others.
    """
    path = home / FOLDER / LIST_FILE
    if not path.exists():
        return Forgotten()
    key = read_key(path.with_name(KEY_FILE))
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["students"]
        return Forgotten(
            key, frozenset(one["student"] for one in listed), frozenset(one["bare"] for one in listed)
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise SourceError(
            "The list of forgotten students cannot be read.",
            where=str(path),
            found=str(error),
            expected="the file that `edpipe forget` wrote",
            next_step="Bring it back from a backup: without it forgotten students would come back.",
            state="Nothing was read.",
        ) from error


def remember_to_forget(home: Path, students: list[Student]) -> Forgotten:
    """Add students to the list of those who never come back, by rename, and return the whole list."""
    key = key_of_home(home / FOLDER / KEY_FILE)
    before = read_forgotten(home)
    path = home / FOLDER / LIST_FILE
    listed = json.loads(path.read_text(encoding="utf-8"))["students"] if path.exists() else []
    today = datetime.now(UTC).date().isoformat()
    for one in students:
        if not before or not before.names(one.source, one.student_id):
            listed.append(
                {
                    "source": one.source,
                    "student": keyed_hash(key, one.source, one.student_id),
                    "bare": keyed_hash(key, one.source, one.bare),
                    "rule": "forgotten on request",
                    "since": today,
                }
            )
    replace_private(path, json.dumps({"format": FORMAT, "students": listed}, indent=1))
    return read_forgotten(home)
