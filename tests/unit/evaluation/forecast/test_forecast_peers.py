"""Forecasters of other packages: same windows, same result type; a clear message where they are absent."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from unit.evaluation.forecast.planted_series import seasonal_task, with_changed_future

from edpipe.errors import SettingsError
from edpipe.evaluation.forecast.baselines.gluonts import KINDS, GluontsForecaster
from edpipe.evaluation.forecast.baselines.naive import last_value
from edpipe.evaluation.forecast.baselines.peers import require_peer
from edpipe.evaluation.forecast.baselines.statistical import auto_arima, auto_ets
from edpipe.evaluation.forecast.metrics import window_scores

needs_statsforecast = pytest.mark.skipif(
    importlib.util.find_spec("statsforecast") is None,
    reason="needs statsforecast: pip install -e '.[peers]'",
)
needs_gluonts = pytest.mark.skipif(
    importlib.util.find_spec("gluonts") is None, reason="needs gluonts: pip install -e '.[peers]'"
)


def test_absent_packages_are_told_with_the_command_that_installs_them():
    with pytest.raises(SettingsError, match=r"pip install -e '\.\[peers\]'"):
        require_peer("no_such_package.models", "auto_arima")


def test_a_package_that_is_broken_inside_is_not_called_absent(tmp_path, monkeypatch):
    (tmp_path / "broken_peer.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require_peer("broken_peer", "auto_ets")


@needs_statsforecast
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [auto_arima, auto_ets])
def test_statistical_models_beat_the_last_value_and_see_nothing_of_the_future(make):
    task = seasonal_task(num_series=2, length=160, num_windows=1)
    scores = {}
    for forecaster in (make(history=80), last_value()):
        forecaster.fit(task)
        found = forecaster.predict(task.series, task.test)
        scores[forecaster.name] = window_scores(found, task.truth(task.test)).value("crps")
        changed = forecaster.predict(with_changed_future(task), task.test)
        np.testing.assert_array_equal(changed.values, found.values)
    assert scores[make().name] < scores["last_value"]


@needs_statsforecast
@pytest.mark.filterwarnings("ignore")
def test_a_constant_past_goes_on():
    task = seasonal_task(num_series=1, noise=0.0)
    forecaster = auto_ets()
    forecaster.fit(task)
    flat = task.series.from_arrays(["flat"], task.series.starts, [np.full(300, 4.0)], "daily")
    assert (forecaster.predict(flat, task.test).values == 4.0).all()


@needs_gluonts
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_networks_forecast_every_window_and_leave_no_file(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = seasonal_task(num_series=3, length=200, num_windows=1)
    values = []
    for _ in range(2):
        forecaster = GluontsForecaster(kind, num_epochs=1, batches_per_epoch=2, batch_size=4)
        forecaster.fit(task)
        found = forecaster.predict(task.series, task.test)
        changed = forecaster.predict(with_changed_future(task), task.test)
        np.testing.assert_array_equal(changed.values, found.values)
        values.append(found.values)
    assert window_scores(found, task.truth(task.test)).value("crps") < 10
    np.testing.assert_array_equal(*values)
    assert not list(Path().iterdir())


@needs_gluonts
@pytest.mark.filterwarnings("ignore")
def test_networks_train_before_validation_choose_the_epoch_there_and_say_how_far_they_are(monkeypatch, capfd):
    task = seasonal_task(num_series=2, length=200, num_windows=2)
    forecaster = GluontsForecaster("patchtst", num_epochs=3, batches_per_epoch=2, batch_size=4)
    estimator = type(forecaster._estimator(task, "."))
    asked, told = [], []
    train = estimator.train

    def watched(self, seen, chosen_on, **options):
        asked.extend([len(one["target"]) for one in part] for part in (seen, chosen_on))
        return train(self, seen, chosen_on, **options)

    monkeypatch.setattr(estimator, "train", watched)
    forecaster.follow(told.append)
    forecaster.fit(task)
    assert asked == [task.train_ends.tolist(), (task.valid.origins + task.prediction_length).tolist()]
    assert max(asked[1]) <= task.test_begins.max()
    assert len(told) == 3
    assert 0 < sum(told) <= 1
    assert forecaster.limits == "best of 3 epochs of 2 batches of 4"
    assert capfd.readouterr() == ("", "")


@needs_statsforecast
def test_statistical_models_say_how_much_history_they_are_fitted_to():
    task = seasonal_task(num_series=1)
    for forecaster, said in ((auto_ets(), "last 280 steps"), (auto_arima(), "last 100 steps")):
        forecaster.fit(task)
        assert forecaster.limits.startswith(said)
