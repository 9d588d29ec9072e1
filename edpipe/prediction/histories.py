"""Histories of students as the published warehouse holds them now, for a recommender that is asked."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from edpipe.errors import SettingsError
from edpipe.prediction.recommend import History, Integers

if TYPE_CHECKING:
    from edpipe.settings import Settings

STUDENTS_A_PIECE: Final = 2_000
CATALOG: Final = """
    select catalog_key, item_id, category_ids, part
    from core.catalog where source = ? and log_name = ? order by catalog_key
"""
OUTCOMES: Final = "select outcome_key, outcome from core.outcomes where source = ? and log_name = ?"
SEQUENCES: Final = """
    select students.student_id, sequences.student_key, catalog_keys, outcome_keys, earlier_catalog_keys,
        acted_milliseconds[-1] as last_milliseconds
    from features.behavior_sequences as sequences
    inner join core.students as students using (student_key)
    where sequences.source = ? and sequences.log_name = ? {chosen}
    order by sequences.student_key
"""
# Rows in any order give the same number.
DIGEST: Final = """
    select coalesce(bit_xor(hash(student_key, catalog_keys, outcome_keys, earlier_catalog_keys)), 0)
    from features.behavior_sequences where source = ? and log_name = ?
"""
CATALOG_DIGEST: Final = """
    select coalesce(bit_xor(hash(catalog_key, item_id, category_ids, part)), 0)
    from core.catalog where source = ? and log_name = ?
"""
# What is published of deployment. A bundle is there when all of its items are.
DEPLOYED: Final = """
    with dated as (
        select source, 'answers' as log_name, item_id, deployed_at from core.items
        union all
        select source, 'visits', unnest([bundle_id, explanation_id]) as item_id,
            case when count(*) = count(deployed_at) then max(deployed_at) end
        from core.items where bundle_id is not null
        group by source, bundle_id, explanation_id
        union all
        select source, 'visits', lecture_id, deployed_at from core.lectures
    )
    select catalog_key, epoch_ms(min(deployed_at)) as deployed
    from dated inner join core.catalog using (source, log_name, item_id)
    where source = ? and log_name = ? and deployed_at is not null
    group by catalog_key order by catalog_key
"""
FIRST_USED: Final = """
    select catalog_key, epoch_ms(min(acted_at)) as used
    from core.behaviors where source = ? and log_name = ? and acted_at is not null
    group by catalog_key
"""
SOME_STUDENTS: Final = """
    select student_id from core.students
    inner join (
        select distinct student_key from features.behavior_sequences where source = ? and log_name = ?
    ) using (student_key)
    order by student_id limit 10000
"""


@dataclass(frozen=True, eq=False)
class PublishedHistories:
    """Items of one log, and what its students did.

    Attributes
    ----------
    settings
        Where the published warehouse is.
    source, log_name
        The log.
    """

    settings: Settings
    source: str
    log_name: str

    @cached_property
    def catalog(self) -> pl.DataFrame:
        """Items: ``catalog_key, item_id, category_ids, part``."""
        return self._ask(CATALOG)

    @cached_property
    def digest(self) -> str:
        """What changes with any behavior or item."""
        return "-".join(str(self._ask(query).item()) for query in (DIGEST, CATALOG_DIGEST))

    @cached_property
    def in_use_since(self) -> Integers:
        """Since when each item is there, ms since 1970; -1 where that is not published.

        The date of deployment, or that of the first behavior of anybody, whichever is earlier: much of
        EdNet was answered before it was deployed by its date. Shape ``(num_items,)``.
        """
        deployed = self._ask(DEPLOYED)
        since = np.full(len(self.catalog), -1, dtype=np.int64)
        if len(deployed):  # else nothing is dated, and the long way through all behaviors is spared
            dated = deployed.join(self._ask(FIRST_USED), on="catalog_key", how="left").with_columns(
                since=pl.min_horizontal("deployed", "used")
            )
            since[np.searchsorted(self._keys, dated["catalog_key"].to_numpy())] = dated["since"].to_numpy()
        return since

    @property
    def num_students(self) -> int:
        """Number of students with behaviors."""
        counted = "select count(*) from features.behavior_sequences where source = ? and log_name = ?"
        return int(self._ask(counted).item())

    def every(self) -> Iterator[tuple[str, History]]:
        """Yield id and history of each student, in order of their keys."""
        from edpipe import warehouse

        with warehouse.open_reader(self.settings) as connection:
            asked = connection.execute(SEQUENCES.format(chosen=""), [self.source, self.log_name])
            for batch in asked.to_arrow_reader(STUDENTS_A_PIECE):
                frame = pl.from_arrow(batch)
                if isinstance(frame, pl.DataFrame):
                    yield from self._histories(frame)

    def of(self, student_id: str) -> History:
        """Return the history of one student.

        Raises
        ------
        SettingsError
            If the log has no such student; the closest id is named.
        """
        frame = self._ask(SEQUENCES.format(chosen="and students.student_id = ?"), student_id)
        for _, history in self._histories(frame):
            return history
        known = self._ask(SOME_STUDENTS)["student_id"].to_list()
        raise SettingsError(
            f"There is no student {student_id!r}.",
            where="flag `--student`",
            found=repr(student_id),
            expected=f"a published id of a student in the log {self.log_name!r} of {self.source!r}",
            next_step=_like(student_id, known),
            state="Nothing was written.",
        )

    def _histories(self, frame: pl.DataFrame) -> Iterator[tuple[str, History]]:
        keys, words = self._keys, self._words
        for student_id, student, items, outcomes, earlier, last in frame.iter_rows():
            rows = np.searchsorted(keys, np.array(items, dtype=np.int64))
            before = np.searchsorted(keys, np.array(earlier or [], dtype=np.int64))
            met: Integers = np.union1d(rows, before).astype(np.int64)
            said = [words.get(key) for key in outcomes]
            found = History(int(student), rows.astype(np.int64), said, met, int(last) or None)
            yield str(student_id), found

    @cached_property
    def _keys(self) -> Integers:
        keys: Integers = self.catalog["catalog_key"].to_numpy().astype(np.int64)
        return keys

    @cached_property
    def _words(self) -> dict[int, str]:
        return dict(self._ask(OUTCOMES).rows())

    def _ask(self, query: str, *more: Any) -> pl.DataFrame:
        from edpipe import warehouse

        with warehouse.open_reader(self.settings) as connection:
            found: pl.DataFrame = connection.execute(query, [self.source, self.log_name, *more]).pl()
        return found


def _like(student_id: str, known: Sequence[str]) -> str:
    """Name the known student whose id is most like one that is not known."""
    if not known:
        return "Run `edpipe ingest` and `edpipe build`."
    close = difflib.get_close_matches(student_id, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"For example {known[0]!r}."
