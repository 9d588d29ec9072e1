"""The stability index against its closed form, bins that hold what they say, a snapshot that comes back."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edpipe.evaluation.drift.compare import design_effect
from edpipe.evaluation.drift.histogram import Histogram, stability_index
from edpipe.evaluation.drift.snapshot import Snapshot


def test_the_index_is_its_closed_form_on_bins_by_hand():
    expected, actual = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.3, 0.3])
    closed = 0.2 * math.log(2) + 0.0 + (-0.2) * math.log(0.6)
    assert stability_index(expected, actual) == pytest.approx(closed)
    assert closed == pytest.approx(0.2408, abs=1e-4)
    assert stability_index(expected, expected) == 0


def test_a_bin_that_was_empty_counts_as_one_in_ten_thousand():
    found = stability_index(np.array([1.0, 0.0]), np.array([0.9, 0.1]))
    assert found == pytest.approx(-0.1 * math.log(0.9) + (0.1 - 1e-4) * math.log(1000))


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_index_is_symmetric_and_never_negative(weights, random):
    first = np.array(weights) / sum(weights)
    second = np.array(random.sample(list(first), len(first)))
    assert stability_index(first, second) == pytest.approx(stability_index(second, first))
    assert stability_index(first, second) >= 0


def test_numbers_lie_in_tenths_and_what_is_missing_by_itself():
    values = pl.Series("v", [*range(1000), *[None] * 250], dtype=pl.Float64)
    histogram = Histogram.of(values, "number")
    assert histogram.shares == pytest.approx([0.08] * 10 + [0.2])
    assert histogram.places(pl.Series("v", [-5.0, 5000.0, None, float("nan")])).tolist() == [0, 9, 10, 10]


def test_a_feature_with_few_values_has_few_bins():
    histogram = Histogram.of(pl.Series("v", [0.0] * 90 + [1.0] * 10), "number")
    assert histogram.bins == (0.0, pytest.approx(0.1)) or len(histogram.bins) <= 2
    assert sum(histogram.shares) == pytest.approx(1)


def test_new_categories_are_others():
    histogram = Histogram.of(pl.Series("v", ["a", "a", "b", None]), "category")
    assert histogram.bins == ("a", "b")
    assert histogram.shares == (0.5, 0.25, 0.0, 0.25)
    assert histogram.places(pl.Series("v", ["b", "new", None])).tolist() == [1, 2, 3]


def test_rows_of_one_student_that_are_all_alike_count_as_one():
    student = np.repeat(np.arange(50), 20)
    rng = np.random.default_rng(0)
    alike = np.repeat(rng.integers(0, 4, 50), 20)
    shares = np.bincount(alike, minlength=4) / len(alike)
    # Fifty students of twenty equal rows: the variance is twenty times that of free rows.
    assert design_effect(alike, student, shares) == pytest.approx(20 * 50 / 49)
    free = rng.integers(0, 4, 1000)
    assert design_effect(free, student, np.bincount(free, minlength=4) / 1000) == pytest.approx(1, abs=0.35)
    assert design_effect(free, np.zeros(1000), shares) == math.inf


def test_a_snapshot_comes_back_and_holds_no_student(tmp_path):
    rows = pl.DataFrame(
        {
            "at": [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(6)],
            "student": [f"person{n}" for n in range(6)],
            "item": ["i1", "i2"] * 3,
            "kcs": [["k1"], ["k1", "k2"]] * 3,
            "seconds": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "score": [None, None, None, 0.2, 0.4, 0.6],
        }
    )
    snapshot = Snapshot.of(rows, {"seconds": "number"})
    path = snapshot.save(tmp_path)
    assert Snapshot.load(tmp_path) == snapshot
    assert snapshot.score.num_rows == 3
    assert snapshot.rows_a_day == 6
    assert snapshot.known == {"items": {"i1", "i2"}, "KCs": {"k1", "k2"}}
    assert "person" not in path.read_text()
    assert json.loads(path.read_text())["until"] == "2026-01-01T05:00:00+00:00"
