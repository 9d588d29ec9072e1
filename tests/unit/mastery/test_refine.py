"""From coarse to fine: what is split, what is kept, when it ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from edpipe.mastery.dp_means_points import DensePoints
from edpipe.mastery.refine import Judgment, best_round, refine
from edpipe.mastery.refine_validation import held_out_log_likelihoods
from edpipe.mastery.symmetry_clusters import ClusterSymmetry
from edpipe.setting_groups import ClusterSettings

CENTERS = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [10.0, 1.0]])
GROUP = np.arange(200) % 4
POINTS = DensePoints(CENTERS[GROUP] + 0.02 * np.random.default_rng(0).normal(size=(200, 2)))


def judgment(labels: np.ndarray, scores: list[float], validation: float, *, median: float = 50) -> Judgment:
    number = int(labels.max()) + 1
    symmetry = ClusterSymmetry(np.resize(scores, number), np.zeros(number), 0.0, 0.0, 0.0)
    return Judgment(symmetry, np.full(9, validation), median, number)


def by_truth(labels: np.ndarray) -> Judgment:
    """Judge a cluster symmetric if it holds one group, and a partition by its agreement with the groups."""
    scores = [float(len(set(GROUP[labels == label])) == 1) for label in range(labels.max() + 1)]
    return judgment(labels, scores, adjusted_rand_score(GROUP, labels))


def test_clusters_that_differ_are_split_until_all_are_symmetric():
    rounds = refine(POINTS, by_truth, ClusterSettings(), radius=5.0)
    assert [int(one.labels.max()) + 1 for one in rounds] == [2, 4]
    assert adjusted_rand_score(GROUP, best_round(rounds).labels) == 1
    assert math.isnan(rounds[0].rand_index)
    assert 0 < rounds[1].rand_index < 1


def test_only_clusters_below_the_threshold_are_split_and_partitions_are_nested():
    def judge(labels: np.ndarray) -> Judgment:
        return judgment(labels, [1.0, 0.0, 1.0], float(labels.max()))

    first, second = refine(POINTS, judge, ClusterSettings(max_rounds=1), radius=5.0)
    of_second = [set(first.labels[second.labels == label]) for label in range(3)]
    assert [len(of_second) for of_second in of_second] == [1, 1, 1]
    kept = first.labels == 0
    assert len(set(second.labels[kept])) == 1
    assert len(set(second.labels[~kept])) == 2


def test_symmetric_clusters_are_left_alone():
    rounds = refine(POINTS, lambda labels: judgment(labels, [1.0], 0.0), ClusterSettings(), radius=20.0)
    assert len(rounds) == 1


def test_refinement_ends_after_patience_and_keeps_the_best():
    def judge(labels: np.ndarray) -> Judgment:
        return judgment(labels, [0.0], -float(labels.max()))

    rounds = refine(POINTS, judge, ClusterSettings(patience=2), radius=5.0)
    assert len(rounds) == 3
    assert best_round(rounds) is rounds[0]


def test_a_round_with_too_many_or_too_small_clusters_is_not_kept():
    def better_and_better(labels: np.ndarray) -> Judgment:
        return judgment(labels, [0.0], float(labels.max()), median=200 / (labels.max() + 1))

    few = refine(POINTS, better_and_better, ClusterSettings(max_clusters=3), radius=5.0)
    assert [one.is_kept for one in few] == [True, False]
    assert best_round(few) is few[0]
    small = refine(POINTS, better_and_better, ClusterSettings(least_median_size=60), radius=5.0)
    assert [one.is_kept for one in small] == [True, False]


def test_a_gain_within_its_standard_error_is_no_gain():
    labels = np.zeros(2, dtype=np.int32)
    base = judgment(labels, [0.0], -1.0)
    noise = np.array([1.0, -1.0] * 4 + [0.5])
    luck = Judgment(base.symmetry, base.log_likelihoods + noise, 5, 1)
    assert luck.validation > base.validation
    assert not luck.is_better(base)
    assert judgment(labels, [0.0], -0.99).is_better(base)


def test_equal_points_end_the_refinement():
    points = DensePoints(np.ones((10, 2)))
    rounds = refine(points, lambda labels: judgment(labels, [0.0], 0.0), ClusterSettings(), radius=1.0)
    assert len(rounds) == 1


def test_held_out_strategies_are_as_likely_as_counted():
    code = np.array([0, 0, 1, 0, 1])
    is_held_out = np.array([False, False, False, True, True])
    group = np.zeros(5, dtype=np.int64)
    found = held_out_log_likelihoods(code, is_held_out, [[group]])
    # Two of three in the group, one attempt of prior at equal chances.
    np.testing.assert_allclose(np.exp(found), [(2 + 0.5) / 4, (1 + 0.5) / 4])


def test_chances_of_all_strategies_sum_to_one_in_every_group():
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 6, 80)
    code = np.concatenate([rng.integers(0, 5, 80), np.tile(np.arange(5), 6)])
    fine = np.concatenate([fine, np.repeat(np.arange(6), 5)])
    is_held_out = np.arange(len(code)) >= 80
    code[:5] = np.arange(5)
    chance = np.exp(held_out_log_likelihoods(code, is_held_out, [[fine // 2, fine], [fine // 3]]))
    np.testing.assert_allclose(chance.reshape(6, 5).sum(axis=1), 1)


def test_groups_that_tell_strategies_apart_foretell_better_than_groups_that_do_not_or_are_single():
    rng = np.random.default_rng(1)
    truth = np.arange(600) % 3
    code = np.where(rng.random(600) < 0.8, truth, rng.integers(0, 3, 600))
    is_held_out = rng.random(600) < 0.2
    everything = np.zeros(600, dtype=np.int64)

    def value(group: np.ndarray) -> float:
        return float(held_out_log_likelihoods(code, is_held_out, [[everything, group]]).mean())

    assert value(truth) > value(everything) + 0.2
    assert value(truth) > value(np.arange(600)) + 0.2
    assert value(np.arange(600)) == pytest.approx(value(everything), abs=1e-3)
