"""Leakage of copies, of fresh windows of the same law, and what a verdict makes of it."""

import numpy as np
import pytest
from window_worlds import pieces

from edpipe.evaluation.synthesis.measured import Measured, auc_measured, mean_measured
from edpipe.evaluation.synthesis.privacy import leakage, membership, nearest_distance
from edpipe.evaluation.synthesis.verdict import verdict

WIDTH = 6


def drawn(number, seed):
    return np.random.default_rng(seed).normal(size=(number, WIDTH))


def measure(synthetic, num_training=150, num_held_out=150, seed=0):
    training, held_out = pieces(drawn(num_training, [seed, 1])), pieces(drawn(num_held_out, [seed, 2]))
    random = np.random.default_rng([seed, 3])
    matched = [np.sort(random.permutation(num_training)[:num_held_out]) for _ in range(3)]
    return leakage(synthetic(training.values), training, held_out, matched, num_draws=200, seed=seed)


def test_the_nearest_window_is_found_as_by_hand():
    windows, reference = drawn(30, 1), drawn(40, 2)
    slow = np.sqrt(((windows[:, None] - reference) ** 2).mean(axis=2))
    distance, nearest = nearest_distance(windows, reference)
    np.testing.assert_allclose(distance, slow.min(axis=1), rtol=1e-9)
    np.testing.assert_array_equal(nearest, slow.argmin(axis=1))


def test_copies_of_training_windows_are_flagged():
    found = measure(lambda training: training + 1e-3 * drawn(len(training), 9))
    assert found.measured["closer_to_training"].value == 1
    assert found.measured["near_copies"].value == 1
    assert found.measured["distance_ratio"].high < 0.1
    assert found.measured["membership_distance"].low > 0.95
    told = verdict("copier", found.measured)
    assert told.finding == "leaks"
    assert "copier leaks" in told.sentence
    assert "100 %" in told.sentence


def test_few_copies_among_many_fresh_windows_are_flagged_by_their_share():
    found = measure(lambda training: np.concatenate([training[:60], drawn(240, 8)]), num_training=600)
    assert found.measured["near_copies"].low > 0.15
    assert verdict("copier", found.measured).finding == "leaks"


def test_fresh_windows_of_the_same_law_leak_nothing():
    found = [measure(lambda _, seed=seed: drawn(200, [seed, 4]), seed=seed) for seed in range(12)]
    for name, nothing in (
        ("closer_to_training", 0.5),
        ("distance_ratio", 1.0),
        ("near_copies", 0.05),
        ("membership_distance", 0.5),
    ):
        inside = [one.measured[name].low <= nothing <= one.measured[name].high for one in found]
        assert np.mean(inside) >= 0.75, name
        assert np.mean([one.measured[name].value for one in found]) == pytest.approx(nothing, abs=0.03), name
    verdicts = [verdict("honest", one.measured).finding for one in found]
    assert verdicts.count("leaks") == 0


def test_groups_that_are_drawn_together_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=30), 20)
    alone, together = (
        mean_measured(values, groups, num_draws=400, random=np.random.default_rng(1))
        for groups in (np.arange(600), np.repeat(np.arange(30), 20))
    )
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert together.high - together.low == pytest.approx(4 * values.std() / np.sqrt(30), rel=0.25)


def test_the_interval_of_an_area_holds_the_truth_about_as_often_as_it_says():
    is_first = np.arange(200) < 100
    inside = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        score = random.normal(size=200) + is_first  # the area is the normal law at 1 / sqrt(2): 0.7602
        found = auc_measured(is_first, score, np.arange(200), num_draws=200, random=random)
        inside += found.low <= 0.7602 <= found.high
    assert inside >= 34


def test_membership_of_sets_that_nobody_saw_is_a_coin():
    both = [
        membership(
            pieces(drawn(100, 1)),
            pieces(drawn(100, 2)),
            drawn(200, [3, seed])[:, 0],
            num_draws=100,
            random=np.random.default_rng(seed),
        )
        for seed in range(10)
    ]
    assert np.mean([one.value for one in both]) == pytest.approx(0.5, abs=0.04)
    assert sum(one.low <= 0.5 <= one.high for one in both) >= 8


def test_what_a_generator_without_memory_reaches_too_is_no_more_than_a_doubt():
    measured = {"membership_distance": Measured(0.7, 0.66, 0.74)}
    drift = {"membership_distance": Measured(0.69, 0.65, 0.73)}
    assert verdict("model", measured).finding == "leaks"
    doubtful = verdict("model", measured, drift)
    assert doubtful.finding == "doubtful"
    assert "copies nothing" in doubtful.sentence
    assert verdict("model", {"membership_distance": Measured(0.51, 0.47, 0.55)}).finding == "no_sign"


def test_a_figure_without_interval_stands_for_itself():
    assert verdict("model", {"near_copies": Measured(0.5)}).finding == "leaks"


def test_a_verdict_needs_a_figure_of_leakage():
    with pytest.raises(ValueError, match="leakage"):
        verdict("model", {"linear_score": Measured(0.1)})


def test_pieces_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="as long"):
        nearest_distance(drawn(3, 1), drawn(3, 1)[:, :4])
