"""Refinement against normal windows: its energy is quadratic, so every iteration is linear and known."""

from dataclasses import replace

import pytest
import torch
from diffusion_cases import GaussianData, seeded
from tsdiff_gaussian import GaussianTSDiff, gaussian_windows, smooth_law
from window_batches import window_batch

from models.tsdiff import TSDiff, TSDiffConfig
from models.tsdiff.refine import refine
from models.tsdiff.regularizers import pull_back
from models.tsdiff.representative import representative_step, stepwise_losses

LAW = smooth_law(6)
MODEL = GaussianTSDiff(LAW, 4, 2)
STEP = 40
EYE = torch.eye(6, dtype=torch.float64)
REGULARIZERS = pytest.mark.parametrize("regularizer", ["mean_square", "quantile"])


def windows(rows=1, **given):
    values = LAW.draw(rows, seeded(3)).unsqueeze(-1)
    observed = torch.tensor([True, True, True, True, False, False]).view(1, 6, 1).expand(rows, -1, -1)
    return gaussian_windows(values, observed, **given)


def factors(law=LAW, step=STEP):
    signal, spread = MODEL.process.signal(torch.tensor(step)), MODEL.process.spread(torch.tensor(step))
    inverse = torch.linalg.inv(signal**2 * law.covariance + spread**2 * EYE[: len(law.mean), : len(law.mean)])
    return signal, spread, inverse


def all_unknown(batch):
    """Windows of which nothing is observed: with no weight on the regularizer, all entries move freely."""
    return replace(batch, observed=torch.zeros_like(batch.observed))


def likelihood(windows):
    away = windows - LAW.mean
    return -(away @ torch.linalg.inv(LAW.covariance) * away).sum(-1) / 2


@REGULARIZERS
@pytest.mark.parametrize("method", ["langevin", "maximum_likelihood"])
def test_an_infinite_weight_of_the_regularizer_returns_the_start(method, regularizer):
    batch = windows(3, loc=5.0, scale=2.0)
    base = torch.tensor([[4.0, 5.0], [6.0, 9.0], [1.0, 0.0]], dtype=torch.float64)
    given = {"step": STEP, "num_samples": 4, "method": method, "regularizer": regularizer}
    for weight in (1e12, float("inf")):
        found = refine(MODEL, batch, base, regularization=weight, generator=seeded(), **given)
        torch.testing.assert_close(found, base.unsqueeze(1).expand(-1, 4, -1))


def test_no_iteration_returns_the_start():
    base = torch.randn(2, 3, 2, dtype=torch.float64)
    found = refine(MODEL, windows(2, loc=1.0, scale=3.0), base, step=STEP, num_iterations=0)
    torch.testing.assert_close(found, base)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_langevin_paths_follow_the_linear_recursion_of_the_published_energy(weight):
    signal, spread, inverse = factors()
    step_size, temperature, number = 0.05, 0.3, 4000
    pull = signal * spread * inverse
    keep = (EYE - 2 * step_size * pull @ pull) / (1 + 2 * step_size * weight)
    shake = -2 * step_size * pull @ (spread**2 * inverse - EYE) / (1 + 2 * step_size * weight)
    shrink = 1 / (1 + 2 * step_size * weight)
    batch = windows()
    base = torch.tensor([[2.0, -2.0]], dtype=torch.float64)
    anchor = torch.cat([batch.target[0, :4], base[0]])
    mean, covariance = anchor, torch.zeros_like(EYE)
    for _ in range(60):
        drift = 2 * step_size * shrink * pull @ pull @ LAW.mean + (1 - shrink) * anchor
        mean = keep @ mean + drift
        covariance = keep @ covariance @ keep.T + shake @ shake.T
        covariance = covariance + 2 * step_size * temperature * shrink**2 * EYE
    found = refine(
        MODEL, batch, base, step=STEP, num_samples=number, num_iterations=60, step_size=step_size,
        temperature=temperature, regularization=weight, generator=seeded(2), rows_at_once=5000,
    )[0]  # fmt: skip
    torch.testing.assert_close(found.mean(0), mean[4:], atol=0.05, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance[4:, 4:], atol=0.05, rtol=0.05)


