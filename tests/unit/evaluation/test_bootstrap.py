"""Student-level bootstrap: equals copying rows, is exact where it says so, and covers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from edpipe.evaluation import bootstrap, metrics
from edpipe.evaluation.bootstrap import METRICS, score


def answers(num_students: int, num_rows: int, *, seed: int = 0, spread: float = 1.0):
    random = np.random.default_rng(seed)
    student = np.sort(random.integers(0, num_students, num_rows))
    logit = spread * random.normal(size=num_students)[student] + random.normal(size=num_rows)
    probability = 1 / (1 + np.exp(-logit))
    return student, random.random(num_rows) < probability, probability


def test_draws_equal_scores_of_copied_rows():
    student, right, probability = answers(12, 300)
    found = score(student, right, probability, num_draws=5, seed=11).draws
    weights = bootstrap.student_weights(12, 5, np.random.default_rng(11))
    for draw in range(5):
        rows = np.repeat(np.arange(300), weights[student, draw])
        copied = right[rows], probability[rows]
        assert found["auc"][draw] == pytest.approx(roc_auc_score(*copied), abs=1e-12)
        assert found["log_loss"][draw] == pytest.approx(metrics.log_loss(*copied))
        assert found["accuracy"][draw] == pytest.approx(metrics.accuracy(*copied))
        assert found["false_positive_rate"][draw] == pytest.approx(metrics.false_positive_rate(*copied))
        assert found["calibration_error"][draw] == pytest.approx(metrics.expected_calibration_error(*copied))


def test_binned_auc_draws_stay_within_a_hundred_thousandth_of_exact_ones():
    student, right, probability = answers(400, 60_000)
    found = score(student, right, probability, num_draws=6, seed=2).draws["auc"]
    weights = bootstrap.student_weights(400, 6, np.random.default_rng(2))
    exact = [
        metrics.auc(right[rows], probability[rows])
        for rows in (np.repeat(np.arange(60_000), weights[student, draw]) for draw in range(6))
    ]
    assert np.abs(found - exact).max() < 1e-5


def test_the_same_seed_gives_the_same_draws():
    rows = answers(30, 500)
    first, second = (score(*rows, num_draws=70, seed=5) for _ in range(2))
    assert all(np.array_equal(first.draws[metric], second.draws[metric]) for metric in METRICS)


def test_draws_at_once_do_not_change_the_draws(monkeypatch):
    rows = answers(30, 500)
    whole = score(*rows, num_draws=20, seed=5)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 7)
    parts = score(*rows, num_draws=20, seed=5)
    assert whole.draws["auc"] == pytest.approx(parts.draws["auc"], abs=1e-12)


def test_row_order_does_not_matter():
    student, right, probability = answers(30, 500)
    order = np.random.default_rng(1).permutation(500)
    first = score(student, right, probability, num_draws=10, seed=5)
    second = score(student[order], right[order], probability[order], num_draws=10, seed=5)
    assert all(first.draws[metric] == pytest.approx(second.draws[metric]) for metric in METRICS)


def test_no_draws_give_values_without_intervals():
    found = score(*answers(30, 500), num_draws=0, seed=5)
    assert 0.5 < found.values["auc"] < 1
    assert np.isnan(found.interval("auc")).all()


def test_students_that_differ_widen_the_interval():
    # The same rows counted as one student a row are taken to be independent.
    student, right, probability = answers(40, 8000, spread=1.5)
    wide = score(student, right, probability, num_draws=200, seed=1).interval("log_loss")
    narrow = score(np.arange(8000), right, probability, num_draws=200, seed=1).interval("log_loss")
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_intervals_cover_the_truth_about_nineteen_times_in_twenty():
    truth = score(*answers(20_000, 400_000, seed=99), num_draws=0, seed=0).values
    covered = {"auc": 0, "log_loss": 0, "accuracy": 0}
    for seed in range(100):
        found = score(*answers(150, 3000, seed=seed), num_draws=100, seed=seed)
        for metric in covered:
            low, high = found.interval(metric)
            covered[metric] += low <= truth[metric] <= high
    # Binomial(100, 0.95) leaves 87..100 with probability 0.999; percentile intervals run slightly short.
    assert all(85 <= times <= 100 for times in covered.values()), covered


def test_one_student_has_an_interval_of_no_width():
    low, high = score(*answers(1, 50), num_draws=10, seed=3).interval("auc")
    assert low == pytest.approx(high)
