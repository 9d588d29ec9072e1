"""Scores of forecasters that learned from synthetic windows, in a world whose best forecast is known."""

import numpy as np
import pytest
from window_worlds import CONTEXT, LENGTH, ar1, ar1_task, ar1_windows

from edpipe.datasets.frequency import frequency_named
from edpipe.evaluation.forecast.metrics import mean_weighted_quantile_loss
from edpipe.evaluation.synthesis.discriminative import tell_apart
from edpipe.evaluation.synthesis.downstream import Calendar, downstream_scores
from edpipe.evaluation.synthesis.generators import block_bootstrap, gaussian
from edpipe.evaluation.synthesis.linear_score import linear_forecasts, linear_score
from edpipe.evaluation.synthesis.real_windows import UnitWindows, real_test_windows, real_unit_windows

TASK = ar1_task(num_windows=8)
TEST = real_test_windows(TASK)
DAILY = Calendar(frequency_named("daily"), 1)


def real(number=400, seed=0):
    return real_unit_windows(TASK, number, np.random.default_rng(seed))


def test_ideal_windows_are_worth_as_much_as_real_ones():
    ideal, learned = linear_score(ar1_windows(3000, 1), TEST), linear_score(real(3000).values, TEST)
    assert ideal == pytest.approx(learned, rel=0.03)


def test_the_linear_score_is_close_to_that_of_the_best_forecast():
    # Where sizes are alike, division by them takes away the mean of the context and nothing else.
    place = np.arange(LENGTH)
    covariance = 0.8 ** np.abs(place[:, None] - place)
    centered = np.eye(LENGTH) - (place < CONTEXT) / CONTEXT
    of_centered = centered @ covariance @ centered.T
    weights = of_centered[CONTEXT:, :CONTEXT] @ np.linalg.pinv(of_centered[:CONTEXT, :CONTEXT])
    best = TEST.scale[:, None] * (1 + (TEST.context - 1) @ weights.T)
    truth = TEST.truth.astype(float)
    deviation = np.abs(truth - best).sum() / np.abs(truth).sum()
    assert linear_score(ar1_windows(4000, 1), TEST) == pytest.approx(deviation, rel=0.03)


def test_the_linear_score_is_the_normalized_deviation_of_a_point_forecast():
    found = linear_forecasts(real().values, TEST)
    truth = TEST.truth.astype(float)
    deviation = np.abs(truth - found.values[:, 0]).sum() / np.abs(truth).sum()
    assert linear_score(real().values, TEST) == pytest.approx(deviation, rel=1e-6)
    assert mean_weighted_quantile_loss(found, TEST.truth) == pytest.approx(deviation, rel=1e-6)


def test_noise_without_memory_is_worth_less_than_real_windows():
    noise = 1 + 0.3 * np.random.default_rng(0).normal(size=(3000, LENGTH))
    assert linear_score(noise, TEST) > 1.1 * linear_score(real(3000).values, TEST)


def test_a_normal_law_of_two_moments_is_worth_as_much_as_the_windows_it_was_fitted_to():
    windows = real(600).values
    drawn = gaussian(windows, 6000, random=np.random.default_rng(1))
    np.testing.assert_allclose(drawn.mean(axis=0), windows.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(windows.T), atol=0.01)
    assert linear_score(drawn, TEST) == pytest.approx(linear_score(windows, TEST), rel=0.03)


@pytest.mark.parametrize("kind", ["ridge", "boosted"])
def test_forecasters_with_a_spread_learn_from_ideal_windows_what_they_learn_from_real_ones(kind):
    ideal, learned, noise = (
        downstream_scores(kind, windows, TEST, DAILY, num_rows=600, num_trees=5).value("crps")
        for windows in (
            ar1_windows(800, 1),
            real(800).values,
            1 + 0.5 * np.random.default_rng(0).normal(size=(800, LENGTH)),
        )
    )
    assert ideal == pytest.approx(learned, rel=0.1)
    assert noise > 1.1 * ideal


def test_the_spread_of_the_ridge_covers_what_it_says():
    scores = downstream_scores("ridge", ar1_windows(3000, 1), TEST, DAILY)
    assert scores.value("coverage_90") == pytest.approx(0.9, abs=0.05)


def test_windows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="shape"):
        linear_score(np.ones((10, LENGTH - 1)), TEST)
    with pytest.raises(ValueError, match="finite"):
        linear_score(np.full((10, LENGTH), np.nan), TEST)


def test_two_samples_of_one_law_cannot_be_told_apart():
    found = [
        tell_apart(
            ar1_windows(150, seed), ar1_windows(150, 100 + seed), np.arange(150), num_trees=8, num_draws=100
        )
        for seed in range(4)
    ]
    values = [one["discriminative_auc"].value for one in found]
    assert np.mean(values) == pytest.approx(0.5, abs=0.05)
    assert sum(one["discriminative_auc"].low <= 0.5 <= one["discriminative_auc"].high for one in found) >= 3
    assert np.mean([one["discriminative_accuracy"].value for one in found]) == pytest.approx(0.5, abs=0.05)


def test_shifted_windows_are_told_apart():
    found = tell_apart(ar1_windows(100, 1), ar1_windows(100, 2) + 1, np.arange(100), num_trees=8)
    assert found["discriminative_auc"].low > 0.9
    assert found["discriminative_accuracy"].value > 0.95


def test_windows_that_share_steps_do_not_cross_folds():
    # Every real window stands ten times: only a classifier that sees copies in training can tell them.
    real_windows, synthetic = np.repeat(ar1_windows(30, 1), 10, axis=0), ar1_windows(300, 2)
    apart, crossed = (
        tell_apart(real_windows, synthetic, groups, num_trees=8, num_draws=0)["discriminative_auc"].value
        for groups in (np.repeat(np.arange(30), 10), np.arange(300))
    )
    assert crossed > apart + 0.1


def test_blocks_keep_their_place_and_the_phase_of_the_season():
    phases = np.arange(20) % 4
    place = np.arange(12)
    values = 100.0 * np.arange(20)[:, None] + place  # which window, and which step
    windows = UnitWindows(values, np.arange(20), phases)
    found = block_bootstrap(windows, 50, block_length=4, random=np.random.default_rng(0))
    source, step = np.divmod(found, 100)
    np.testing.assert_array_equal(step, np.broadcast_to(place, step.shape))
    of_block = source.reshape(50, 3, 4).astype(int)
    assert (of_block == of_block[:, :, :1]).all()
    assert (phases[of_block[:, :, 0]] == phases[of_block[:, :1, 0]]).all()
    assert (of_block[:, 0, 0] != of_block[:, 1, 0]).any()


def test_real_windows_are_divided_by_the_mean_size_of_their_context_and_end_before_validation():
    changed = TASK.series.values.copy()
    for begin, end in zip(TASK.series.offsets[:-1] + TASK.train_ends, TASK.series.offsets[1:], strict=True):
        changed[begin:end] = 1e6
    np.testing.assert_allclose(np.abs(real().values[:, :CONTEXT]).mean(axis=1), 1, rtol=1e-5)
    before = real().values
    TASK.series.values[:], kept = changed, TASK.series.values.copy()
    try:
        np.testing.assert_array_equal(real().values, before)
    finally:
        TASK.series.values[:] = kept


def test_the_world_is_stationary():
    values = ar1((4000, 30), np.random.default_rng(0))
    assert values[:, 0].std() == pytest.approx(values[:, -1].std(), rel=0.05)
