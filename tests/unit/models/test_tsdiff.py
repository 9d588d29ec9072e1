from dataclasses import replace

import pytest
import torch
from model_suite import check_model
from window_batches import window_batch

from models.diffusion import DDIM
from models.tsdiff import Backbone, TSDiff, TSDiffConfig, build_tsdiff, config_from_dict

WINDOW = {"context_length": 12, "prediction_length": 4}
SIZES = {**WINDOW, "hidden_size": 16, "num_blocks": 2, "state_size": 8, "step_embedding_size": 16}
CONFIGS = [
    TSDiffConfig(**SIZES, num_diffusion_steps=20),
    TSDiffConfig(**SIZES, num_lags=2, num_diffusion_steps=20, output_skip=True, schedule="cosine"),
    TSDiffConfig(
        **SIZES,
        num_diffusion_steps=10,
        is_zero_terminal=True,
        parameterization="velocity",
        min_snr=5.0,
        split_gate=True,
        scaled_residuals=True,
        zero_output=True,
        start="linear",
        discretization="bilinear",
    ),
    TSDiffConfig(**SIZES, schedule="given", betas=(0.01, 0.1, 0.4), parameterization="clean"),
]
configs = pytest.mark.parametrize("config", CONFIGS, ids=["paper", "lags", "beyond", "given"])


def model_of(config):
    torch.manual_seed(1)
    return build_tsdiff(config)


def batch_of(config, **given):
    return window_batch(4, 12, 4, (4, 5)[: config.num_lags], **given)


def with_other_hidden_values(batch, _):
    target = batch.target.where(batch.observed, -3e5)
    return replace(batch, target=target, lags=batch.lags.where(batch.lags_observed, 2e5))


@configs
def test_model_keeps_the_promises_of_every_model(config):
    torch.manual_seed(3)
    check_model(
        model_of(config),
        batch_of(config, missing=0.2),
        rebuild=lambda values: build_tsdiff(config_from_dict(values)),
        padded=with_other_hidden_values,  # windows have one length: what is hidden must not matter instead
        overfit_steps=300 if config.min_snr else 150,
    )


def test_paper_sizes_have_the_known_numbers_of_weights():
    sizes = {"context_length": 360, "prediction_length": 30}
    unread = 64 * 64 + 64  # a projection of the last block
    for num_lags, state_size, expected in ((12, 64, 105_869), (12, 128, 142_733), (0, 64, 104_321)):
        model = TSDiff(TSDiffConfig(**sizes, num_lags=num_lags, state_size=state_size))
        assert sum(weight.numel() for weight in model.parameters()) == expected - unread


@configs
def test_true_output_of_the_process_would_have_no_loss(config, monkeypatch):
    model, batch = model_of(config).train(), batch_of(config)
    values, _ = batch.scaled()
    time = model.process.draw_times(len(batch))
    noise = model.white_noise(batch)
    monkeypatch.setattr(model, "output", lambda x, time: model.process.target(values, noise, time))
    assert model.window_losses(batch, time, noise).abs().max() == 0


@configs
def test_estimate_is_the_line_between_values_and_noise(config):
    model, batch = model_of(config).eval(), batch_of(config)
    time = model.process.draw_times(len(batch))
    x = model.white_noise(batch)
    with torch.no_grad():
        estimate = model.denoise(x, time)
        again = model.process.add_noise(estimate.x0, time, estimate.noise)
    torch.testing.assert_close(again, x, rtol=1e-4, atol=1e-4)


def test_denoise_lets_gradients_through_to_the_noisy_values():
    model = model_of(CONFIGS[1])
    x = model.start(2).requires_grad_()
    estimate = model.denoise(x, torch.tensor([3, 9]))
    (gradient,) = torch.autograd.grad(estimate.x0[:, :12].square().sum(), x)
    assert gradient[:, 12:].abs().max() > 0
    assert gradient.isfinite().all()


