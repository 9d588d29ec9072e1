"""Numbers, ticks and intervals of the report."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edpipe.evaluation.report.numbers import compact, decimal, percent, tick_labels, ticks, whole, wilson

finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(finite, st.floats(1e-6, 1e9), st.integers(2, 8))
def test_ticks_cover_the_range_in_few_equal_steps(low, span, most):
    high = low + span
    if high - low < 1e-9 * max(abs(low), abs(high)):
        return  # no room between neighboring floats
    marks = ticks(low, high, most)
    slack = 1e-6 * span + 1e-9 * abs(low)
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert len(marks) <= most + 2


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 0.5, 1.0], ["0.0", "0.5", "1.0"]),
        ([0.7, 0.72, 0.74], ["0.70", "0.72", "0.74"]),
        ([0, 50_000, 100_000], ["0", "50k", "100k"]),
        ([0, 2_500_000], ["0", "2.5M"]),
    ],
)
def test_labels_have_the_decimals_of_the_step(values, labels):
    assert tick_labels(values) == labels


def test_absent_numbers_are_a_dash():
    assert [whole(None), decimal(math.nan), percent(None)] == ["–", "–", "–"]


def test_numbers_are_grouped_and_shortened():
    assert (whole(1234567), decimal(0.12345), percent(0.719), compact(1_500)) == (
        "1,234,567",
        "0.123",
        "71.9\N{NO-BREAK SPACE}%",
        "1.5k",
    )


def test_wilson_interval_equals_the_solution_of_its_equation():
    # The ends are the shares whose normal test of 3 in 10 lies exactly at z.
    for end in wilson(3, 10):
        z = abs(0.3 - end) / math.sqrt(end * (1 - end) / 10)
        assert z == pytest.approx(1.959964, abs=1e-6)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_interval_holds_the_share_and_stays_in_the_unit_range(successes, trials):
    successes = min(successes, trials)
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1


def test_nothing_observed_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
