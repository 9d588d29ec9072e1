"""Noise schedules, curricula and diffusion in steps as settings of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from series_data import sourced, tiny

from edpipe.errors import TrainingError
from edpipe.prediction.forecast import forecast_windows, load_forecaster
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.training.run import read_run
from edpipe.training.tsdiff import train_tsdiff
from edpipe.training.tsdiff_plan import plan_tsdiff
from edpipe.training.tsdiff_schedule import best_schedule
from models.diffusion import (
    NoiseSchedule,
    VariancePreserving,
    candidate_schedules,
    cosine_betas,
    linear_betas,
    sigmoid_betas,
    zero_terminal_betas,
)
from models.diffusion.adaptive import score_schedule
from models.tsdiff import ConditionalForecaster, TSDiffConfig

BETAS = {
    "linear": linear_betas(10),
    "cosine": cosine_betas(10),
    "sigmoid": sigmoid_betas(10),
    "zero_terminal": zero_terminal_betas(linear_betas(10)),
}


def stepwise(settings, **given):
    return tiny(settings, guidance_scale=2.0, calibration="none", max_epochs=1, **given)


def first_member(run):
    return load_forecaster(run.run_dir).members[0]


def ruined_after_training(found):
    """The same task with nonsense wherever training may not look."""
    series = found.task.series
    values = series.values.copy()
    for number, end in enumerate(found.task.train_ends):
        last = series.offsets[number + 1]
        values[series.offsets[number] + end : last] = 1e4 * (-1.0) ** np.arange(
            last - series.offsets[number] - end
        )
    return replace(found, task=replace(found.task, series=replace(series, values=values)))


@pytest.mark.parametrize("model", ["unconditional", "conditional"])
@pytest.mark.parametrize("schedule", BETAS)
def test_the_trained_network_has_the_schedule_asked_for(schedule, model, settings):
    asked = stepwise(settings, model=model, schedule=schedule, batches_per_epoch=1)
    process = first_member(train_tsdiff(asked, sourced=sourced(asked))).process
    torch.testing.assert_close(process.schedule.alpha_bar, NoiseSchedule(BETAS[schedule]).alpha_bar)
    assert process.parameterization == ("noise" if schedule == "linear" else "velocity")


def test_the_chosen_schedule_has_the_best_score_on_training_windows_and_is_kept_by_name(settings):
    asked = stepwise(settings, model="unconditional", schedule="chosen", scaling="standard")
    found = sourced(asked)
    run = train_tsdiff(asked, sourced=found)
    # By hand: all windows of the training part, in units of their context.
    windows = []
    for number, end in enumerate(found.task.train_ends):
        values = found.task.series.target(number)[:end].astype(np.float64)
        for begin in range(end - 21 + 1):
            context = values[begin : begin + 14]
            windows.append((values[begin : begin + 21] - context.mean()) / context.std())
    windows = torch.tensor(np.array(windows))
    scores = {
        name: score_schedule(windows, betas).score for name, betas in candidate_schedules((10,)).items()
    }
    best = min(scores, key=scores.__getitem__)
    expected = NoiseSchedule(candidate_schedules((10,))[best]).alpha_bar
    torch.testing.assert_close(first_member(run).process.schedule.alpha_bar, expected)
    assert read_run(run.run_dir).config["betas"] == best


def test_the_chosen_schedule_depends_on_nothing_from_validation_on(settings):
    asked = stepwise(settings, model="unconditional", schedule="chosen")
    found = sourced(asked)
    ruined = ruined_after_training(found)
    before, after = (best_schedule(asked.tsdiff, one.task) for one in (found, ruined))
    assert (before.name, before.score) == (after.name, after.score)
    # While another past would have been noticed.
    other = replace(
        found.task.series, values=np.random.default_rng(1).normal(size=len(ruined.task.series.values))
    )
    assert best_schedule(asked.tsdiff, replace(found.task, series=other)).score != before.score


def test_a_schedule_cannot_be_chosen_where_all_windows_have_gaps(settings):
    asked = stepwise(settings, model="unconditional", schedule="chosen")
    found = sourced(asked)
    values = found.task.series.values.copy()
    values[::5] = np.nan
    gaps = replace(found, task=replace(found.task, series=replace(found.task.series, values=values)))
    with pytest.raises(TrainingError, match=r"gap in each of 2\d\d training windows of 21 steps"):
        train_tsdiff(asked, sourced=gaps)


def test_each_schedule_is_a_run_of_its_own_for_models_in_steps_alone(settings):
    def key(**given):
        asked = tiny(settings, **given)
        return plan_tsdiff(asked, sourced(asked))[0].run_key

    kinds = ("linear", "cosine", "sigmoid", "zero_terminal", "chosen")
    keys = {key(model=model, schedule=kind) for model in ("unconditional", "conditional") for kind in kinds}
    assert len(keys) == 10
    assert key(model="unconditional", parameterization="velocity") not in keys
    assert key(model="flow", schedule="cosine") == key(model="flow")


def test_the_default_is_the_published_network(settings):
    asked = tiny(settings, model="unconditional")
    found = sourced(asked)
    run, config = plan_tsdiff(asked, found)
    sizes = {name: getattr(asked.tsdiff, name) for name in ("hidden_size", "num_blocks", "state_size")}
    assert config == TSDiffConfig(14, 7, **sizes, num_lags=2, num_diffusion_steps=10)
    assert "curriculum" not in run.options


def test_a_curriculum_draws_the_noisiest_steps_first_and_is_an_option_of_the_run(settings, monkeypatch):
    asked = stepwise(settings, model="unconditional", curriculum=0.5, batches_per_epoch=8)
    found = sourced(asked)
    drawn = []
    draw_times = VariancePreserving.draw_times

    def told(process, *arguments, **options):
        times = draw_times(process, *arguments, **options)
        drawn.append(times)
        return times

    monkeypatch.setattr(VariancePreserving, "draw_times", told)
    run = train_tsdiff(asked, sourced=found)
    # Of 8 steps 4 widen evenly from the noisiest quarter of 10 times.
    lowest = [7, 5, 3, 1, 0, 0, 0, 0]
    assert len(drawn) == 8
    for times, least in zip(drawn, lowest, strict=True):
        assert times.min() >= least
        assert times.max() <= 9
    assert min(int(times.min()) for times in drawn[4:]) == 0
    assert run.options["curriculum"] == 0.5


def test_without_a_curriculum_key_and_weights_are_those_of_a_run_that_knows_of_none(settings):
    plain, other = (
        stepwise(settings, model="unconditional"),
        stepwise(settings, model="unconditional", curriculum=1.0),
    )
    off = train_tsdiff(plain, sourced=sourced(plain))
    on = train_tsdiff(other, sourced=sourced(other))
    assert "curriculum" not in off.options
    assert off.run_key != on.run_key
    first, second = (first_member(run).state_dict() for run in (off, on))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_diffusion_in_steps_is_told_the_past_and_never_its_future(settings):
    asked = stepwise(settings, model="conditional", num_steps=0, center="seasonal_naive")
    found = sourced(asked)
    run = train_tsdiff(asked, sourced=found)
    trained = load_forecaster(run.run_dir)
    member = trained.members[0]
    assert isinstance(member, ConditionalForecaster)
    assert member.config.dynamics == "diffusion"
    assert member.config.center == "none"
    assert not member.config.future_only
    assert run.data["num_steps"] in {1, 2, 4, 8, 10}
    first, *_ = np.split(found.task.test.origins, 2)
    windows = found.task.valid.take(slice(0, len(first)))
    before = forecast_windows(trained, found.task.series, windows, seed=1)
    after = forecast_windows(trained, ruined_after_training(found).task.series, windows, seed=1)
    np.testing.assert_array_equal(before.values, after.values)


def test_a_few_seconds_of_diffusion_in_steps_beat_the_middle_of_the_context(settings):
    asked = tiny(
        settings, model="conditional", schedule="cosine", hidden_size=16, batches_per_epoch=60, max_epochs=4,
        learning_rate=5e-3, num_samples=30, num_steps=5,
    )  # fmt: skip
    found = sourced(asked)
    trained = load_forecaster(train_tsdiff(asked, sourced=found).run_dir)
    task = found.task
    truth = task.truth(task.test)
    middle = np.median(forecast_windows(trained, task.series, task.test, seed=1).values, axis=1)
    level = np.array([task.series.target(one)[: task.train_ends[one]].mean() for one in range(4)])
    errors = np.abs(middle - truth).sum(), np.abs(level[task.test.series][:, None] - truth).sum()
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"schedule": "zero_terminal", "parameterization": "noise"}, "set parameterization to auto"),
        (
            {"model": "conditional", "num_diffusion_steps": 10, "num_steps": 11},
            "at most num_diffusion_steps, 10",
        ),
        ({"schedule": "quadratic"}, "zero_terminal"),
        ({"curriculum": 1.1}, "less than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        TSDiffSettings(**given)
    assert TSDiffSettings(num_diffusion_steps=10, num_steps=11).num_steps == 11


@pytest.mark.parametrize("num_steps", [2, 10, 500, 1000])
def test_every_candidate_is_a_schedule_whatever_the_number_of_steps(num_steps):
    for betas in candidate_schedules((num_steps,)).values():
        assert NoiseSchedule(betas).num_steps == num_steps
