"""Distances of sequences agree with plain recursion, and keep what distances must keep."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edpipe.evaluation.strategy.distances import edit_similarity, jaccard, lcs_f1

sequences = st.lists(st.integers(0, 4), max_size=7).map(tuple)
pairs = st.lists(st.tuples(sequences, sequences), min_size=1, max_size=4)


def side_by_side(found: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    kcs = np.array([kc for one in found for kc in one], dtype=np.int32)
    return kcs, np.concatenate([[0], np.cumsum([len(one) for one in found])]).astype(np.int64)


@cache
def slow_edit(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    if not left or not right:
        return len(left) + len(right)
    if left[0] == right[0]:
        return slow_edit(left[1:], right[1:])
    return 1 + min(slow_edit(left[1:], right), slow_edit(left, right[1:]), slow_edit(left[1:], right[1:]))


@cache
def slow_common(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    if not left or not right:
        return 0
    if left[0] == right[0]:
        return 1 + slow_common(left[1:], right[1:])
    return max(slow_common(left[1:], right), slow_common(left, right[1:]))


# The first call compiles.
@settings(deadline=None)
@given(pairs)
def test_distances_agree_with_plain_recursion(found: list) -> None:
    said, true = (side_by_side([pair[side] for pair in found]) for side in (0, 1))
    longest = [max(len(a), len(b), 1) for a, b in found]
    edits = [1 - slow_edit(*pair) / size for pair, size in zip(found, longest, strict=True)]
    np.testing.assert_allclose(edit_similarity(*said, *true), edits)
    common = [2 * slow_common(a, b) / (len(a) + len(b)) if a or b else 1 for a, b in found]
    np.testing.assert_allclose(lcs_f1(*said, *true), common)
    sets = [len({*a} & {*b}) / len({*a} | {*b}) if a or b else 1 for a, b in found]
    np.testing.assert_allclose(jaccard(*said, *true), sets)


# The first call compiles.
@settings(deadline=None)
@given(pairs)
def test_distances_are_symmetric_and_one_only_for_alike_sequences(found: list) -> None:
    said, true = (side_by_side([pair[side] for pair in found]) for side in (0, 1))
    for distance in (edit_similarity, lcs_f1, jaccard):
        values = distance(*said, *true)
        np.testing.assert_allclose(values, distance(*true, *said))
        assert ((values >= 0) & (values <= 1)).all()
    same = [a == b for a, b in found]
    np.testing.assert_array_equal(edit_similarity(*said, *true) == 1, same)
    np.testing.assert_array_equal(lcs_f1(*said, *true) == 1, same)