def test_many_langevin_steps_at_the_right_temperature_reach_the_spread_of_white_windows():
    law = GaussianData(torch.full((3,), 1.0), torch.eye(3))
    model = GaussianTSDiff(law, 2, 1)
    signal, spread, _ = factors(law)
    batch = gaussian_windows(torch.zeros(1, 3, 1, dtype=torch.float64), torch.zeros(1, 3, 1) > 0)
    found = refine(
        model, batch, torch.full((1, 1), 7.0), step=STEP, num_samples=3000, num_iterations=150,
        step_size=0.1, temperature=float(2 * (signal * spread) ** 2), regularization=0.0,
        generator=seeded(1), rows_at_once=5000,
    )  # fmt: skip
    assert found.mean().item() == pytest.approx(1, abs=0.08)
    assert found.var().item() == pytest.approx(1, abs=0.1)


def test_score_energy_at_temperature_one_reaches_the_law_as_the_step_sees_it():
    signal, spread, _ = factors()
    found = refine(
        MODEL, all_unknown(windows()), torch.full((1, 2), -3.0), step=STEP, num_samples=1500,
        num_iterations=300, step_size=0.1, temperature=1.0, regularization=0.0, energy="score",
        generator=seeded(1), rows_at_once=5000,
    )[0]  # fmt: skip
    torch.testing.assert_close(found.mean(0), LAW.mean[4:], atol=0.12, rtol=0)
    expected = LAW.covariance + (spread / signal) ** 2 * EYE
    torch.testing.assert_close(found.T.cov(), expected[4:, 4:], atol=0.05, rtol=0.15)


@pytest.mark.parametrize("energy", ["loss", "score"])
def test_maximum_likelihood_moves_up_the_likelihood(energy):
    batch = windows()
    base = torch.tensor([[4.0, -4.0]], dtype=torch.float64)
    context = batch.target[:, :4]
    reached = []
    for num_iterations in (0, 5, 20, 80):
        found = refine(
            MODEL, batch, base, step=STEP, num_samples=50, method="maximum_likelihood", energy=energy,
            regularization=0.0, num_iterations=num_iterations, is_observed_fixed=True, generator=seeded(),
        )[0]  # fmt: skip
        reached.append(float(likelihood(torch.cat([context.expand(50, -1), found], 1)).mean()))
    assert reached == sorted(reached)
    assert reached[-1] > 0.2 * reached[0]


def test_points_get_a_spread_from_langevin_noise_and_less_from_likelihood_alone():
    base = torch.zeros(1, 2, dtype=torch.float64)
    spreads = [
        refine(
            MODEL, windows(), base, step=STEP, num_samples=200, method=method, generator=seeded(),
            temperature=0.2,
        ).std()
        for method in ("langevin", "maximum_likelihood")
    ]  # fmt: skip
    assert spreads[0] > 1.3 * spreads[1] > 0


@REGULARIZERS
def test_pull_back_is_the_minimum_of_distance_and_regularizer(regularizer):
    values = torch.tensor([[-2.0, -0.3, 0.0, 0.1, 1.5]], dtype=torch.float64)
    anchor, level, weight = torch.full_like(values, 0.2), 0.7, 0.5
    found = pull_back(values, anchor, weight, regularizer, torch.tensor([level]))
    grid = torch.linspace(-3, 3, 60_001, dtype=torch.float64).unsqueeze(1)
    short = anchor - grid
    if regularizer == "quantile":
        penalty = torch.maximum(level * short, (level - 1) * short)
    else:
        penalty = short.square()
    best = grid[((grid - values).square() / 2 + weight * penalty).argmin(0), 0]
    torch.testing.assert_close(found[0], best, atol=2e-4, rtol=0)
    torch.testing.assert_close(
        pull_back(values, anchor, float("inf"), regularizer, torch.tensor([level])), anchor
    )


