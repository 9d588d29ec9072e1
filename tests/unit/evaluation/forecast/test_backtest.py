"""Backtests: one table for all, intervals that equal copying windows, differences that are paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.evaluation.forecast.planted_series import seasonal_task

from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series_windows import Windows
from edpipe.errors import SettingsError
from edpipe.evaluation.bootstrap import student_weights
from edpipe.evaluation.forecast.backtest import CalibratedForecaster, backtest
from edpipe.evaluation.forecast.baselines.naive import last_value, seasonal_naive
from edpipe.evaluation.forecast.baselines.ridge import RidgeForecaster
from edpipe.evaluation.forecast.calibration import SpreadFactor
from edpipe.evaluation.forecast.intervals import MIN_SERIES, WindowDraws
from edpipe.evaluation.forecast.metrics import METRICS, window_scores


def test_one_row_a_model_and_metric():
    task = seasonal_task()
    found = backtest(task, [last_value(), seasonal_naive()], num_draws=50, progress="none")
    table = found.table()
    assert table.columns == ["data", "model", "metric", "value", "low", "high", "seconds"]
    assert table.height == 2 * len(METRICS)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    differences = found.differences("last_value")
    row = differences.filter(differences["metric"] == "crps").row(0, named=True)
    assert row["model"] == "seasonal_naive"
    assert row["high"] < 0
    assert found.by_step("crps").height == 2 * task.prediction_length
    with pytest.raises(SettingsError, match="seasonal_naive"):
        found.differences("ets")


def test_without_draws_intervals_are_null():
    table = backtest(seasonal_task(num_series=2), [last_value()], num_draws=0, progress="none").table()
    assert table["low"].null_count() == table.height


def test_every_forecaster_keeps_to_the_minimum():
    task = replace(seasonal_task(), minimum=1e9)
    found = backtest(task, [seasonal_naive()], num_draws=0, progress="none")
    assert found.forecasts["seasonal_naive"].values.min() == 1e9


@pytest.mark.parametrize("num_series", [MIN_SERIES - 1, MIN_SERIES])
def test_draws_equal_scores_of_copied_windows(num_series):
    random = np.random.default_rng(0)
    series = np.tile(np.arange(num_series), 4)
    windows = Windows(series, np.repeat(np.arange(4), num_series) * 5 + 50)
    forecasts = Forecasts.of_samples(windows, random.normal(size=(len(series), 20, 5)))
    truth = random.normal(size=(len(series), 5))
    draws = WindowDraws(windows, num_draws=6, seed=3)
    assert draws.is_by_series == (num_series >= MIN_SERIES)
    found = draws.estimate(window_scores(forecasts, truth), "crps").draws
    number = num_series if draws.is_by_series else len(series)
    weights = student_weights(number, 6, np.random.default_rng(3))
    cluster = series if draws.is_by_series else np.arange(len(series))
    for draw in range(6):
        rows = np.repeat(np.arange(len(series)), weights[cluster, draw])
        copied = window_scores(forecasts.take(rows), truth[rows]).value("crps")
        assert found[draw] == pytest.approx(copied)


def test_a_model_does_not_differ_from_itself():
    task = seasonal_task()
    found = backtest(task, [seasonal_naive(), last_value()], num_draws=20, progress="none")
    scores = found.scores["seasonal_naive"]
    estimate = found.draws.difference(scores, scores, "crps")
    assert (estimate.draws == 0).all()


def test_calibration_is_measured_on_windows_that_were_not_fitted():
    task = seasonal_task()
    seen = []

    class Spy(RidgeForecaster):
        def fit(self, task):
            seen.append(task.test_begins.copy())
            super().fit(task)

    forecaster = CalibratedForecaster(Spy(num_windows=300), SpreadFactor.fit)
    forecaster.fit(task)
    assert (seen[0] == task.train_ends).all()
    assert (seen[1] == task.test_begins).all()
    assert forecaster.calibration.factor > 0
    assert len(forecaster.predict(task.series, task.test)) == len(task.test)


def test_names_must_differ():
    with pytest.raises(ValueError, match="distinct"):
        backtest(seasonal_task(num_series=2), [last_value(), last_value()], progress="none")


class Slow(type(last_value())):
    """Tells its work in thirds, and would tell more than there is."""

    def __init__(self, shares):
        super().__init__(1)
        self.name = "slow"
        self.shares = shares

    def fit(self, task):
        super().fit(task)
        for share in self.shares:
            self._advance(share)


@pytest.mark.parametrize("shares", [(), (1 / 3, 1 / 3), (0.9, 0.9)])
def test_a_forecaster_that_tells_how_far_it_is_counts_as_one_in_all(shares, monkeypatch, capsys):
    monkeypatch.setattr("edpipe.progress.SECONDS_BETWEEN_LINES", 0.0)
    forecaster = Slow(shares)
    backtest(seasonal_task(num_series=2), [forecaster, last_value()], num_draws=0, progress="log")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("Backtest of planted: done: 2 of 2 models (last_value)")
    assert sum("(slow)" in line for line in lines) == len(shares) + 1
    forecaster.fit(seasonal_task(num_series=2))  # nobody listens any more
    assert not capsys.readouterr().err
