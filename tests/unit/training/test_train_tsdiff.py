"""Training of forecasters: the run, its end after an interruption, what validation chooses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from series_data import sourced, tiny

from edpipe.datasets.frequency import Ints
from edpipe.datasets.series_source import SourcedTask
from edpipe.datasets.series_transform import transformed
from edpipe.errors import SettingsError, TrainingError
from edpipe.evaluation.forecast.calibration import QuantileOffsets, SpreadFactor
from edpipe.evaluation.forecast.metrics import mean_weighted_quantile_loss, window_scores
from edpipe.prediction.forecast import forecast_windows, load_forecaster
from edpipe.prediction.forecast_losses import diffusion_losses
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.settings import Settings
from edpipe.training.run import TrainingRun, read_run
from edpipe.training.tsdiff import train_tsdiff


def weights(run: TrainingRun) -> dict[str, torch.Tensor]:
    (member, *_) = torch.load(run.run_dir / "tsdiff.pt", weights_only=True)["members"]
    return member


def ruined(task: SourcedTask, ends: Ints) -> SourcedTask:
    """The same task with nonsense from some step of each series on."""
    series = task.task.series
    values = series.values.copy()
    for number, end in enumerate(ends):
        values[series.offsets[number] + end : series.offsets[number + 1]] = 1e4
    return replace(task, task=replace(task.task, series=replace(series, values=values)))


def trained_twice(
    settings: Settings, one: SourcedTask, two: SourcedTask
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights of two trainings with the same settings."""
    other = settings.model_copy(update={"home": Path(settings.home) / "other"})
    first = train_tsdiff(settings, sourced=one)
    return weights(first), weights(train_tsdiff(other, sourced=two, resume=False))


class StopError(KeyboardInterrupt):
    """Somebody pressed Ctrl-C."""


@pytest.fixture
def asked(settings: Settings) -> Settings:
    return tiny(settings)


def test_a_run_holds_weights_curves_and_facts(asked):
    run = train_tsdiff(asked, sourced=sourced(asked))
    assert run.is_new
    assert run.model == "tsdiff"
    assert run == replace(read_run(run.run_dir), is_new=True)
    assert pl.read_csv(run.curves_path).columns == ["epoch", "train_loss", "valid_loss", "valid_crps"]
    assert set(run.metrics) == {"valid_crps", "valid_loss"}
    assert run.data["account"]["num_suppressed"] == 0
    assert run.data["asked"]["prediction_length"] == 7
    assert not list(run.run_dir.rglob("*.ckpt"))


def test_the_same_data_and_settings_find_the_run_that_is_there_and_others_make_another(asked):
    first = train_tsdiff(asked, sourced=sourced(asked))
    again = train_tsdiff(asked, sourced=sourced(asked))
    assert (again.run_key, again.is_new) == (first.run_key, False)
    dry = {
        "seed": train_tsdiff(asked.model_copy(update={"seed": 8}), sourced=sourced(asked), dry_run=True),
        "data": train_tsdiff(asked, sourced=sourced(asked, seed=1), dry_run=True),
        "size": train_tsdiff(tiny(asked, hidden_size=12), sourced=sourced(asked), dry_run=True),
        "calibration": train_tsdiff(tiny(asked, calibration="none"), sourced=sourced(asked), dry_run=True),
    }
    keys = {first.run_key, *(run.run_key for run in dry.values())}
    assert len(keys) == 5
    assert [run.run_dir.exists() for run in dry.values()] == [False] * 4


def test_a_linear_center_is_fitted_to_training_windows_and_kept_with_the_weights(settings):
    asked = tiny(settings, center="linear", max_epochs=1)
    center = weights(train_tsdiff(asked, sourced=sourced(asked)))["guess.weight"]
    assert center.abs().max() > 0.01
    # What comes after the training part does not move it.
    other = sourced(asked)
    for number, end in enumerate(other.task.train_ends):
        other.task.series.target(number)[end:] *= 3.0
    again = train_tsdiff(asked, sourced=other, resume=False)
    torch.testing.assert_close(weights(again)["guess.weight"], center, rtol=0, atol=0)


def test_a_flow_starts_from_a_prior_or_around_a_center():
    with pytest.raises(ValueError, match="set center to none"):
        TSDiffSettings(prior="ornstein_uhlenbeck")
    assert TSDiffSettings(prior="ornstein_uhlenbeck", center="none").prior == "ornstein_uhlenbeck"


