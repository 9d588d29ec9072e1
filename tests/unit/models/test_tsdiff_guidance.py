"""Self-guidance against normal windows, whose law given what is observed is known."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusion_cases import GaussianData, seeded
from tsdiff_gaussian import GaussianTSDiff, gaussian_windows, smooth_law
from window_batches import window_batch

from models.diffusion import DDIM, DDPM, DPMSolver2M
from models.tsdiff import TSDiff, TSDiffConfig
from models.tsdiff.conditions import Condition, observed_condition, sum_condition
from models.tsdiff.guidance import SelfGuidance, log_likelihood, pinball, spread_levels
from models.tsdiff.guided import guided_sample

LAW = smooth_law(6)
MODEL = GaussianTSDiff(LAW, 4, 2)
# Ends with noise alone, as sampling begins: what remains is the error of guidance and steps.
EXACT = GaussianTSDiff(LAW, 4, 2, is_zero_terminal=True, parameterization="velocity")
VALUES = torch.tensor([[1.5, 1.0, 0.2, -0.4, 0.0, 0.0]], dtype=torch.float64).unsqueeze(-1)
PATTERNS = {
    "forecast": [True, True, True, True, False, False],
    "random gaps": [True, False, True, False, False, False],
    "gap at the start": [False, False, True, True, False, False],
    "gap before the future": [True, True, False, False, False, False],
    "future known": [False, False, False, True, True, True],
}


def windows(pattern, **given):
    return gaussian_windows(VALUES, torch.tensor([pattern]).unsqueeze(-1), **given)


def conditional(pattern):
    observed = torch.tensor(pattern)
    return LAW.conditional(observed, VALUES[0, observed, 0])


def drawn(batch, num_steps=50, num_samples=1000, model=MODEL, **given):
    found = guided_sample(
        model, batch, num_samples, num_steps, seeded(1), is_observed_kept=False, rows_at_once=5000, **given
    )
    return found[0]


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_covariance_guidance_draws_from_the_law_given_any_pattern_of_gaps(pattern):
    exact = {"model": EXACT, "noise_variance": 1e-4, "num_iterations": 6, "is_antithetic": True}
    found = drawn(windows(pattern), kind="covariance", sampler=DPMSolver2M(), **exact)
    mean, covariance = conditional(pattern)
    torch.testing.assert_close(found.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance, atol=0.08, rtol=0)


def test_paths_come_in_the_unit_of_the_series():
    batch = windows(PATTERNS["forecast"])
    raw = windows(PATTERNS["forecast"], loc=10.0, scale=4.0)
    given = {"num_steps": 10, "num_samples": 5, "guidance_scale": 2.0}
    torch.testing.assert_close(drawn(raw, **given), 10 + 4 * drawn(batch, **given))


def test_few_steps_of_a_solver_of_second_order_keep_the_spread():
    pattern = PATTERNS["forecast"]
    mean, covariance = conditional(pattern)
    given = {"kind": "covariance", "num_iterations": 6, "is_antithetic": True, "model": EXACT}
    ratios = []
    for sampler in (DPMSolver2M(), DDIM()):
        found = drawn(windows(pattern), 10, sampler=sampler, **given)
        torch.testing.assert_close(found.mean(0), mean, atol=0.05, rtol=0)
        ratios.append(float(found[:, 5].var() / covariance[5, 5]))
    assert ratios[0] == pytest.approx(1, abs=0.12)
    assert ratios[1] < 0.85  # steps of first order lose spread


def law_of_linear_sampling(pattern, scale, num_steps=100):
    """Mean and covariance of DDPM with mean-square guidance: every step is linear, so both follow exactly."""
    process, size = MODEL.process, len(LAW.mean)
    eye = torch.eye(size, dtype=torch.float64)
    mask = torch.diag(torch.tensor(pattern, dtype=torch.float64))
    mean, covariance = torch.zeros(size, dtype=torch.float64), eye
    times = process.times(num_steps)
    for time, after in pairwise(times):
        a, s = process.signal(time), process.spread(time)
        b, r = process.signal(after), process.spread(after)
        gain = a * torch.linalg.solve(a**2 * LAW.covariance + s**2 * eye, LAW.covariance)
        kept = a / b
        added = s**2 - (kept * r) ** 2
        variance = added * (r / s) ** 2
        # f(x) = mean + gain (x - a mean); guidance = scale gainᵀ mask (y - f(x))
        pull = variance * scale * gain.T @ mask
        to_clean = b * added / s**2 * eye - pull
        step = kept * (r / s) ** 2 * eye + to_clean @ gain
        shift = to_clean @ (LAW.mean - a * gain @ LAW.mean) + pull @ VALUES[0, :, 0]
        mean = step @ mean + shift
        covariance = step @ covariance @ step.T + variance * eye
    return mean, covariance


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_mean_square_guidance_has_exactly_the_bias_that_follows_from_its_equation(scale):
    pattern = PATTERNS["random gaps"]
    given = {"kind": "mean_square", "guidance_scale": scale, "num_samples": 4000, "largest_move": None}
    found = drawn(windows(pattern), 100, sampler=DDPM(), **given)
    mean, covariance = law_of_linear_sampling(pattern, scale)
    torch.testing.assert_close(found.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance, atol=0.06, rtol=0)
    exact_mean, _ = conditional(pattern)
    assert (mean - exact_mean).abs().max() > 0.01


def test_starts_around_the_observed_mean_take_the_bias_of_a_start_without_signal_away():
    pattern, law = PATTERNS["forecast"], smooth_law(6, mean=3.0)
    model = GaussianTSDiff(law, 4, 2, last_beta=0.05)  # keeps a good part of the signal to the last step
    values = torch.tensor([[4.0, 3.0, 2.5, 3.5, 0.0, 0.0]], dtype=torch.float64).unsqueeze(-1)
    batch = gaussian_windows(values, torch.tensor([pattern]).unsqueeze(-1))
    means = [
        guided_sample(
            model, batch, 300, 50, seeded(1), kind="covariance", is_antithetic=True, num_iterations=6,
            is_centered=is_centered,
        )[0].mean(0)
        for is_centered in (False, True)
    ]  # fmt: skip
    exact, _ = law.conditional(torch.tensor(pattern), values[0, :4, 0])
    assert (means[1] - exact)[5].abs() < 0.5 * (means[0] - exact)[5].abs()


def test_median_guidance_is_half_the_absolute_error():
    short = torch.tensor([[1.0, -3.0], [0.5, 0.0]])
    torch.testing.assert_close(pinball(short, torch.tensor([0.5, 0.5])), short.abs() / 2)
    torch.testing.assert_close(pinball(short), short.abs() / 2)
    uneven = pinball(short, torch.tensor([0.9, 0.2]))
    torch.testing.assert_close(uneven, torch.tensor([[0.9, 0.3], [0.1, 0.0]]))


def test_levels_are_spread_evenly_and_order_the_paths():
    torch.testing.assert_close(spread_levels(3), torch.tensor([0.25, 0.5, 0.75]))
    found = drawn(windows(PATTERNS["forecast"]), 50, num_samples=400, guidance_scale=8.0)
    low, high = found[:100, :4].mean(), found[-100:, :4].mean()
    assert low < VALUES[0, :4, 0].mean() < high


@pytest.mark.parametrize("kind", ["mean_square", "quantile", "variance"])
def test_guidance_is_the_gradient_of_the_log_likelihood(kind):
    batch = windows(PATTERNS["random gaps"])
    condition = observed_condition(batch, kind=kind, guidance_scale=3.0)
    time = torch.tensor([40])
    x = torch.randn(1, 6, 1, generator=seeded(), dtype=torch.float64, requires_grad=True)
    levels = torch.tensor([0.8])

    def likelihood(x):
        return log_likelihood(condition, MODEL.denoise(x, time).x0, MODEL.process, time, levels)

    expected = torch.autograd.functional.jacobian(likelihood, x)[0]
    found = SelfGuidance(MODEL, [condition], quantile_levels=levels, largest_move=None)(x, time)
    torch.testing.assert_close(found.guidance, expected)
    assert not found.x0.requires_grad
    assert torch.autograd.gradcheck(likelihood, (x,))


def test_conditions_add_up_and_a_mean_is_a_sum_over_its_number():
    batch = windows(PATTERNS["random gaps"])
    first = observed_condition(batch, guidance_scale=3.0)
    second = observed_condition(batch, kind="quantile", guidance_scale=2.0)
    x, time = torch.randn(1, 6, 1, generator=seeded(), dtype=torch.float64), torch.tensor([40])
    alone = [
        SelfGuidance(MODEL, [condition], largest_move=None)(x, time).guidance for condition in (first, second)
    ]
    torch.testing.assert_close(
        SelfGuidance(MODEL, [first, second], largest_move=None)(x, time).guidance, sum(alone)
    )
    mean = SelfGuidance(MODEL, [replace(first, is_mean=True)], largest_move=None)(x, time).guidance
    torch.testing.assert_close(2 * mean, alone[0])


def test_total_of_the_future_is_met_together_with_what_is_observed():
    batch = windows(PATTERNS["gap before the future"], loc=3.0, scale=2.0)
    weights = torch.tensor([[0.0, 0, 0, 0, 1, 1]], dtype=torch.float64)
    total = sum_condition(batch, weights, torch.tensor([[12.0]], dtype=torch.float64), kind="covariance")
    exact = {"model": EXACT, "noise_variance": 1e-4, "num_iterations": 6, "is_antithetic": True}
    found = drawn(batch, kind="covariance", conditions=[total], sampler=DPMSolver2M(), **exact)
    # In scaled units the last two add up to (12 - 2 * 3) / 2 = 3: one more row of a linear system.
    look = torch.cat([torch.eye(6, dtype=torch.float64)[:2], weights])
    seen = torch.tensor([1.5, 1.0, 3.0], dtype=torch.float64)
    gain = torch.linalg.solve(look @ LAW.covariance @ look.T, look @ LAW.covariance).T
    mean = LAW.mean + gain @ (seen - look @ LAW.mean)
    covariance = LAW.covariance - gain @ look @ LAW.covariance
    scaled = (found - 3) / 2
    torch.testing.assert_close(scaled.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(scaled.T.cov(), covariance, atol=0.1, rtol=0)
    assert (found[:, 4:].sum(1) - 12).abs().max() < 0.5


def test_lags_guide_like_the_series_and_unknown_sums_do_not():
    law = GaussianData(torch.zeros(8), torch.exp(-(torch.arange(8.0)[:, None] - torch.arange(8.0)).abs() / 4))
    model = GaussianTSDiff(law, 3, 1, num_lags=1)
    values = torch.ones(1, 4, 2, dtype=torch.float64)
    observed = torch.zeros(1, 4, 2, dtype=torch.bool)
    observed[..., 1] = True
    batch = gaussian_windows(values, observed, num_lags=1)
    given = {"kind": "covariance", "num_iterations": 8, "is_antithetic": True}
    found = guided_sample(model, batch, 600, 50, seeded(1), **given)
    mean, _ = law.conditional(observed.flatten(), values[observed])
    torch.testing.assert_close(found[0].mean(0), mean.view(4, 2)[:, 0], atol=0.05, rtol=0)
    unknown = sum_condition(batch, torch.ones(1, 4, dtype=torch.float64), torch.full((1, 1), torch.nan))
    again = guided_sample(model, batch, 600, 50, seeded(1), conditions=[unknown], **given)
    torch.testing.assert_close(again, found)


def test_one_call_of_the_network_a_step_and_no_trace_left_in_it():
    config = TSDiffConfig(12, 4, hidden_size=8, num_blocks=1, state_size=4, step_embedding_size=8)
    torch.manual_seed(0)
    model = TSDiff(config).train()
    calls = []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    batch = window_batch(2, missing=0.3)
    for kind in ("quantile", "covariance"):
        calls.clear()
        found = guided_sample(model, batch, 3, 5, seeded(1), kind=kind)
        assert len(calls) == 5
        assert found.shape == (2, 3, 16)
        assert found.isfinite().all()
        assert torch.equal(found.transpose(1, 2)[batch.observed][:, 0], batch.target[batch.observed])
    assert model.training
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())


def test_hidden_values_and_the_size_of_pieces_change_nothing():
    config = TSDiffConfig(12, 4, hidden_size=8, num_blocks=1, state_size=4, step_embedding_size=8)
    torch.manual_seed(0)
    model = TSDiff(config)
    batch = window_batch(2, missing=0.3)
    found = guided_sample(model, batch, 4, 5, seeded(1))
    hidden = replace(batch, target=batch.target.where(batch.observed, torch.nan))
    pieces = guided_sample(model, hidden, 4, 5, seeded(1), rows_at_once=3)
    torch.testing.assert_close(pieces, found, rtol=1e-4, atol=1e-4)
    assert torch.equal(guided_sample(model, batch, 4, 5, seeded(1)), found)
    assert not torch.equal(guided_sample(model, batch, 4, 5, seeded(2)), found)


def test_what_cannot_be_is_refused():
    batch = windows(PATTERNS["forecast"])
    with pytest.raises(ValueError, match="at least 1"):
        guided_sample(MODEL, batch, 0, 5)
    other = observed_condition(window_batch(3, 4, 2))
    with pytest.raises(ValueError, match="a condition is of 3 windows; the batch has 1"):
        guided_sample(MODEL, batch, 2, 5, conditions=[other])
    with pytest.raises(ValueError, match="kind must be one of"):
        observed_condition(batch, kind="mode")
    with pytest.raises(ValueError, match="guidance_scale must be at least 0"):
        observed_condition(batch, guidance_scale=-1.0)
    with pytest.raises(ValueError, match="must be finite"):
        Condition(torch.tensor([[torch.nan]]), torch.tensor([[True]]))
    with pytest.raises(ValueError, match="other than 0"):
        sum_condition(batch, torch.zeros(1, 6), torch.ones(1, 1))
    with pytest.raises(ValueError, match=r"shape \(num_sums, 6\)"):
        sum_condition(batch, torch.ones(1, 5), torch.ones(1, 1))
    with pytest.raises(ValueError, match="totals must have shape"):
        sum_condition(batch, torch.ones(1, 6), torch.ones(2, 1))
    with pytest.raises(ValueError, match="weights must have shape"):
        Condition(torch.ones(1, 2), torch.ones(1, 2) > 0, torch.ones(1, 3, 6))
    with pytest.raises(ValueError, match="must have shape"):
        Condition(torch.ones(2), torch.ones(2) > 0)


def test_ancestral_and_deterministic_sampling_agree_on_what_is_forecast():
    batch = windows(PATTERNS["forecast"])
    means = [
        drawn(batch, 100, 1500, kind="covariance", num_iterations=6, sampler=sampler).mean(0)
        for sampler in (DDPM(), DDIM())
    ]
    torch.testing.assert_close(means[0], means[1], atol=0.08, rtol=0)


def test_paths_that_begin_from_a_forecast_keep_the_more_of_it_the_less_it_is_noised():
    batch = windows(PATTERNS["forecast"], loc=1.0, scale=2.0)
    base = torch.tensor([[9.0, 9.0]], dtype=torch.float64)  # 4 in scaled units
    given = {"num_samples": 300, "kind": "covariance", "num_iterations": 6, "sampler": DPMSolver2M()}
    means = [
        float(drawn(batch, 10, base=base, start=start, is_antithetic=True, **given)[:, 4:].mean())
        for start in (9, 30, 60, 99)
    ]
    assert means == sorted(means, reverse=True)
    assert means[0] > 5
    exact = 1 + 2 * float(conditional(PATTERNS["forecast"])[0][4:].mean())
    assert means[-1] == pytest.approx(exact, abs=0.6)


def test_true_paths_noised_and_denoised_keep_their_law():
    pattern = PATTERNS["forecast"]
    mean, covariance = conditional(pattern)
    left = torch.linalg.cholesky(covariance[4:, 4:])
    paths = mean[4:] + torch.randn(1, 3000, 2, generator=seeded(7), dtype=torch.float64) @ left.T
    found = drawn(
        windows(pattern), 20, 3000, base=paths, start=50, kind="covariance", num_iterations=6,
        sampler=DPMSolver2M(),
    )  # fmt: skip
    torch.testing.assert_close(found.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance, atol=0.08, rtol=0)


def test_base_and_start_belong_together():
    with pytest.raises(ValueError, match="belong together"):
        guided_sample(MODEL, windows(PATTERNS["forecast"]), 2, 5, start=20)
    with pytest.raises(ValueError, match="largest_move must be above 0"):
        guided_sample(MODEL, windows(PATTERNS["forecast"]), 2, 5, largest_move=0.0)


def test_bounded_guidance_never_moves_clean_values_past_what_is_known_by_more_than_they_are_off():
    batch, time = windows(PATTERNS["random gaps"]), torch.tensor([90])
    x = torch.randn(1, 6, 1, generator=seeded(), dtype=torch.float64)
    condition = observed_condition(batch, guidance_scale=1e4)
    wild = SelfGuidance(MODEL, [condition], largest_move=None)(x, time)
    bounded = SelfGuidance(MODEL, [condition], largest_move=1.0)(x, time)
    known = condition.known[0]
    off = (condition.values - bounded.x0.flatten(1))[0, known].norm()
    shifts = [
        (MODEL.process.guide(found, x, time).x0 - found.x0)[0, known, 0].norm() for found in (wild, bounded)
    ]
    assert shifts[0] > 10 * off
    torch.testing.assert_close(shifts[1], off)
    torch.testing.assert_close(
        bounded.guidance / bounded.guidance.norm(), wild.guidance / wild.guidance.norm()
    )


def test_exact_guidance_is_never_shortened_and_large_scales_stay_near_what_is_known():
    batch = windows(PATTERNS["random gaps"])
    given = {"kind": "covariance", "num_iterations": 6, "num_samples": 20}
    bounded, free = (drawn(batch, 10, largest_move=move, **given) for move in (1.0, None))
    torch.testing.assert_close(bounded, free)
    wild = drawn(batch, 10, kind="mean_square", guidance_scale=1e3, num_samples=20, largest_move=1.0)
    assert wild.abs().max() < 20
