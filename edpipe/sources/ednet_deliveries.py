"""Tell which files of students are new to a level that deliveries are added to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from edpipe.settings import Settings
from edpipe.sources.archive import Members
from edpipe.sources.delivery_keys import Arrivals, known
from edpipe.sources.ednet_formats import SOURCE
from edpipe.sources.ednet_lines import UNKNOWN_QUESTION
from edpipe.sources.ednet_rows import student_of
from edpipe.sources.landing import shard_key


def new_members(
    settings: Settings,
    relation: str,
    found: Sequence[Members],
    select: Callable[[Members], Members],
    questions: pl.Series | None,
) -> tuple[list[Members], Arrivals]:
    """Return the members that were not read before, and their keys.

    A member is known by student, size and CRC-32, in whatever archive it lies; a file in a folder by student,
    size and time of change. Nothing of a known one is read.

    Parameters
    ----------
    settings
        Where the relation is.
    relation
        ``kt1`` to ``kt4``.
    found
        Members, in each group of which a student stands once.
    select
        Takes the members of the selected students.
    questions
        Known question ids: files with answers to others are read again once these change.
    """
    before = known(settings, SOURCE, relation)
    state = "" if questions is None else shard_key(*questions)
    # What refused rows would give now is not known of a relation that was read as a whole.
    is_whole = before.manifest is not None and not before.is_of_deliveries
    may_take_over = is_whole and before.manifest is not None and not before.manifest.rejected_rows
    new: list[Members] = []
    keys: list[tuple[str, str]] = []
    excluded: list[str] = []
    taken_over: list[str] = []
    seen: set[str] = set()
    num_known = 0
    for members in found:
        chosen = select(members)
        of_chosen = _keys(chosen)
        if len(chosen) < len(members):
            excluded += set(_keys(members)) - set(of_chosen)
        if may_take_over and members.is_zip and before.has_input(Path(members.container)):
            taken_over += of_chosen
            num_known += len(chosen)
            continue
        indices = []
        for index, key in enumerate(of_chosen):
            if key in seen or before.has(key, state):
                num_known += 1
                continue
            seen.add(key)
            indices.append(index)
            keys.append((chosen.shown(chosen.names[index]), key))
        if indices:
            new.append(chosen.take(np.array(indices, np.int64)))
    return new, Arrivals(keys, before.fingerprint, num_known, UNKNOWN_QUESTION, state, excluded, taken_over)


def _keys(members: Members) -> list[str]:
    return [
        shard_key("member", student_of(name), size, check)
        for name, size, check in zip(
            members.names, members.sizes.tolist(), members.checks.tolist(), strict=True
        )
    ]