@pytest.mark.parametrize(
    ("model", "is_refitted"), [("flow", True), ("one_step", True), ("unconditional", False)]
)
def test_an_interrupted_training_ends_with_the_weights_of_an_unbroken_one(
    model, is_refitted, settings, tmp_path
):
    unbroken = tiny(
        settings, model=model, is_refitted=is_refitted, num_members=2, max_epochs=2, guidance_scale=2.0
    )
    broken = unbroken.model_copy(update={"home": tmp_path / "other"})
    whole = train_tsdiff(unbroken, sourced=sourced(unbroken))
    seen = []

    def stop(epoch):
        seen.append(epoch.epoch)
        if len(seen) == 3:
            raise StopError

    with pytest.raises(KeyboardInterrupt):
        train_tsdiff(broken, sourced=sourced(broken), on_epoch=stop)
    rest = []
    run = train_tsdiff(broken, sourced=sourced(broken), on_epoch=lambda epoch: rest.append(epoch.epoch))
    assert run.run_key == whole.run_key
    assert run.metrics == whole.metrics
    # Epochs are counted on over members and stages, none of them twice.
    assert [*seen, *rest] == list(range(8 if model == "one_step" else 4))
    first, second = (
        torch.load(one.run_dir / "tsdiff.pt", weights_only=True)["members"] for one in (whole, run)
    )
    for ours, theirs in zip(first, second, strict=True):
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)


def test_starting_anew_forgets_what_was_there(asked):
    run = train_tsdiff(asked, sourced=sourced(asked))
    (run.run_dir / "note").touch()
    assert train_tsdiff(asked, sourced=sourced(asked), resume=False).is_new
    assert not (run.run_dir / "note").exists()


def test_training_never_sees_a_step_from_validation_on(asked):
    """Nonsense from the first validation step on changes no weight, only which epoch is best."""
    once = tiny(asked, max_epochs=1)
    task = sourced(once)
    first, second = trained_twice(once, task, ruined(task, task.task.train_ends))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_refitted_network_saw_the_validation_steps_too_but_no_test_step(asked):
    once = tiny(asked, max_epochs=1, is_refitted=True)
    task = sourced(once)
    first, second = trained_twice(once, task, ruined(task, task.task.test_begins))
    assert all(torch.equal(first[name], second[name]) for name in first)
    _, other = trained_twice(once, task, ruined(task, task.task.train_ends))
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_refitted_network_is_trained_as_long_as_was_best_and_judged_by_the_first_training(asked):
    # At this rate the second epoch is worse than the first.
    given = {"learning_rate": 0.5, "max_epochs": 2}
    plain, again = tiny(asked, **given), tiny(asked, **given, is_refitted=True)
    first = train_tsdiff(plain, sourced=sourced(plain))
    run = train_tsdiff(again, sourced=sourced(again))
    assert run.metrics == first.metrics
    assert run.best_epoch == first.best_epoch
    assert run.run_key != first.run_key
    refit = pl.read_csv(run.run_dir / "member-0" / "refit" / "curves.csv")
    assert len(refit) == run.best_epoch + 1
    assert pl.read_csv(run.curves_path).equals(pl.read_csv(first.curves_path))
    # Scores on validation windows are those of the first training.
    task, other = sourced(again).task, load_forecaster(first.run_dir)
    trained = load_forecaster(run.run_dir)
    for one, is_same in ((trained.before_validation(), True), (trained, False)):
        found = forecast_windows(one, task.series, task.valid, seed=1).values
        assert (
            np.array_equal(found, forecast_windows(other, task.series, task.valid, seed=1).values) == is_same
        )


def test_a_transform_is_as_if_the_series_came_transformed_and_forecasts_were_put_back(settings):
    asked = tiny(settings, max_epochs=1, num_steps=2, calibration="none", transform="sqrt")
    found = sourced(asked)
    trained = load_forecaster(train_tsdiff(asked, sourced=found).run_dir)
    seen = transformed(found.task.series, "sqrt")
    by_hand = replace(found, task=replace(found.task, series=seen), fingerprint="roots")
    plain = tiny(settings, max_epochs=1, num_steps=2, calibration="none")
    other = load_forecaster(train_tsdiff(plain, sourced=by_hand).run_dir)
    for name, value in trained.members[0].state_dict().items():
        torch.testing.assert_close(value, other.members[0].state_dict()[name], rtol=0, atol=0)
    windows = found.task.test
    ours = forecast_windows(trained, found.task.series, windows, seed=1)
    theirs = forecast_windows(other, seen, windows, seed=1)
    np.testing.assert_allclose(ours.values, np.square(theirs.values), rtol=1e-6)


