"""What a student's id looks like in tables, texts and bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edpipe.forgotten import Student

# Shorter words occur in compressed bytes by chance: `u7` in every few dozen KiB.
LEAST_BYTES: Final = 6
# Of keys and columns that hold students; there an id means a student for certain.
OF_STUDENTS: Final = "student"


@dataclass(frozen=True, slots=True)
class Needles:
    """Words to look for.

    Attributes
    ----------
    ids
        Published ids, and those that files write where they cannot be mistaken for a number.
    free_ids
        Those of ``ids`` that name nothing else: clicks number items as they number students.
    words
        Pattern of any id as a whole word, for columns and keys of students.
    free_words
        The same of ``free_ids``, for all other columns, keys and texts; None where there are none.
    raw
        The same for bytes of which nothing is known, for ids that are long enough; None where none is.
    """

    ids: frozenset[str]
    free_ids: frozenset[str]
    words: str
    free_words: str | None
    raw: re.Pattern[bytes] | None

    @classmethod
    def of(cls, students: Sequence[Student], items: Collection[str] = ()) -> Needles:
        """Make the words of some students; ``items`` are ids among theirs that items have, too."""
        ids = {one.student_id for one in students}
        ids |= {one.bare for one in students if not one.bare.isdigit()}
        free = ids.difference(items)
        long = [one for one in free if len(one.encode()) >= LEAST_BYTES]
        return cls(
            ids=frozenset(ids),
            free_ids=frozenset(free),
            words=_pattern(ids),
            free_words=_pattern(free) if free else None,
            raw=re.compile(_pattern(long).encode()) if long else None,
        )

    def in_text(self, text: str) -> bool:
        """Tell whether a text holds an id, which means nothing else, as a word."""
        return self.free_words is not None and re.search(self.free_words, text) is not None

    def pattern_of(self, column: str) -> str | None:
        """Return the pattern for the values of a column; None where there is nothing to look for."""
        return self.words if OF_STUDENTS in column.lower() else self.free_words

    def ids_under(self, key: str) -> frozenset[str]:
        """Return the ids that mean a student in a value under this key."""
        return self.ids if OF_STUDENTS in key.lower() else self.free_ids

    def named_in(self, value: Any, key: str = "") -> int:
        """Count the texts in nested dictionaries and lists, keys included, that hold an id as a word."""
        if isinstance(value, str):
            pattern = self.pattern_of(key)
            return int(pattern is not None and re.search(pattern, value) is not None)
        if isinstance(value, dict):
            return sum(
                self.named_in(str(one), key) + self.named_in(inner, str(one)) for one, inner in value.items()
            )
        if isinstance(value, list | tuple | set | frozenset):
            return sum(self.named_in(inner, key) for inner in value)
        return 0


def _pattern(ids: Collection[str]) -> str:
    # Without look-around: DuckDB's and Polars' expressions know none.
    return rf"(?:^|[^0-9A-Za-z_])(?:{'|'.join(re.escape(one) for one in sorted(ids))})(?:$|[^0-9A-Za-z_])"
