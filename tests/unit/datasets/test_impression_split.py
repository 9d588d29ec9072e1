from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from edpipe.datasets.impressions_split import request_starts, split_requests, train_ends


def split_of(sizes, *, valid=0.1, test=0.1):
    """Return the parts of one student's requests of these sizes."""
    student = np.zeros(sum(sizes), dtype=np.int64)
    starts = np.cumsum([0, *sizes[:-1]])
    return split_requests(student, starts, valid=valid, test=test).tolist()


def test_ten_targets_are_eight_one_and_one():
    assert split_of([1] * 10) == [0] * 8 + [1, 2]


def test_shares_are_those_of_counts_without_a_rounding_error():
    for size in (5, 10, 20, 30, 50, 100):
        parts = split_of([1] * size, valid=0.2, test=0.2)
        assert parts.count(2) == parts.count(1) == size // 5


def test_a_request_is_where_its_first_target_would_be():
    assert split_of([7, 2, 1]) == [0, 0, 2]
    assert split_of([8, 2]) == [0, 1]
    assert split_of([9, 1]) == [0, 2]


def test_a_student_of_few_targets_is_in_training():
    assert split_of([1]) == [0]
    assert split_of([1, 1], valid=0.4, test=0.49) == [0, 1]


def test_requests_begin_with_another_student_or_history():
    student, end = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 4, 4, 5])
    assert_array_equal(request_starts(student, end), [0, 2, 3, 4])


def test_training_rows_end_where_the_history_of_the_first_other_request_does():
    offsets = np.array([0, 10, 20, 30])
    student, end = np.array([0, 0, 0, 2, 2]), np.array([3, 6, 8, 25, 28])
    split = np.array([0, 1, 2, 0, 2], dtype=np.int8)
    assert_array_equal(train_ends(offsets, student, end, split), [6, 20, 28])