def test_values_below_zero_take_no_transform(settings):
    asked = tiny(settings, transform="log1p")
    found = sourced(asked)
    below = replace(found, sourced=replace(found.sourced, minimum=None))
    with pytest.raises(SettingsError, match="cannot be transformed"):
        train_tsdiff(asked, sourced=below)
    with pytest.raises(ValueError, match="told the past"):
        TSDiffSettings(model="unconditional", transform="sqrt")


def test_forecasts_of_a_loaded_run_are_the_same_each_time_and_never_negative(asked):
    found = sourced(asked)
    run = train_tsdiff(asked, sourced=found)
    trained = load_forecaster(run.run_dir)
    one, two = (
        forecast_windows(trained, found.task.series, found.task.test, seed=3).values for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)
    assert one.shape == (len(found.task.test), 10, 7)
    assert one.min() >= 0
    other = forecast_windows(trained, found.task.series, found.task.test, seed=4)
    assert not np.array_equal(one, other.values)


def test_a_forecast_never_reads_what_lies_beyond_its_origin(asked):
    found = sourced(asked)
    trained = load_forecaster(train_tsdiff(asked, sourced=found).run_dir)
    series, windows = found.task.series, found.task.test
    ruined = series.values.copy()
    for number, begin in enumerate(found.task.test_begins):
        ruined[series.offsets[number] + begin : series.offsets[number + 1]] = -1e6
    first = windows.take(windows.origins == found.task.test_begins[windows.series])
    before = forecast_windows(trained, series, first, seed=1)
    after = forecast_windows(trained, replace(series, values=ruined), first, seed=1)
    np.testing.assert_array_equal(before.values, after.values)


@pytest.mark.parametrize(
    ("kind", "expected"), [("spread", SpreadFactor), ("offsets", QuantileOffsets), ("none", type(None))]
)
def test_the_correction_of_the_spread_is_kept_with_the_weights(kind, expected, asked):
    chosen = tiny(asked, calibration=kind, max_epochs=1)
    run = train_tsdiff(chosen, sourced=sourced(chosen))
    assert isinstance(load_forecaster(run.run_dir).calibration, expected)


def test_a_calibrated_forecast_covers_its_calibration_windows(asked):
    chosen = tiny(asked, num_samples=40, num_windows=3)
    found = sourced(chosen, num_series=6)
    trained = load_forecaster(train_tsdiff(chosen, sourced=found).run_dir)
    windows = found.task.calibration_windows()
    forecasts = forecast_windows(trained, found.task.series, windows, seed=99)
    scores = window_scores(forecasts, found.task.truth(windows))
    assert 0.85 < scores.value("coverage_90") < 0.95


def test_the_steps_of_the_sampler_are_chosen_on_validation(asked):
    chosen = tiny(asked, num_steps=0, max_epochs=1)
    run = train_tsdiff(chosen, sourced=sourced(chosen))
    assert run.data["num_steps"] in {1, 2, 4, 8, 16}
    assert load_forecaster(run.run_dir).sampling.num_steps == run.data["num_steps"]


def test_a_few_seconds_of_training_beat_the_middle_of_the_context(asked):
    chosen = tiny(
        asked, hidden_size=16, batches_per_epoch=60, max_epochs=4, learning_rate=5e-3, num_samples=30
    )
    found = sourced(chosen)
    trained = load_forecaster(train_tsdiff(chosen, sourced=found).run_dir)
    task = found.task
    forecasts = forecast_windows(trained, task.series, task.test, seed=1)
    truth = task.truth(task.test)
    level = np.array([task.series.target(one)[: task.train_ends[one]].mean() for one in range(4)])
    flat = forecasts.map(np.broadcast_to(level[task.test.series][:, None, None], forecasts.values.shape))
    assert mean_weighted_quantile_loss(forecasts, truth) < 0.6 * mean_weighted_quantile_loss(flat, truth)


def test_a_folder_without_a_forecaster_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="edpipe train tsdiff"):
        load_forecaster(tmp_path)


@pytest.mark.parametrize("model", ["flow", "unconditional"])
def test_the_loss_is_told_by_diffusion_time(model, asked):
    chosen = tiny(asked, model=model, max_epochs=1, guidance_scale=2.0, calibration="none")
    found = sourced(chosen)
    trained = load_forecaster(train_tsdiff(chosen, sourced=found).run_dir)
    losses = diffusion_losses(trained, found.task.series, found.task.valid, seed=1)
    assert losses["time"].is_sorted()
    assert losses.height == (20 if model == "flow" else 10)
    assert (losses["loss"] > 0).all()