def test_quantile_regularizer_spreads_points_by_the_level_of_their_path():
    base = torch.zeros(1, 2, dtype=torch.float64)
    # Away from the law, so that the kink does not hold the paths.
    law = smooth_law(6, mean=2.0)
    found = refine(
        GaussianTSDiff(law, 4, 2), windows(), base, step=STEP, num_samples=99, regularizer="quantile",
        method="maximum_likelihood", generator=seeded(), step_size=0.3, num_iterations=30,
    )[0]  # fmt: skip
    assert found[:33].mean() < found[33:66].mean() < found[66:].mean()


def test_observed_future_and_fixed_context_stay_and_hidden_values_are_never_read():
    config = TSDiffConfig(12, 4, num_lags=1, hidden_size=8, num_blocks=1, state_size=4, step_embedding_size=8)
    torch.manual_seed(0)
    model = TSDiff(config).train()
    batch = window_batch(2, lags=(2,), missing=0.3)
    observed, lags_observed = batch.observed.clone(), batch.lags_observed.clone()
    observed[:, 12:] = torch.tensor([True, False, False, True])
    lags_observed[:, 14:] = False
    batch = replace(batch, observed=observed, lags_observed=lags_observed)
    batch = replace(batch, target=batch.target.where(observed, torch.tensor(3.0)))
    base = torch.full((2, 4), 3.0)
    given = {"step": 30, "num_samples": 3, "is_observed_fixed": True}
    found = refine(model, batch, base, generator=seeded(), **given)
    assert found.shape == (2, 3, 4)
    for place in (0, 3):
        torch.testing.assert_close(found[..., place], batch.target[:, 12 + place, None].expand(-1, 3))
    assert (found[..., 1] - 3).abs().min() > 0
    hidden = replace(
        batch,
        target=batch.target.where(observed, torch.nan),
        lags=batch.lags.where(lags_observed, torch.nan),
    )
    pieces = refine(model, hidden, base, generator=seeded(), rows_at_once=2, **given)
    torch.testing.assert_close(pieces, found, rtol=1e-4, atol=1e-4)
    assert torch.equal(refine(model, batch, base, generator=seeded(), **given), found)
    assert model.training


def test_losses_by_step_equal_their_closed_form_and_name_the_representative_step():
    expected = []
    for step in range(100):
        _, spread, inverse = factors(step=step)
        expected.append(float((EYE - spread**2 * inverse).diagonal().mean()))
    expected = torch.tensor(expected, dtype=torch.float64)
    batches = [
        gaussian_windows(LAW.draw(1000, seeded(seed)).unsqueeze(-1), torch.ones(1000, 6, 1) > 0)
        for seed in (1, 2)
    ]
    found = stepwise_losses(MODEL, batches, seeded(5))
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0.1)
    best = int((expected - expected.mean()).square().argmin())
    assert abs(representative_step(MODEL, batches, seeded(5)) - best) <= 2


def test_losses_by_step_need_something_observed():
    with pytest.raises(ValueError, match="something is observed"):
        representative_step(MODEL, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 100}, "step must lie in 0 to 99; got 100"),
        ({"method": "newton"}, "method must be one of langevin, maximum_likelihood; got 'newton'"),
        ({"energy": "loss_"}, "energy must be one of"),
        ({"step_size": 0.0}, "step_size above 0"),
        ({"temperature": -1.0}, "at least 0"),
        ({"base": torch.zeros(1, 3)}, "must have 2 steps"),
        ({"base": torch.full((1, 2), torch.nan)}, "must be finite"),
        ({"base": torch.zeros(1, 2, 2), "num_samples": 3}, "2 base paths cannot become 3"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    given = {"base": torch.zeros(1, 2), "step": STEP, **change}
    with pytest.raises(ValueError, match=message):
        refine(MODEL, windows(), given.pop("base"), **given)


def test_quantile_pull_needs_levels():
    with pytest.raises(ValueError, match="needs quantile_levels"):
        pull_back(torch.zeros(1, 2), torch.zeros(1, 2), 1.0, "quantile")
