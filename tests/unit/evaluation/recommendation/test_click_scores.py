from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from edpipe.evaluation.bootstrap import student_weights
from edpipe.evaluation.recommendation.scores import METRICS, score_clicks, student_areas


def drawn(num_students=30, rows=12, seed=0):
    """Rows of students who differ in how much they click; probabilities with many ties."""
    random = np.random.default_rng(seed)
    student = np.sort(random.integers(0, num_students, num_students * rows)) * 7 + 3
    level = random.random(num_students)[(student - 3) // 7]
    clicked = random.random(len(student)) < level
    probability = np.round(np.clip(0.5 * level + 0.5 * random.random(len(student)), 0, 1), 1)
    return student, clicked, probability


def plain_grouped_auc(student, clicked, probability, times=None):
    """One student after the other."""
    total = weight = 0.0
    for one in np.unique(student):
        mine = student == one
        if 0 < clicked[mine].sum() < mine.sum():
            size = mine.sum() * (1 if times is None else times[one])
            total += size * roc_auc_score(clicked[mine], probability[mine])
            weight += size
    return total / weight


def test_scores_are_those_of_a_plain_reading():
    student, clicked, probability = drawn()
    found = score_clicks(student, clicked, probability, num_draws=0, seed=1)
    assert set(found.values) == set(METRICS)
    assert found.values["auc"] == pytest.approx(roc_auc_score(clicked, probability))
    assert found.values["grouped_auc"] == pytest.approx(plain_grouped_auc(student, clicked, probability))
    assert found.values["log_loss"] == pytest.approx(log_loss(clicked, np.clip(probability, 1e-7, 1 - 1e-7)))
    assert found.values["predicted_over_clicked"] == pytest.approx(probability.sum() / clicked.sum())


def test_rows_may_stand_in_any_order():
    student, clicked, probability = drawn()
    order = np.random.default_rng(5).permutation(len(student))
    one = score_clicks(student, clicked, probability, num_draws=5, seed=1)
    two = score_clicks(student[order], clicked[order], probability[order], num_draws=5, seed=1)
    for metric in METRICS:
        assert one.values[metric] == pytest.approx(two.values[metric])
        np.testing.assert_allclose(one.draws[metric], two.draws[metric])


def test_draws_are_scores_of_the_students_drawn():
    student, clicked, probability = drawn()
    found = score_clicks(student, clicked, probability, num_draws=3, seed=9)
    keys = np.unique(student)
    weights = student_weights(len(keys), 3, np.random.default_rng(9))
    for draw in range(3):
        times = dict(zip(keys, weights[:, draw].tolist(), strict=True))
        expected = plain_grouped_auc(student, clicked, probability, times)
        assert found.draws["grouped_auc"][draw] == pytest.approx(expected)
        rows = np.array([times[one] for one in student])
        assert found.draws["predicted_over_clicked"][draw] == pytest.approx(
            (rows * probability).sum() / (rows * clicked).sum()
        )
        # The other scores were drawn from the same students.
        assert found.draws["auc"][draw] == pytest.approx(
            roc_auc_score(np.repeat(clicked, rows), np.repeat(probability, rows))
        )


def test_knowing_who_clicks_much_is_no_order_within_a_student():
    student, clicked, _ = drawn(num_students=200)
    share = {one: clicked[student == one].mean() for one in np.unique(student)}
    found = score_clicks(student, clicked, np.array([share[one] for one in student]), num_draws=0, seed=1)
    assert found.values["auc"] > 0.7
    assert found.values["grouped_auc"] == pytest.approx(0.5)


def test_where_nobody_has_both_labels_there_is_no_grouped_auc():
    student, clicked = np.array([1, 1, 2, 2]), np.array([True, True, False, False])
    found = score_clicks(student, clicked, np.array([0.2, 0.3, 0.4, 0.5]), num_draws=2, seed=1)
    assert np.isnan(found.values["grouped_auc"])
    assert np.isnan(found.draws["grouped_auc"]).all()
    areas = student_areas(np.array([0, 0, 1, 1]), 3, clicked, np.zeros(4))
    assert areas.num_rows.tolist() == [0, 0, 0]