def test_training_draws_anew_from_the_generator_and_evaluation_always_asks_the_same():
    model, batch = model_of(CONFIGS[0]), batch_of(CONFIGS[0])
    model.train()
    losses = [model.loss(batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    model.eval()
    assert model.loss(batch) == model.loss(batch)


def test_windows_that_are_half_empty_weigh_by_what_is_observed():
    config = CONFIGS[0]
    model, batch = model_of(config).eval(), batch_of(config)
    hidden = batch.observed.clone()
    hidden[1:] = False
    with torch.no_grad():
        torch.testing.assert_close(model.loss(replace(batch, observed=hidden)), model(batch)[0])
        nothing = replace(batch, observed=torch.zeros_like(hidden))
        assert model.loss(nothing) == 0


def test_noisiest_steps_alone_are_drawn_where_a_curriculum_says_so(monkeypatch):
    model, batch = model_of(CONFIGS[0]).train(), batch_of(CONFIGS[0])
    seen = []
    losses = model.window_losses
    monkeypatch.setattr(
        model, "window_losses", lambda batch, time, noise: seen.append(time) or losses(batch, time, noise)
    )
    for _ in range(20):
        model.loss(batch, noisiest=0.25)
    assert torch.cat(seen).min() == 15


def test_samples_have_the_law_of_what_was_learned():
    torch.manual_seed(0)
    config = TSDiffConfig(
        context_length=3, prediction_length=1, hidden_size=16, num_blocks=1, state_size=4,
        step_embedding_size=16, num_diffusion_steps=30, last_beta=0.3,
        is_zero_terminal=True, parameterization="velocity",
    )  # fmt: skip
    model = TSDiff(config).train()
    batch = window_batch(256, 3, 1)
    level = 1 + 0.5 * torch.randn(256, 1)
    batch = replace(batch, target=level.expand(-1, 4).contiguous(), scale=torch.ones(256))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 200)
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        drawn = DDIM(eta=1.0).sample(
            model.eval().denoise, model.process, model.start(500, generator=generator), 30, generator
        )
    assert drawn.mean().item() == pytest.approx(1, abs=0.1)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.12)
    assert torch.corrcoef(drawn[..., 0].T)[0, 3] > 0.8


def test_backbone_takes_windows_of_any_length_and_follows_the_type():
    network = Backbone(CONFIGS[1], 3).double()
    for length in (1, 7, 40):
        values = torch.randn(2, length, 3, dtype=torch.float64)
        found = network(values, torch.tensor([1.0, 2.0]))
        assert found.shape == values.shape
        assert found.dtype == torch.float64


def test_condition_and_features_reach_the_output_early_or_late():
    for early in (False, True):
        torch.manual_seed(2)
        network = Backbone(CONFIGS[0], 1, num_conditions=2, num_features=1, is_condition_early=early)
        values, time = torch.randn(2, 9, 1), torch.tensor([1.0, 2.0])
        condition, features = torch.randn(2, 9, 2), torch.randn(2, 1)
        with torch.no_grad():
            before = network(values, time, condition, features)
            assert not torch.allclose(before, network(values, time, condition + 1, features))
            assert not torch.allclose(before, network(values, time, condition, features + 1))


def test_bfloat16_outside_the_kernel_changes_little():
    model, batch = model_of(CONFIGS[0]).eval(), batch_of(CONFIGS[0])
    with torch.no_grad():
        exact = model.loss(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model.loss(batch)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.02)


def test_model_refuses_windows_of_another_shape():
    model = model_of(CONFIGS[0])
    with pytest.raises(ValueError, match="length 16 and 0 lags; got length 17 and 0 lags"):
        model.loss(window_batch(2, 13, 4))
    with pytest.raises(ValueError, match="got length 16 and 1 lags"):
        model.loss(window_batch(2, 12, 4, (3,)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context_length": 0}, "context_length must be at least 1"),
        ({"state_size": 7}, "state_size must be positive and even"),
        ({"dropout": 1.0}, "dropout must lie in"),
        ({"start": "hippo"}, "start must be one of linear, inverse, legs; got 'hippo'"),
        ({"schedule": "given"}, "betas belong to the schedule 'given'"),
        ({"betas": (0.1, 0.2)}, "betas belong to the schedule 'given'"),
        ({"is_zero_terminal": True}, "needs parameterization velocity or clean"),
        ({"min_snr": 0.0}, "min_snr must be above 0"),
        ({"num_lags": -1}, "num_lags must be at least 0"),
        ({"step_embedding_size": 3}, "step_embedding_size must be even"),
    ],
)
def test_config_refuses_values_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        TSDiffConfig(**{**SIZES, **change})


def test_config_from_dict_names_unknown_kinds_and_keys_and_takes_lists():
    with pytest.raises(ValueError, match="kind must be one of tsdiff, tsdiff_conditional; got 'csdi'"):
        config_from_dict({"kind": "csdi"})
    with pytest.raises(ValueError, match="a tsdiff model has no horizon"):
        config_from_dict({"kind": "tsdiff", **SIZES, "horizon": 3})
    values = CONFIGS[3].to_dict()
    assert config_from_dict({**values, "betas": list(values["betas"])}) == CONFIGS[3]
