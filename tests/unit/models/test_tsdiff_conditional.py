from dataclasses import replace

import pytest
import torch
from model_suite import check_model
from window_batches import window_batch

from models.diffusion import DDPM
from models.tsdiff import ConditionalConfig, ConditionalForecaster, build_tsdiff, config_from_dict
from models.tsdiff.consistency import consistency_loss, distance_to_teacher

SIZES = {
    "context_length": 12,
    "prediction_length": 4,
    "hidden_size": 16,
    "num_blocks": 2,
    "state_size": 8,
    "step_embedding_size": 16,
}
FLOW = ConditionalConfig(**SIZES)
LAGS = (2, 5)
CONFIGS = {
    "flow": FLOW,
    "paper": ConditionalConfig(
        **SIZES, lags=LAGS, dynamics="diffusion", num_diffusion_steps=20, is_condition_early=False
    ),
    "ou": ConditionalConfig(**SIZES, lags=LAGS, prior="ornstein_uhlenbeck", is_scale_told=True),
    "seasonal": ConditionalConfig(**SIZES, prior="seasonal_naive", season=4, future_only=True),
    "around a season ago": ConditionalConfig(**SIZES, lags=LAGS, center="seasonal_naive", season=4),
    "around a line": ConditionalConfig(**SIZES, center="linear", season=4, future_only=True),
    "periodic": ConditionalConfig(**SIZES, prior="periodic", season=4, prior_length=10.0),
}
configs = pytest.mark.parametrize("name", CONFIGS)


def forecaster(name="flow", **changes):
    torch.manual_seed(1)
    return ConditionalForecaster(replace(CONFIGS[name], **changes))


def batch_of(model, size=4, **given):
    return window_batch(size, 12, 4, model.config.lags, **given)


def with_another_future(batch, lags):
    """Replace everything from step 12 on, also where a lag looks at it."""
    target = batch.target.clone()
    target[:, 12:] = -77.0
    values = batch.lags.clone()
    for column, lag in enumerate(lags):
        values[:, 12 + lag :, column] = -77.0
    return replace(batch, target=target, lags=values)


def with_other_hidden_values(batch, _):
    target = batch.target.where(batch.observed, -3e5)
    return replace(batch, target=target, lags=batch.lags.where(batch.lags_observed, 2e5))


@pytest.mark.parametrize("name", ["paper", "ou", "seasonal", "around a season ago", "around a line"])
def test_forecaster_keeps_the_promises_of_every_model(name):
    model = forecaster(name)
    check_model(
        model,
        batch_of(model, missing=0.2),
        rebuild=lambda values: build_tsdiff(config_from_dict(values)),
        padded=with_other_hidden_values,  # windows have one length: what is hidden must not matter instead
    )


@configs
def test_what_is_told_does_not_depend_on_the_future(name):
    model = forecaster(name)
    batch = batch_of(model)
    other = with_another_future(batch, model.config.lags)
    unseen = batch.observed.clone()
    unseen[:, 12:] = False
    for changed in (other, replace(batch, observed=unseen)):
        told, again = model.told(batch), model.told(changed)
        for part in ("past", "known", "condition"):
            assert torch.equal(getattr(told, part), getattr(again, part)), part


def test_what_is_told_does_depend_on_each_known_value():
    model = forecaster("ou")
    batch = batch_of(model)
    told = model.told(batch).condition
    target = batch.target.clone()
    target[:, 11] += 1
    assert not torch.equal(told, model.told(replace(batch, target=target)).condition)
    values = batch.lags.clone()
    values[:, 13, 0] += 1  # two steps back: still in the context
    assert not torch.equal(told, model.told(replace(batch, lags=values)).condition)


@configs
def test_forecast_does_not_depend_on_the_future_and_does_on_the_past(name):
    model = forecaster(name)
    batch = batch_of(model)

    def drawn(given):
        return model.sample(given, 3, 4, torch.Generator().manual_seed(0))

    assert torch.equal(drawn(batch), drawn(with_another_future(batch, model.config.lags)))
    target = batch.target.clone()
    target[:, 11] += 1
    assert not torch.equal(drawn(batch), drawn(replace(batch, target=target)))


