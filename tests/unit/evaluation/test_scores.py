"""Scores agree with scikit-learn and with counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from edpipe.errors import ContractError
from edpipe.evaluation import metrics


@pytest.fixture(params=["continuous", "tied"])
def scored(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    probability = random.random(4000)
    if request.param == "tied":
        probability = np.round(probability, 1)
    return random.random(4000) < probability, probability


def test_auc_equals_scikit_learns(scored):
    assert metrics.auc(*scored) == pytest.approx(roc_auc_score(*scored), abs=1e-12)


def test_log_loss_equals_scikit_learns(scored):
    right, probability = scored
    inside = np.clip(probability, 0.001, 0.999)
    assert metrics.log_loss(right, inside) == pytest.approx(sklearn_log_loss(right, inside), abs=1e-12)


def test_accuracy_equals_scikit_learns(scored):
    right, probability = scored
    assert metrics.accuracy(right, probability) == accuracy_score(right, probability >= 0.5)


def test_auc_of_a_constant_is_one_half():
    assert metrics.auc(np.array([True, False, True]), np.full(3, 0.7)) == 0.5


def test_auc_of_one_kind_of_answer_is_not_a_number():
    assert np.isnan(metrics.auc(np.ones(4, dtype=bool), np.linspace(0, 1, 4)))


def test_log_loss_of_a_sure_mistake_is_finite():
    assert metrics.log_loss(np.array([False]), np.array([1.0])) == pytest.approx(16.118, abs=1e-3)


def test_calibration_curve_by_hand():
    probability = np.array([0.05, 0.15, 0.9, 0.95, 1.0])
    curve = metrics.calibration_curve(np.array([False, True, True, True, False]), probability, num_bins=4)
    assert curve.bin.tolist() == [0, 3]
    assert curve.count.tolist() == [2, 3]
    assert curve.predicted == pytest.approx([0.1, 0.95])
    assert curve.observed == pytest.approx([0.5, 2 / 3])


def test_calibration_error_by_hand():
    probability = np.array([0.05, 0.15, 0.9, 0.95, 1.0])
    error = metrics.expected_calibration_error(
        np.array([False, True, True, True, False]), probability, num_bins=4
    )
    assert error == pytest.approx(0.4 * 0.4 + 0.6 * (0.95 - 2 / 3))


def test_false_positive_rate_counts_wrong_answers_predicted_right():
    right = np.array([False, False, False, True])
    assert metrics.false_positive_rate(right, np.array([0.9, 0.2, 0.5, 0.9])) == pytest.approx(2 / 3)


def test_false_positive_rate_without_wrong_answers_is_not_a_number():
    assert np.isnan(metrics.false_positive_rate(np.array([True]), np.array([0.9])))


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1, np.inf])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(ContractError, match="not probabilities"):
        metrics.check_predictions(np.array([True, False]), np.array([0.5, value]))


def test_no_rows_are_refused():
    with pytest.raises(ContractError, match="nothing to score"):
        metrics.check_predictions(np.array([], dtype=bool), np.array([]))
