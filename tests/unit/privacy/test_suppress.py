from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from edpipe.privacy.suppress import suppressed_values

groups = st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.integers(0, 20), min_size=1), min_size=1)


def members(of: dict[str, set[int]]) -> pl.DataFrame:
    pairs = [(value, student) for value, students in of.items() for student in students]
    return pl.DataFrame(pairs, schema={"value": pl.String, "student": pl.Int64}, orient="row")


@settings(max_examples=200, deadline=None)
@given(of=groups, k=st.integers(2, 8))
def test_nothing_shown_or_told_by_subtraction_is_of_fewer_than_k_students(of, k):
    hidden = suppressed_values(members(of), k)
    assert all(len(of[value]) >= k for value in of if value not in hidden)
    if hidden and hidden != set(of):
        assert len(hidden) >= 2
        assert len(set().union(*(of[value] for value in hidden))) >= k
    if all(len(students) >= k for students in of.values()):
        assert hidden == set()


def test_no_more_is_hidden_than_needed():
    of = {"a": {1}, "b": {1, 2, 3, 4, 5}, "c": set(range(10)), "d": set(range(10))}
    assert suppressed_values(members(of), 5) == {"a", "b"}
    assert suppressed_values(members(of), 2) == {"a", "b"}
    apart = {"a": {1, 2, 3}, "b": {4, 5, 6}, "c": set(range(10))}
    assert suppressed_values(members(apart), 5) == {"a", "b"}
