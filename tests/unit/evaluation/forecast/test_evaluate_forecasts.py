"""The backtest of a forecaster: both parts, the test opened once, what is said about it."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from planted_series import seasonal_task

from edpipe.datasets.forecasts import PERCENTS, Forecasts
from edpipe.evaluation.forecast.baselines.forecaster import normal_forecasts
from edpipe.evaluation.forecast.baselines.naive import last_value, seasonal_naive
from edpipe.evaluation.forecast.baselines.named import MADE, named_forecasters
from edpipe.evaluation.forecast.calibration import SpreadFactor
from edpipe.evaluation.forecast.cross_fit import cross_fitted, folds
from edpipe.evaluation.forecast.evaluate import evaluate_forecasts, verdicts
from edpipe.evaluation.forecast.metrics import window_scores
from edpipe.evaluation.results import Evaluation, openings
from edpipe.setting_groups_forecast import TSDiffSettings

TASK = seasonal_task()


def oracle(part, *, spread=0.3):
    """The planted pattern as seen in training, with the planted noise."""
    windows = TASK.valid if part == "valid" else TASK.test
    mean = np.empty((len(windows), 7))
    level = np.empty((len(windows), 1))
    for place, (one, origin) in enumerate(zip(windows.series, windows.origins, strict=True)):
        seen = TASK.series.target(int(one))[: TASK.train_ends[one]].astype(float)
        pattern = np.array([seen[day::7].mean() for day in range(7)])
        mean[place] = pattern[(origin + np.arange(7)) % 7]
        level[place] = np.concatenate([seen[day::7] - pattern[day] for day in range(7)]).std() / 0.3
    return normal_forecasts(windows, mean, np.broadcast_to(spread * level, mean.shape))


def evaluate(settings, tmp_path, predict=oracle, **given):
    return evaluate_forecasts(
        settings,
        tmp_path,
        task=TASK,
        model="oracle",
        predict=predict,
        baselines=[last_value(), seasonal_naive()],
        data_fingerprint="f",
        **given,
    )


@pytest.fixture
def done(settings, tmp_path):
    return evaluate(settings, tmp_path)


def test_both_parts_are_scored_beside_the_baselines(done):
    assert set(done.metrics["model"]) == {"oracle", "last_value", "seasonal_naive"}
    assert set(done.metrics["split"]) == {"valid", "test"}
    assert (
        done.value("oracle", "crps") < done.value("seasonal_naive", "crps") < done.value("last_value", "crps")
    )
    assert done.value("oracle", "crps", subset="series:s0") > 0
    row = done.metrics.filter(split="test", model="oracle", subset="all", metric="crps").row(0, named=True)
    assert row["low"] < row["value"] < row["high"]
    assert (row["num_interactions"], row["num_students"]) == (6 * 3 * 7, 6)


def test_the_right_law_is_calibrated_at_every_level_and_its_histogram_is_level(done, tmp_path):
    own = done.calibration.filter(model="oracle")
    np.testing.assert_allclose(own["observed"], own["predicted"], atol=0.12)
    shares = pl.read_parquet(tmp_path / "evaluation" / "pit.parquet").filter(model="oracle", split="test")
    assert shares["share"].sum() == pytest.approx(1)
    assert shares["share"].max() < 0.25


def test_the_test_is_opened_once_and_noted_before_anything_is_forecast(settings, tmp_path):
    asked = []

    def predict(part):
        asked.append((part, len(openings(tmp_path))))
        return oracle(part)

    first = evaluate(settings, tmp_path, predict)
    second = evaluate(settings, tmp_path, predict)
    assert asked == [("valid", 1), ("test", 1)]
    assert second.summary == json.loads(json.dumps(first.summary))
    assert Evaluation.load(tmp_path).metrics.equals(first.metrics)


def test_baselines_of_validation_windows_have_not_seen_them(settings, tmp_path):
    from edpipe.evaluation.forecast.baselines.forecaster import Forecaster

    seen = []

    class Watcher(Forecaster):
        name = "watcher"

        def fit(self, task):
            seen.append(task.test_begins.tolist())

        def predict(self, series, windows):
            return normal_forecasts(windows, np.ones((len(windows), 7)), np.ones((len(windows), 7)))

    evaluate_forecasts(
        settings, tmp_path, task=TASK, model="m", predict=oracle, baselines=[Watcher()], data_fingerprint="f"
    )
    assert seen == [TASK.train_ends.tolist(), TASK.test_begins.tolist()]


def test_it_is_said_which_is_ahead_of_the_baseline_that_validation_would_choose(done, tmp_path, settings):
    paired = pl.read_parquet(tmp_path / "evaluation" / "paired.parquet")
    first, second = verdicts(done.metrics, paired, "oracle")
    assert "'oracle' is ahead of 'seasonal_naive', the best baseline on validation" in first
    assert "The 90 % interval of 'oracle' holds" in second
    other = tmp_path / "worse"
    worse = evaluate(settings, other, lambda part: oracle(part).map(oracle(part).values * 3))
    paired = pl.read_parquet(other / "evaluation" / "paired.parquet")
    assert "is ahead of 'oracle'" in next(verdicts(worse.metrics, paired, "oracle"))
    assert any("is enough" in warning for warning in worse.warnings)


def test_intervals_that_hold_too_much_are_warned_of(settings, tmp_path):
    found = evaluate(settings, tmp_path, lambda part: oracle(part, spread=3.0), notes=("A note.",))
    assert found.warnings[0] == "A note."
    assert any("outside of 87% to 93%" in warning for warning in found.warnings)


def test_the_fan_holds_quantiles_and_what_came(done, tmp_path):
    fan = pl.read_parquet(tmp_path / "evaluation" / "fan.parquet")
    truth = TASK.truth(TASK.test)
    median = fan.filter(pl.col("quantile_level") == 0.5)
    np.testing.assert_allclose(median["actual"].to_numpy(), truth.reshape(-1), rtol=1e-6)
    np.testing.assert_allclose(
        median["target"].to_numpy(), oracle("test").quantile([0.5]).reshape(-1), rtol=1e-5
    )
    steps = pl.read_parquet(tmp_path / "evaluation" / "by_step.parquet")
    assert sorted(steps["step"].unique()) == list(range(1, 8))


def test_before_the_fans_a_context_of_each_series_is_kept(done, tmp_path):
    history = pl.read_parquet(tmp_path / "evaluation" / "fan_history.parquet")
    fan = pl.read_parquet(tmp_path / "evaluation" / "fan.parquet")
    assert history.select("series_id", "time").is_unique().all()
    for (name,), part in history.group_by("series_id"):
        number = TASK.series.ids.index(name)
        begin = int(TASK.test_begins[number])
        np.testing.assert_allclose(
            part["actual"], TASK.series.target(number)[begin - TASK.context_length : begin], rtol=1e-6
        )
        assert part["time"].max() == fan.filter(series_id=name)["origin_time"].min()
    assert set(history["series_id"]) == set(TASK.series.ids)


def test_each_half_is_corrected_by_the_other():
    forecasts, truth = oracle("valid", spread=0.05), TASK.truth(TASK.valid)
    fold = folds(forecasts)
    assert set(zip(TASK.valid.origins.tolist(), fold.tolist(), strict=True)) == {
        (258, 0),
        (265, 0),
        (272, 1),
    } or (len(set(fold.tolist())) == 2)
    found = cross_fitted(forecasts, truth, SpreadFactor.fit)
    expected = SpreadFactor.fit(forecasts.take(fold == 1), truth[fold == 1]).apply(forecasts.take(fold == 0))
    np.testing.assert_array_equal(found.values[fold == 0], expected.values)
    assert 0.75 < window_scores(found, truth).value("coverage_90") < 1.0
    assert window_scores(forecasts, truth).value("coverage_90") < 0.4


def test_series_are_halved_where_each_has_one_window():
    windows = TASK.test.take(np.arange(6))
    one = Forecasts.of_quantiles(windows, np.zeros((6, 99, 7)), PERCENTS)
    assert sorted(folds(one).tolist()) == [0, 0, 0, 1, 1, 1]


def test_settings_name_forecasters_that_there_are():
    for field in ("baselines", "peers"):
        (literal, _) = TSDiffSettings.model_fields[field].annotation.__args__
        assert set(literal.__args__) <= set(MADE)
    names = ["ridge", "last_value", "boosted"]
    assert [one.name for one in named_forecasters(names, 3)][:2] == names[:2]
