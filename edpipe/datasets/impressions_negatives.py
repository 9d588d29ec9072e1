"""Negatives of next-item targets: items that the student never met, by how often training rows hold them.

Every draw is a function of seed, epoch, target and slot alone, so it does not matter in which batch, in which
process, or after how many earlier draws it is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edpipe.datasets.columns import Array

# So often is drawn again before the unseen items are gone through one by one.
MOST_TRIES = 64
NO_ITEM = -1

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53


def draw_negatives(
    cumulative: NDArray[np.int64],
    seen: Array,
    seen_offsets: NDArray[np.int64],
    students: NDArray[np.int64],
    targets: NDArray[np.int64],
    *,
    num: int,
    seed: int,
    epoch: int = 0,
) -> NDArray[np.int64]:
    """Draw items that the student of each target never met, without repetition within a target.

    Parameters
    ----------
    cumulative
        Times that training rows hold each item, added up; items with none are never drawn. Shape
        ``(num_items,)``.
    seen, seen_offsets
        Items that each student ever met, before or after the target, rising.
    students
        Student of each target. Shape ``(num_targets,)``.
    targets
        Number of each target, which tells its draws from those of others. Shape ``(num_targets,)``.
    num
        Negatives a target.
    seed, epoch
        Another of either gives other draws.

    Returns
    -------
    numpy.ndarray
        Items, -1 where a student has met all that there are. Shape ``(num_targets, num)``.
    """
    drawn = np.full((len(targets), num), NO_ITEM, dtype=np.int64)
    if len(cumulative) and cumulative[-1] > 0:
        key = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
        _draw(cumulative, seen, seen_offsets, students, targets, key, drawn)
    return drawn


def _mixed(state: Any) -> Any:
    """Return 64 well-mixed bits of a counter (the finalizer of SplitMix64)."""
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


_mix: Any = njit(cache=True)(_mixed)


def _is_taken(item: int, seen: Array, row: Array, slot: int) -> bool:
    """Tell whether an item was met by the student, or drawn for this target before."""
    place = np.searchsorted(seen, item)
    return bool((place < len(seen) and seen[place] == item) or (row[:slot] == item).any())


_taken: Any = njit(cache=True)(_is_taken)


def _pick_left(cumulative: Array, seen: Array, row: Array, slot: int, unit: float) -> int:
    """Pick from the exact distribution of the items that are left, -1 where none is."""
    left, before = 0, 0
    for item in range(len(cumulative)):
        if cumulative[item] > before and not _taken(item, seen, row, slot):
            left += cumulative[item] - before
        before = cumulative[item]
    wanted, before = int(unit * left), 0
    for item in range(len(cumulative)):
        if cumulative[item] > before and not _taken(item, seen, row, slot):
            if wanted < cumulative[item] - before:
                return item
            wanted -= cumulative[item] - before
        before = cumulative[item]
    return NO_ITEM


_pick: Any = njit(cache=True)(_pick_left)


def _draw_rows(
    cumulative: Array,
    seen: Array,
    seen_offsets: Array,
    students: Array,
    targets: Array,
    key: Any,
    drawn: Array,
) -> None:
    """Fill ``drawn`` by rejection; where that takes too long, from what is left."""
    for index in range(len(targets)):
        met = seen[seen_offsets[students[index]] : seen_offsets[students[index] + 1]]
        row = drawn[index]
        state = _mix(key + np.uint64(targets[index]) * _GOLDEN)
        for slot in range(len(row)):
            for _ in range(MOST_TRIES):
                state += _GOLDEN
                unit = float(_mix(state) >> np.uint64(11)) * _TO_UNIT
                item = np.searchsorted(cumulative, int(unit * cumulative[-1]), side="right")
                if not _taken(item, met, row, slot):
                    row[slot] = item
                    break
            if row[slot] == NO_ITEM:
                state += _GOLDEN
                unit = float(_mix(state) >> np.uint64(11)) * _TO_UNIT
                row[slot] = _pick(cumulative, met, row, slot, unit)


_draw: Any = njit(cache=True)(_draw_rows)
