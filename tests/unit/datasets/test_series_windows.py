"""Windows: training never touches later parts, rolling windows tile them, hidden steps stay hidden."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning import LightningModule, Trainer

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_batches import WindowDataModule, WindowEncoder
from edpipe.datasets.series_scaling import SCALE_RULES, Scaling
from edpipe.datasets.series_windows import (
    MISSING_PATTERNS,
    Windows,
    WindowShape,
    all_windows,
    hidden_context,
    hide,
    mean_sizes,
    past_target,
    rolling_windows,
    training_windows,
)
from edpipe.errors import TrainingError


def ramps(lengths, frequency="daily") -> SeriesSet:
    """Series whose value names its series and step: ``1000 * series + step``."""
    targets = [1000.0 * number + np.arange(length) for number, length in enumerate(lengths)]
    starts = np.full(len(lengths), np.datetime64("2024-01-01"))
    return SeriesSet.from_arrays([f"s{number}" for number in range(len(lengths))], starts, targets, frequency)


@given(
    st.lists(st.integers(45, 90), min_size=1, max_size=4),
    st.integers(1, 8),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 2**16),
)
def test_training_windows_never_touch_validation_or_test(lengths, context, prediction, num_windows, seed):
    task = ForecastTask.rolling(
        "planted",
        ramps(lengths),
        context_length=context,
        prediction_length=prediction,
        num_windows=num_windows,
        lags=(1, 3),
    )
    scaling = Scaling.fit(task.series, task.train_ends, "context_mean")
    module = WindowDataModule(task, scaling, batch_size=64, batches_per_epoch=1, seed=seed)
    batch = module.draw(0, 0, 0)
    step = batch.target - 1000.0 * batch.series[:, None]
    ends = torch.from_numpy(task.train_ends)[batch.series]
    assert (step[:, -1] < ends).all()
    assert (step.diff(dim=1) == 1).all()
    # Parts follow one another and end with the series, without a gap.
    for number, length in enumerate(lengths):
        origins = np.concatenate(
            [task.valid.origins[task.valid.series == number], task.test.origins[task.test.series == number]]
        )
        assert origins[0] == task.train_ends[number]
        assert (np.diff(origins) == prediction).all()
        assert origins[-1] + prediction == length
        assert task.test_begins[number] == length - num_windows * prediction
    calibration = task.calibration_windows()
    assert (calibration.origins >= task.train_ends[calibration.series]).all()
    assert (calibration.origins + prediction <= task.test_begins[calibration.series]).all()


def test_every_cut_point_is_equally_likely():
    ends = np.array([12, 5, 30])
    possible = all_windows(ends, prediction_length=3, min_history=4)
    assert len(possible) == 6 + 0 + 24
    drawn = training_windows(
        ends, prediction_length=3, min_history=4, num_windows=30_000, random=np.random.default_rng(0)
    )
    cells = drawn.series * 100 + drawn.origins
    _, counts = np.unique(cells, return_counts=True)
    assert set(cells) == set(possible.series * 100 + possible.origins)
    # Chi-square of 30 equal cells: mean 29, standard deviation about 7.6.
    assert ((counts - 1000) ** 2 / 1000).sum() < 29 + 5 * 7.6


def test_cut_points_of_a_series_are_as_likely_as_its_weight():
    ends = np.array([12, 5, 30])
    drawn = training_windows(
        ends,
        prediction_length=3,
        min_history=4,
        num_windows=30_000,
        random=np.random.default_rng(0),
        weights=np.array([4.0, 9.0, 1.0]),
    )
    possible = all_windows(ends, prediction_length=3, min_history=4)
    cells, counts = np.unique(drawn.series * 100 + drawn.origins, return_counts=True)
    assert set(cells) == set(possible.series * 100 + possible.origins)
    # 6 cut points of weight 4, none of weight 9, 24 of weight 1: 48 in all.
    expected = 30_000 / 48 * np.where(cells < 100, 4, 1)
    assert ((counts - expected) ** 2 / expected).sum() < 29 + 5 * 7.6


def test_sizes_of_series_see_nothing_from_their_ends_on():
    series = SeriesSet.from_arrays(
        ["a", "b"],
        np.full(2, np.datetime64("2024-01-01")),
        [np.array([1.0, -3.0, np.nan, 900.0]), np.array([0.0, 0.0, 700.0, 900.0])],
        "daily",
    )
    sizes = mean_sizes(series, np.array([3, 2]))
    assert sizes[0] == 2
    assert 0 < sizes[1] < 1e-6


def test_series_too_short_for_any_window_are_told():
    with pytest.raises(ValueError, match="no series"):
        training_windows(
            np.array([5]), prediction_length=3, min_history=4, num_windows=1, random=np.random.default_rng(0)
        )
    with pytest.raises(TrainingError, match="too short"):
        ForecastTask.rolling(
            "short", ramps([10]), context_length=4, prediction_length=3, num_windows=2, lags=()
        )


def test_a_stride_keeps_the_last_window():
    found = all_windows(np.array([20]), prediction_length=2, min_history=5, stride=4)
    assert found.origins.tolist() == [6, 10, 14, 18]


def test_rolling_windows_come_origin_by_origin():
    found = rolling_windows(np.array([10, 12]), prediction_length=3, num_windows=2)
    assert found.series.tolist() == [0, 1, 0, 1]
    assert found.origins.tolist() == [4, 6, 7, 9]


def test_lags_line_up_on_a_ramp_and_never_show_the_future():
    series = ramps([60])
    shape = WindowShape(5, 4, (2, 7))
    encoder = WindowEncoder(series, shape, Scaling.fit(series, series.lengths, "context_mean"))
    origin = 20
    batch = encoder.encode(Windows(np.array([0]), np.array([origin])), with_future=True)
    steps = np.arange(origin - 5, origin + 4)
    np.testing.assert_array_equal(batch.target[0], steps)
    for channel, lag in enumerate(shape.lags):
        is_known = steps - lag < origin
        np.testing.assert_array_equal(batch.lags_observed[0, :, channel], is_known)
        np.testing.assert_array_equal(batch.lags[0, :, channel], np.where(is_known, steps - lag, 0))


def test_a_batch_at_prediction_does_not_depend_on_what_comes():
    series = ramps([60])
    changed = SeriesSet.from_arrays(
        series.ids, series.starts, [np.r_[series.target(0)[:20], np.full(40, 1e6)]], series.frequency
    )
    shape = WindowShape(5, 4, (1, 2, 7))
    windows = Windows(np.array([0]), np.array([20]))
    scaling = Scaling.fit(series, np.array([20]), "robust")
    first, second = (
        WindowEncoder(one, shape, scaling).encode(windows, with_future=False) for one in (series, changed)
    )
    for name in ("target", "observed", "lags", "lags_observed", "loc", "scale", "calendar"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert not first.observed[:, 5:].any()


def test_hidden_steps_are_hidden_from_the_lags_and_the_scale_too():
    random = np.random.default_rng(3)
    values = random.gamma(2.0, size=80)
    hidden = hidden_context("random", num_windows=1, context_length=20, random=random)
    windows = Windows(np.array([0]), np.array([60]))
    shape = WindowShape(20, 5, (1, 6))
    changed = values.copy()
    changed[40:60][hidden[0]] = 1e5
    batches = []
    for one in (values, changed):
        series = SeriesSet.from_arrays(["a"], [np.datetime64("2024-01-01")], [one], "daily")
        scaling = Scaling("context_mean", np.zeros(1), np.ones(1))
        batches.append(
            WindowEncoder(series, shape, scaling).encode(windows, with_future=False, hidden=hidden)
        )
    for name in ("target", "observed", "lags", "lags_observed", "scale"):
        assert torch.equal(getattr(batches[0], name), getattr(batches[1], name)), name
    np.testing.assert_array_equal(~batches[0].observed[0, :20].numpy(), hidden[0])


@pytest.mark.parametrize("pattern", MISSING_PATTERNS)
def test_patterns_hide_half_of_the_context(pattern):
    found = hidden_context(pattern, num_windows=6, context_length=11, random=np.random.default_rng(0))
    assert (found.sum(axis=1) == 5).all()
    if pattern == "start":
        assert found[:, :5].all()
    if pattern == "end":
        assert found[:, 6:].all()
    if pattern == "random":
        assert len({row.tobytes() for row in found}) > 1


def test_series_with_hidden_steps_keep_their_future():
    series = ramps([30, 30])
    windows = Windows(np.array([1, 0, 1]), np.array([20, 22, 24]))
    hidden = hidden_context("end", num_windows=3, context_length=6)
    found, moved = hide(series, windows, hidden, 4)
    assert found.num_series == 3
    np.testing.assert_array_equal(found.target(0)[17:20], np.nan)
    np.testing.assert_array_equal(found.target(0)[20:], 1000 + np.arange(20, 24))
    np.testing.assert_array_equal(np.isnan(past_target(found, moved, 6)), hidden)


def test_steps_before_the_begin_are_unobserved():
    series = ramps([30])
    encoder = WindowEncoder(series, WindowShape(6, 2, (5,)), Scaling.fit(series, series.lengths, "standard"))
    batch = encoder.encode(Windows(np.array([0]), np.array([4])), with_future=True)
    assert batch.observed[0].tolist() == [False] * 2 + [True] * 6
    assert batch.lags_observed[0, :, 0].tolist() == [False] * 7 + [True]


@pytest.mark.parametrize("rule", SCALE_RULES)
def test_scales_are_positive_and_follow_the_unit(rule):
    random = np.random.default_rng(1)
    context = random.gamma(2.0, size=(5, 30))
    context[0] = 0
    context[1] = np.nan
    context[2, ::2] = np.nan
    targets = list(random.gamma(2.0, size=(5, 50)))
    starts = np.full(5, np.datetime64("2024-01-01"))
    results = []
    for unit in (1.0, 1000.0):
        series = SeriesSet.from_arrays("abcde", starts, [unit * one for one in targets], "daily")
        scaling = Scaling.fit(series, series.lengths, rule)
        results.append(scaling.of_context(unit * context, np.arange(5)))
        assert (results[-1][1] > 0).all()
        assert np.isfinite(results[-1]).all()
    np.testing.assert_allclose(results[1][0], 1000 * results[0][0], rtol=1e-5)
    np.testing.assert_allclose(results[1][1], 1000 * results[0][1], rtol=1e-5)


def test_scale_rules_are_what_they_say():
    series = ramps([11])
    context = np.array([[1.0, np.nan, 3.0, -5.0]])
    scaling = {rule: Scaling.fit(series, series.lengths, rule) for rule in SCALE_RULES}
    of = np.array([0])
    assert scaling["context_mean"].of_context(context, of)[1][0] == pytest.approx(3.0)
    assert scaling["series_mean"].of_context(context, of)[1][0] == pytest.approx(5.0)
    loc, scale = scaling["standard"].of_context(context, of)
    assert (loc[0], scale[0]) == (pytest.approx(-1 / 3), pytest.approx(np.std([1, 3, -5])))
    loc, scale = scaling["robust"].of_context(context, of)
    assert (loc[0], scale[0]) == (1.0, pytest.approx(4 / 1.3489795))


def test_the_floor_is_a_share_of_the_series_and_of_the_typical_one():
    targets = [np.full(20, 50.0), np.zeros(20), np.full(20, 30.0)]
    series = SeriesSet.from_arrays("abc", np.full(3, np.datetime64("2024-01-01")), targets, "daily")
    scaling = Scaling.fit(series, series.lengths, "context_mean")
    _, scale = scaling.of_context(np.zeros((3, 4)), np.arange(3))
    np.testing.assert_allclose(scale, [5.0, 0.1 * 0.1 * 40.0, 3.0])
    empty = SeriesSet.from_arrays("a", np.full(1, np.datetime64("2024-01-01")), [np.zeros(9)], "daily")
    _, scale = Scaling.fit(empty, empty.lengths, "robust").of_context(np.zeros((1, 4)), np.array([0]))
    assert scale[0] > 0


def test_scaling_sees_nothing_from_its_ends_on():
    series = ramps([40])
    changed = SeriesSet.from_arrays(
        "a", series.starts, [np.r_[series.target(0)[:25], np.full(15, 1e6)]], "daily"
    )
    for rule in SCALE_RULES:
        first, second = (Scaling.fit(one, np.array([25]), rule) for one in (series, changed))
        np.testing.assert_array_equal(first.series_scale, second.series_scale)


def test_batches_of_an_epoch_depend_on_its_numbers_alone():
    task = ForecastTask.rolling(
        "planted", ramps([80, 90]), context_length=6, prediction_length=3, num_windows=2
    )
    scaling = Scaling.fit(task.series, task.train_ends, "context_mean")
    modules = [WindowDataModule(task, scaling, batch_size=8, batches_per_epoch=3, seed=5) for _ in range(2)]
    first, second = ([batch.target for batch in module.train_dataloader()] for module in modules)
    assert len(first) == 3
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(modules[0].draw(0, 0, 0).target, modules[0].draw(1, 0, 0).target)
    assert not torch.equal(modules[0].draw(0, 0, 0).target, modules[0].draw(0, 1, 0).target)
    assert sum(len(batch) for batch in modules[0].val_dataloader()) == len(task.valid)


def test_each_epoch_of_a_trainer_draws_other_windows(tmp_path):
    class Recorder(LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.seen = []

        def training_step(self, batch, batch_index):
            self.seen.append(batch.target.clone())
            return self.weight.sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    task = ForecastTask.rolling(
        "planted", ramps([80, 90]), context_length=6, prediction_length=3, num_windows=2
    )
    scaling = Scaling.fit(task.series, task.train_ends, "context_mean")
    module = WindowDataModule(task, scaling, batch_size=8, batches_per_epoch=2, seed=5)
    recorder = Recorder()
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few workers, few batches
        trainer.fit(recorder, train_dataloaders=module.train_dataloader())
    expected = [module.draw(epoch, 0, number).target for epoch in range(3) for number in range(2)]
    assert all(torch.equal(*pair) for pair in zip(recorder.seen, expected, strict=True))
