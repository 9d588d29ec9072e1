"""Baselines: the published scores, nothing seen of the future, spreads that are right on known laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from unit.evaluation.forecast.planted_series import START, seasonal_task, with_changed_future

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.published_series import published_task
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows, hidden_context, hide
from edpipe.evaluation.forecast.baselines.boosted import BoostedForecaster
from edpipe.evaluation.forecast.baselines.forecaster import filled_forward
from edpipe.evaluation.forecast.baselines.naive import last_value, seasonal_naive
from edpipe.evaluation.forecast.baselines.ridge import RidgeForecaster, fit_ridge, with_more_validation
from edpipe.evaluation.forecast.metrics import window_scores


def forecasters():
    return [
        last_value(),
        last_value(spread="none"),
        seasonal_naive(),
        RidgeForecaster(num_windows=500),
        RidgeForecaster(num_windows=500, width="common"),
        BoostedForecaster(num_rows=400, num_trees=4),
    ]


def crps(task: ForecastTask, forecaster) -> float:
    forecaster.fit(task)
    found = forecaster.predict(task.series, task.test)
    return window_scores(found, task.truth(task.test)).value("crps")


@pytest.mark.parametrize(
    ("name", "season", "measured", "digits"),
    [
        ("exchange_rate", 5, 0.0107, 4),
        ("exchange_rate", 1, 0.0093, 4),
        ("m4_hourly", 24, 0.0483, 4),
        ("bike_sharing", 24, 0.339, 3),
        ("bike_sharing", 168, 0.391, 3),
        ("website_visits", 7, 0.130, 3),
        ("oulad", 1, 1.22, 2),
        ("oulad", 7, 1.59, 2),
    ],
)
def test_repeating_without_spread_scores_what_was_measured(real_data, name, season, measured, digits):
    task = published_task(name, real_data / "timeseries")
    assert round(crps(task, seasonal_naive(season, spread="none")), digits) == measured


@pytest.mark.parametrize(("context", "measured"), [(120, 0.0349), (168, 0.0352), (312, 0.0395)])
def test_ridge_without_spread_scores_what_was_measured(real_data, context, measured):
    task = published_task("m4_hourly", real_data / "timeseries")
    # Other draws of 10,000 windows move the score by up to 0.0021.
    assert crps(task, RidgeForecaster((context,), width="none")) == pytest.approx(measured, abs=0.0025)


@pytest.mark.parametrize("forecaster", forecasters(), ids=lambda one: one.name)
def test_forecasts_depend_on_nothing_from_the_origin_on(forecaster):
    task = seasonal_task(num_windows=1)
    forecaster.fit(task)
    expected = forecaster.predict(task.series, task.test).values
    changed = with_changed_future(task)
    np.testing.assert_array_equal(forecaster.predict(changed, task.test).values, expected)
    forecaster.fit(replace(task, series=changed))
    np.testing.assert_array_equal(forecaster.predict(changed, task.test).values, expected)


@pytest.mark.parametrize("forecaster", forecasters(), ids=lambda one: one.name)
def test_gaps_and_new_series_are_forecast_all_the_same(forecaster):
    task = seasonal_task()
    forecaster.fit(task)
    hidden = hidden_context("end", num_windows=len(task.test), context_length=28)
    series, windows = hide(task.series, task.test, hidden, 7)
    found = forecaster.predict(series, windows)
    scores = window_scores(found, task.truth(task.test))
    assert scores.value("crps") < 0.5


def test_repeating_takes_the_last_season_and_the_last_value():
    values = np.arange(20.0)
    series = SeriesSet.from_arrays(["a"], [START], [values], "daily")
    task = ForecastTask.rolling("ramp", series, context_length=4, prediction_length=4, num_windows=1)
    for season, expected in ((1, [15] * 4), (3, [13, 14, 15, 13])):
        forecaster = seasonal_naive(season)
        forecaster.fit(task)
        median = forecaster.predict(series, Windows(np.array([0]), np.array([16]))).quantile([0.5])
        np.testing.assert_array_equal(median[0, 0], expected)


def test_gaps_take_the_season_before_and_then_the_last_value():
    found = filled_forward(np.array([np.nan, 1, 2, np.nan, np.nan, 5]), 2)
    np.testing.assert_array_equal(found, [1, 1, 2, 1, 2, 5])
    np.testing.assert_array_equal(filled_forward(np.full(3, np.nan), 2), 0)


def test_ridge_equals_scikit_learn():
    random = np.random.default_rng(0)
    inputs, outputs = random.normal(size=(80, 9)), random.normal(size=(80, 4))
    theirs = Ridge(alpha=2.5).fit(inputs, outputs)
    np.testing.assert_allclose(fit_ridge(inputs, outputs, 2.5)(inputs), theirs.predict(inputs), rtol=1e-9)


def test_ridge_finds_the_context_that_the_law_needs_and_the_width_of_its_noise():
    task = seasonal_task(num_series=12, length=400, num_windows=4)
    forecaster = RidgeForecaster((3, 28), num_windows=3_000)
    forecaster.fit(task)
    assert forecaster.chosen_context == 28
    scores = window_scores(forecaster.predict(task.series, task.test), task.truth(task.test))
    assert scores.value("coverage_90") == pytest.approx(0.9, abs=0.05)
    assert scores.value("coverage_50") == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("season", [1, 7])
def test_repeating_covers_what_it_says_on_a_random_walk(season):
    random = np.random.default_rng(1)
    targets = list(random.normal(size=(40, 500)).cumsum(axis=1))
    series = SeriesSet.from_arrays([str(n) for n in range(40)], np.full(40, START), targets, "daily")
    task = ForecastTask.rolling("walk", series, context_length=28, prediction_length=7, num_windows=2)
    forecaster = seasonal_naive(season)
    forecaster.fit(task)
    scores = window_scores(forecaster.predict(series, task.test), task.truth(task.test))
    assert scores.value("coverage_90") == pytest.approx(0.9, abs=0.06)


def test_local_width_follows_noisy_and_quiet_series():
    quiet, loud = seasonal_task(noise=0.02, seed=1), seasonal_task(noise=1.0, seed=1)
    targets = [one.series.target(number) for one in (quiet, loud) for number in range(6)]
    series = SeriesSet.from_arrays([str(n) for n in range(12)], np.full(12, START), targets, "daily")
    task = ForecastTask.rolling("mixed", series, context_length=28, prediction_length=7, num_windows=4)
    losses = [crps(task, RidgeForecaster(num_windows=2_000, width=width)) for width in ("common", "local")]
    assert losses[1] < losses[0]


def test_boosted_trees_learn_the_pattern():
    task = seasonal_task()
    forecaster = BoostedForecaster(num_rows=1_500, num_trees=25)
    assert crps(task, forecaster) < crps(task, last_value())


def test_more_validation_never_takes_test_steps_or_all_of_training():
    task = seasonal_task(num_windows=1)
    found = with_more_validation(task, 4)
    assert len(found.valid) == 4 * task.series.num_series
    assert (found.valid.origins + 7 <= task.test_begins[found.valid.series]).all()
    assert (found.train_ends == found.valid.origins.min()).all()
    short = seasonal_task(length=28 + 4 * 7, num_windows=1)
    assert len(with_more_validation(short, 4).valid) <= 2 * short.series.num_series


def test_forecasts_come_out_equal_for_equal_seeds():
    task = seasonal_task(num_series=2)
    for make in (RidgeForecaster, BoostedForecaster):
        values = []
        for _ in range(2):
            small = {"num_windows": 300} if make is RidgeForecaster else {"num_rows": 200, "num_trees": 2}
            forecaster = make(seed=3, **small)
            forecaster.fit(task)
            values.append(forecaster.predict(task.series, task.test).values)
        np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("forecaster", forecasters(), ids=lambda one: one.name)
def test_what_comes_after_the_end_of_the_data_is_forecast_as_if_it_were_there(forecaster):
    task = seasonal_task(num_windows=1)
    forecaster.fit(task)
    expected = forecaster.predict(task.series, task.test)
    ended = task.series.cut(task.test_begins)
    found = forecaster.predict(ended, Windows(np.arange(ended.num_series), ended.lengths))
    np.testing.assert_array_equal(found.values, expected.values)
