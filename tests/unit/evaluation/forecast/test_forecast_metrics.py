"""Forecast scores: equal to closed forms, to slow implementations and to GluonTS."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from edpipe.datasets.forecasts import PERCENTS, Forecasts, pool
from edpipe.datasets.series_windows import Windows
from edpipe.errors import ContractError
from edpipe.evaluation.forecast.metrics import (
    DECILES,
    mean_weighted_quantile_loss,
    pit,
    sample_crps,
    seasonal_naive_error,
    window_scores,
)


def windows(number: int) -> Windows:
    return Windows(np.arange(number, dtype=np.int64), np.full(number, 10, dtype=np.int64))


def normal_forecasts(mean, spread, levels=PERCENTS) -> Forecasts:
    quantiles = mean[:, None] + spread[:, None] * norm.ppf(levels)[:, None]
    return Forecasts.of_quantiles(windows(len(mean)), quantiles, levels)


def test_crps_is_the_sum_of_losses_over_the_sum_of_values():
    random = np.random.default_rng(0)
    samples, truth = random.normal(size=(4, 11, 3)), random.normal(size=(4, 3))
    truth[1, 2] = np.nan
    total = magnitude = 0.0
    for window in range(4):
        for step in range(3):
            actual = truth[window, step]
            if np.isnan(actual):
                continue
            magnitude += abs(actual)
            for level in DECILES:
                value = np.sort(np.float32(samples[window, :, step]))[round(level * 10)]
                total += 2 * (level - (actual < value)) * (actual - value) / 9
    forecasts = Forecasts.of_samples(windows(4), samples)
    expected = pytest.approx(total / magnitude, rel=1e-6)
    assert mean_weighted_quantile_loss(forecasts, truth) == expected
    assert window_scores(forecasts, truth).value("crps") == expected


@pytest.mark.filterwarnings("ignore")  # GluonTS advises other libraries
def test_crps_equals_gluonts():
    pytest.importorskip("gluonts", reason="needs gluonts: pip install 'edpipe[peers]'")
    import pandas as pd
    from gluonts.evaluation import Evaluator
    from gluonts.model.forecast import SampleForecast

    random = np.random.default_rng(1)
    samples, truth = random.normal(3, 1, size=(6, 100, 5)), random.normal(3, 1, size=(6, 5))
    past = random.normal(3, 1, size=40)
    index = pd.period_range("2024-01-01", periods=45, freq="D")
    frames = [pd.DataFrame({0: np.r_[past, one]}, index=index) for one in truth]
    theirs = [SampleForecast(one.astype(np.float32), index[40]) for one in samples]
    with np.errstate(all="ignore"):
        aggregate, _ = Evaluator(quantiles=DECILES, num_workers=0)(iter(frames), iter(theirs))
    found = window_scores(Forecasts.of_samples(windows(6), samples), truth)
    assert found.value("crps") == pytest.approx(aggregate["mean_wQuantileLoss"], rel=1e-5)
    assert found.value("normalized_deviation") == pytest.approx(
        aggregate["abs_error"] / aggregate["abs_target_sum"], rel=1e-5
    )


def test_sample_crps_equals_the_double_sum():
    random = np.random.default_rng(2)
    samples, actual = random.normal(size=(3, 7, 2)), random.normal(size=(3, 2))
    between = np.abs(samples[:, :, None] - samples[:, None]).sum(axis=(1, 2))
    error = np.abs(samples - actual[:, None]).mean(axis=1)
    np.testing.assert_allclose(sample_crps(samples, actual), error - between / (2 * 49))
    np.testing.assert_allclose(sample_crps(samples, actual, fair=True), error - between / (2 * 42))


def test_crps_of_a_normal_law_is_its_closed_form():
    random = np.random.default_rng(3)
    mean, spread, actual = random.normal(size=(3, 5, 4))
    spread = np.abs(spread) + 0.2
    z = (actual - mean) / spread
    closed = spread * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    found = window_scores(normal_forecasts(mean, spread), actual)
    np.testing.assert_allclose(found.tops["crps_exact"], closed, rtol=0.02, atol=2e-3)
    samples = mean[:, None] + spread[:, None] * random.normal(size=(5, 4000, 4))
    np.testing.assert_allclose(sample_crps(samples, actual, fair=True), closed, rtol=0.1, atol=0.05)


def test_calibrated_forecasts_cover_what_they_say_and_have_a_flat_pit():
    random = np.random.default_rng(4)
    mean, spread = random.normal(size=(400, 10)), random.uniform(0.5, 2, size=(400, 10))
    truth = mean + spread * random.normal(size=mean.shape)
    truth[random.random(truth.shape) < 0.2] = np.nan
    forecasts = normal_forecasts(mean, spread)
    scores = window_scores(forecasts, truth)
    for percent in (50, 80, 90):
        assert scores.value(f"coverage_{percent}") == pytest.approx(percent / 100, abs=0.025)
    for one in (forecasts, Forecasts.of_samples(forecasts.windows, forecasts.paths(50))):
        found = pit(one, truth, random)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(truth))
        counts, _ = np.histogram(found[~np.isnan(found)], bins=10, range=(0, 1))
        np.testing.assert_allclose(counts / counts.sum(), 0.1, atol=0.02)


def test_a_point_forecast_scores_its_absolute_error():
    random = np.random.default_rng(5)
    points, truth = random.normal(size=(2, 6, 3))
    scores = window_scores(Forecasts.of_points(windows(6), points), truth).values()
    expected = pytest.approx(np.abs(np.float32(points) - truth).sum() / np.abs(truth).sum())
    assert scores["normalized_deviation"] == scores["crps_exact"] == expected
    assert scores["crps"] == expected
    assert scores["width_90"] == 0
    assert np.isnan(scores["mase"])


def test_scaled_error_leaves_out_constant_series():
    error = seasonal_naive_error([np.array([1.0, 2, 3, 5]), np.ones(4), np.array([1.0])], 2)
    np.testing.assert_allclose(error, [2.5, 0, np.nan])
    truth = np.array([[5.0], [7.0], [9.0]])
    scores = window_scores(Forecasts.of_points(windows(3), np.zeros((3, 1))), truth, error)
    assert scores.value("mase") == pytest.approx(5 / 2.5)


def test_scores_by_step_weigh_to_the_whole():
    random = np.random.default_rng(6)
    truth = random.normal(size=(5, 4))
    scores = window_scores(Forecasts.of_samples(windows(5), random.normal(size=(5, 20, 4))), truth)
    weight = np.abs(truth).sum(axis=0)
    assert (scores.by_step("crps") * weight).sum() / weight.sum() == pytest.approx(scores.value("crps"))


def test_nothing_observed_is_refused():
    with pytest.raises(ContractError, match="nothing to score"):
        window_scores(Forecasts.of_points(windows(1), np.zeros((1, 2))), np.full((1, 2), np.nan))


def test_quantiles_lie_on_lines_between_levels_and_nowhere_beyond():
    found = Forecasts.of_quantiles(windows(1), np.array([[[3.0], [1.0]]]), [0.25, 0.75])
    np.testing.assert_allclose(found.quantile([0.25, 0.5, 0.75])[0, :, 0], [1, 2, 3])
    np.testing.assert_allclose(found.paths(4)[0, :, 0], [1, 1.5, 2.5, 3])
    with pytest.raises(ValueError, match="levels must lie"):
        found.quantile([0.1])


def test_forecasts_refuse_what_is_no_forecast():
    zero = np.zeros(1, dtype=np.int64)
    falling = np.array([[[2.0], [1.0]]])
    with pytest.raises(ValueError, match="not finite"):
        Forecasts.of_points(windows(1), np.full((1, 2), np.nan))
    with pytest.raises(ValueError, match="must not fall"):
        Forecasts(zero, zero, quantiles=falling, quantile_levels=(0.1, 0.9))
    with pytest.raises(ValueError, match="one of the two"):
        Forecasts(zero, zero)


def test_pooled_forecasts_hold_all_paths():
    first, second = (Forecasts.of_points(windows(2), np.full((2, 3), value)) for value in (1.0, 3.0))
    found = pool([first, second])
    assert found.samples.shape == (2, 2, 3)
    assert found.at_least(2.0).samples.min() == 2
    assert len(found.take(np.array([True, False]))) == 1
    moved = Forecasts.of_points(Windows(np.array([0, 1]), np.array([10, 11])), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="same windows"):
        pool([first, moved])