@configs
def test_forecast_follows_the_unit_of_the_series(name):
    model = forecaster(name, is_scale_told=False)
    batch = batch_of(model)
    large = replace(batch, target=100 * batch.target, lags=100 * batch.lags, scale=100 * batch.scale)
    one = model.sample(batch, 3, 4, torch.Generator().manual_seed(0))
    two = model.sample(large, 3, 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(two, 100 * one, rtol=1e-4, atol=1e-3)


def test_forecasts_of_a_window_do_not_depend_on_the_others_or_on_how_many_run_together():
    model = forecaster("ou")
    batch = batch_of(model, size=3)
    together = model.sample(batch, 4, 5, torch.Generator().manual_seed(0))
    assert together.shape == (3, 4, 4)
    in_parts = model.sample(batch, 4, 5, torch.Generator().manual_seed(0), rows_at_once=5)
    torch.testing.assert_close(in_parts, together, rtol=1e-4, atol=1e-4)
    alone = model.sample(batch.rows(slice(0, 1)), 4, 5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(alone[0], together[0], rtol=1e-4, atol=1e-4)


def test_antithetic_noise_comes_in_pairs():
    model = forecaster()
    batch = batch_of(model)
    noise = model._noise(batch, 5, torch.Generator().manual_seed(0), is_antithetic=True).view(4, 5, 16)
    torch.testing.assert_close(noise[:, 3:], -noise[:, :2], rtol=0, atol=0)
    assert model.sample(batch, 5, 2, is_antithetic=True).shape == (4, 5, 4)


def test_any_sampler_may_be_used_and_leaves_the_model_in_training():
    model = forecaster("paper").train()
    batch = batch_of(model)
    drawn = model.sample(batch, 2, 20, torch.Generator().manual_seed(0), sampler=DDPM())
    assert drawn.isfinite().all()
    assert model.training


@pytest.mark.parametrize(("name", "steps"), [("flow", 200), ("seasonal", 80), ("around a season ago", 80)])
def test_few_steps_forecast_a_season_that_was_learned(name, steps):
    model = forecaster(name).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        optimizer.zero_grad()
        model.loss(batch_of(model, 64, seed=step)).backward()
        optimizer.step()
    test = batch_of(model, 64, seed=999)
    drawn = model.sample(test, 32, 4, torch.Generator().manual_seed(0))
    future = test.target[:, 12:]
    error = (drawn.mean(1) - future).abs().mean()
    level = (test.target[:, :12].mean(1, keepdim=True) - future).abs().mean()
    assert error < 0.35 * level
    inside = (future > drawn.quantile(0.05, 1)) & (future < drawn.quantile(0.95, 1))
    assert inside.float().mean() > 0.5


def test_network_that_says_nothing_forecasts_its_center_with_the_unit_as_spread():
    model = forecaster("around a line", zero_output=True)
    model.fit_center(lambda: [batch_of(model, 64, seed=number) for number in range(5)])
    batch = batch_of(model, 8, seed=99)
    told = model.told(batch)
    drawn = model.sample(batch, 4000, 1, torch.Generator().manual_seed(0), is_antithetic=True)
    center = batch.unscale(told.center[:, None, 12:])[:, 0]
    torch.testing.assert_close(drawn.mean(1), center, rtol=1e-3, atol=1e-3)
    spread = told.unit[:, 12:] * batch.scale[:, None]
    torch.testing.assert_close(drawn.std(1), spread, rtol=0.05, atol=0)


def test_a_window_far_from_its_center_counts_no_more_than_others_that_are_far():
    model = forecaster("around a season ago", zero_output=True).train()
    batch = batch_of(model)

    def loss(factor):
        target = batch.target.clone()
        target[0, 12:] *= factor
        time = torch.full((4,), 0.5)
        noise = torch.zeros(4, 16, 1)
        return model.window_losses(replace(batch, target=target), time, noise)

    far, farther = loss(1e3), loss(1e5)
    torch.testing.assert_close(far[0], farther[0], rtol=1e-2, atol=0)
    assert far[0] < 30
    torch.testing.assert_close(far[1:], loss(1.0)[1:])


def test_what_is_diffused_around_a_center_is_put_back_where_it_was():
    model = forecaster("around a season ago")
    batch = batch_of(model)
    told = model.told(batch)
    torch.testing.assert_close(told.restored(model.clean(batch, told)), batch.scaled()[0][..., :1])


def test_student_learns_to_jump_where_its_teacher_leads():
    torch.manual_seed(0)
    teacher = forecaster("flow").eval()
    with torch.no_grad():  # a flow that bends: many steps and one step end far apart
        for weight in teacher.network.parameters():
            weight.add_(0.25 * torch.randn_like(weight))
    student, target = forecaster("flow"), forecaster("flow")
    student.load_state_dict(teacher.state_dict())
    target.load_state_dict(teacher.state_dict())
    batch = batch_of(teacher, 16)
    noise = teacher.white_noise(batch, torch.Generator().manual_seed(5))
    before = distance_to_teacher(student, teacher, batch, noise).mean()
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        consistency_loss(student, target, teacher, batch, num_times=8).backward()
        optimizer.step()
        with torch.no_grad():
            for slow, weight in zip(target.parameters(), student.parameters(), strict=True):
                slow.lerp_(weight, 0.2)
    after = distance_to_teacher(student, teacher, batch, noise).mean()
    assert after < 0.5 * before


def test_student_of_a_straight_flow_has_nothing_to_learn(monkeypatch):
    teacher = forecaster("flow")
    batch = batch_of(teacher)
    values, _ = batch.scaled()

    def straight(x, time, told, live):
        return (x - values[..., :1]) / time.clamp(min=1e-9).view(-1, 1, 1)

    monkeypatch.setattr(teacher, "output", straight)
    loss = consistency_loss(teacher, teacher, teacher, batch, generator=torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_consistency_wants_a_flow():
    model = forecaster("paper")
    with pytest.raises(ValueError, match="only a flow can be distilled; got dynamics 'diffusion'"):
        consistency_loss(model, model, model, batch_of(model))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dynamics": "sde"}, "dynamics must be one of flow, diffusion; got 'sde'"),
        ({"prior": "levy"}, "prior must be one of white"),
        ({"dynamics": "diffusion", "prior": "periodic"}, "white prior only; got 'periodic'"),
        ({"season": 0}, "season must be at least 1"),
        ({"lags": (0,)}, "lags must be at least 1"),
    ],
)
def test_config_refuses_values_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        replace(FLOW, **change)


def test_sample_refuses_numbers_below_one():
    model = forecaster()
    with pytest.raises(ValueError, match="must be at least 1; got 0, 4, 128"):
        model.sample(batch_of(model), 0, 4)


def test_a_forecaster_reads_the_calendar_of_the_future():
    model = forecaster("around a season ago", num_calendar=3)
    batch = window_batch(4, 12, 4, model.config.lags, num_calendar=5)
    one, same, other = (
        model.sample(given, 4, 2, torch.Generator().manual_seed(0))
        for given in (
            batch,
            replace(batch, calendar=batch.calendar * torch.tensor([1.0, 1, 1, 5, 5])),
            replace(batch, calendar=batch.calendar + 1),
        )
    )
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert (one - other).abs().max() > 1e-3
    with pytest.raises(ValueError, match="too little of the calendar"):
        model.told(window_batch(4, 12, 4, model.config.lags, num_calendar=2))


def test_what_is_asked_for_from_a_step_on_is_the_end_of_what_is_said_of_all():
    model = forecaster("ou", zero_output=False).eval()
    told = model.told(batch_of(model))
    noisy, time = torch.randn(4, 16, 1), torch.full((4,), 0.3)
    whole = model.network(noisy, time, told.condition, told.features)
    end = model.network(noisy, time, told.condition, told.features, first=12)
    torch.testing.assert_close(end, whole[:, 12:])


@pytest.mark.parametrize("name", ["seasonal", "around a line"])
def test_a_forecaster_of_the_future_sees_no_noisy_copy_of_the_past(name):
    model = forecaster(name, zero_output=False).eval()
    batch = batch_of(model)
    told, time = model.told(batch), torch.full((4,), 0.3)
    noisy = torch.randn(4, 16, 1)
    other = noisy.clone()
    other[:, :12] = 50.0
    said = model.output(noisy, time, told, batch.observed)
    torch.testing.assert_close(model.output(other, time, told, batch.observed), said)
    assert (said[:, :12] == 0).all()
    other[:, 12:] = 50.0
    assert not torch.allclose(model.output(other, time, told, batch.observed), said)
    # A model of whole windows sees it.
    whole = replace(model.config, future_only=False)
    model.config = whole
    assert not torch.allclose(
        model.output(noisy.clone(), time, told, batch.observed)[:, 12:],
        model.output(torch.cat([other[:, :12], noisy[:, 12:]], dim=1), time, told, batch.observed)[:, 12:],
    )
