"""Guidance against the one case where the conditional law is known: Gaussian data with the exact denoiser."""

from dataclasses import replace

import pytest
import torch
from diffusion_cases import SAMPLERS, GaussianData, processes, seeded

from models.diffusion import (
    NoiseSchedule,
    VariancePreserving,
    clean_variance,
    covariance_guidance,
    linear_betas,
)

PROCESSES = processes()
PLACE = torch.arange(4, dtype=torch.float64)
DATA = GaussianData([0.3, 0.1, -0.2, 0.4], torch.exp(-(PLACE.unsqueeze(1) - PLACE).abs() / 3))
OBSERVED = torch.tensor([True, True, False, False])
VALUES = torch.tensor([1.5, 1.0], dtype=torch.float64)
NOISE_VARIANCE = 1e-4


def exact_gradient(process, x, time):
    """Gradient of the log-likelihood of the observed given the noisy values, from linear algebra alone."""
    signal, spread = float(process.signal(time)[0]), float(process.spread(time)[0])
    if signal == 0:
        return torch.zeros_like(x)
    size = len(DATA.mean)
    eye = torch.eye(size, dtype=torch.float64)
    gain = signal * DATA.covariance @ torch.linalg.inv(signal**2 * DATA.covariance + spread**2 * eye)
    left = DATA.covariance - signal * gain @ DATA.covariance
    inside = left[OBSERVED][:, OBSERVED] + NOISE_VARIANCE * torch.eye(2, dtype=torch.float64)
    residual = VALUES - DATA.clean(process, x, time)[:, OBSERVED]
    return torch.linalg.solve(inside, residual.T).T @ gain[OBSERVED]


def guided(process, gradient):
    def denoise(x, time):
        return replace(DATA.denoise(process)(x, time), guidance=gradient(process, x, time))

    return denoise


def squared_error(scale):
    """The published guidance: gradient of half the squared error, with unit variance, times a scale."""

    def gradient(process, x, time):
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            error = (VALUES - DATA.clean(process, leaf, time)[:, OBSERVED]).square().sum() / 2
            return -scale * torch.autograd.grad(error, leaf)[0]

    return gradient


def by_conjugate_gradients(process, x, time):
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        target = torch.zeros_like(x)
        target[:, OBSERVED] = VALUES
        return covariance_guidance(
            DATA.clean(process, leaf, time), leaf, target, OBSERVED.expand_as(x), process, time,
            noise_variance=NOISE_VARIANCE, num_iterations=4,
        )  # fmt: skip


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_covariance_guidance_is_the_exact_gradient_of_gaussian_data(process):
    x = torch.randn(5, 4, generator=seeded(), dtype=torch.float64)
    for place in process.times(6)[:-1]:
        time = place.expand(5)
        found = by_conjugate_gradients(process, x, time)
        torch.testing.assert_close(found, exact_gradient(process, x, time), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_guided_clean_values_are_the_mean_given_noisy_and_observed(process):
    x = torch.randn(5, 4, generator=seeded(), dtype=torch.float64)
    time = process.times(3)[1].expand(5)
    signal, spread = float(process.signal(time)[0]), float(process.spread(time)[0])
    # Noisy and observed values in one linear system: [signal · x0 + noise, observed x0 + a little noise].
    look = torch.cat(
        [signal * torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)[OBSERVED]]
    )
    noise = torch.diag(torch.tensor([spread**2] * 4 + [NOISE_VARIANCE] * 2, dtype=torch.float64))
    gain = DATA.covariance @ look.T @ torch.linalg.inv(look @ DATA.covariance @ look.T + noise)
    seen = torch.cat([x, VALUES.expand(5, 2)], dim=1)
    expected = DATA.mean + (seen - DATA.mean @ look.T) @ gain.T
    estimate = guided(process, exact_gradient)(x, time)
    torch.testing.assert_close(process.guide(estimate, x, time).x0, expected)


@pytest.mark.parametrize(
    ("name", "kind", "num_steps"),
    [
        ("ddim", "flow", 100),
        ("dpm", "flow", 50),
        ("heun", "flow", 50),
        ("ddim", "zero terminal", 100),
        ("ddim", "noise", 100),
        ("ddim full", "noise", 100),
        ("ddpm", "noise", 100),
        ("ddpm", "velocity", 100),
    ],
)
def test_guided_samples_follow_the_analytic_conditional(name, kind, num_steps):
    process = PROCESSES[kind]
    x = torch.randn(3000, 4, generator=seeded(2), dtype=torch.float64)
    found = SAMPLERS[name].sample(guided(process, exact_gradient), process, x, num_steps, seeded(1))
    mean, covariance = DATA.conditional(OBSERVED, VALUES)
    torch.testing.assert_close(found.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance, atol=0.08, rtol=0)


def test_ancestral_guidance_converges_to_the_conditional_with_the_number_of_steps():
    mean, covariance = DATA.conditional(OBSERVED, VALUES)
    errors = []
    for num_steps in (25, 400):
        betas = linear_betas(num_steps, last=min(0.1 * 100 / num_steps, 0.999))
        process = VariancePreserving(NoiseSchedule(betas)).double()
        x = torch.randn(3000, 4, generator=seeded(2), dtype=torch.float64)
        found = SAMPLERS["ddpm"].sample(guided(process, exact_gradient), process, x, num_steps, seeded(1))
        errors.append(float((found.mean(0) - mean).abs().max() + (found.T.cov() - covariance).abs().max()))
    assert errors[1] < errors[0]
    assert errors[1] < 0.1


def test_published_guidance_is_too_weak_at_small_scales_and_nears_the_observed_at_large_ones():
    process = PROCESSES["noise"]
    x = torch.randn(1000, 4, generator=seeded(2), dtype=torch.float64)
    distance = []
    for scale in (0.0, 1.0, 4.0, 16.0):
        found = SAMPLERS["ddpm"].sample(guided(process, squared_error(scale)), process, x, 100, seeded(1))
        distance.append(float((found[:, OBSERVED] - VALUES).square().mean()))
    assert distance == sorted(distance, reverse=True)
    assert distance[1] > 0.1 * distance[0]  # the exact guidance leaves 1e-4
    assert distance[3] < 0.05 * distance[0]


def test_no_guidance_is_a_gradient_of_zero():
    process = PROCESSES["noise"]
    x = torch.randn(20, 4, generator=seeded(2), dtype=torch.float64)
    for sampler in SAMPLERS.values():
        without = sampler.sample(DATA.denoise(process), process, x, 10, seeded(1))
        zero = guided(process, lambda process, x, time: torch.zeros_like(x))
        torch.testing.assert_close(sampler.sample(zero, process, x, 10, seeded(1)), without)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_variance_of_white_clean_values_equals_its_closed_form(process):
    data = GaussianData([0.0], [[0.7]])
    x = torch.randn(20_000, 1, generator=seeded(), dtype=torch.float64)
    time = process.times(3)[1].expand(len(x))
    x0 = data.draw(len(x), seeded(4))
    noisy = process.add_noise(x0, time, x)
    left = (x0 - data.clean(process, noisy, time)).square().mean()
    assert float(left) == pytest.approx(float(clean_variance(process, time, 0.7)[0]), rel=0.05)


def test_rows_guide_themselves_alone_and_bad_curvature_stops():
    process = PROCESSES["flow"]
    x = torch.randn(3, 4, generator=seeded(), dtype=torch.float64)
    time = torch.full((3,), 0.5, dtype=torch.float64)
    together = by_conjugate_gradients(process, x, time)
    for row in range(3):
        alone = by_conjugate_gradients(process, x[row : row + 1], time[:1])
        torch.testing.assert_close(together[row : row + 1], alone)
    leaf = x.clone().requires_grad_()
    found = covariance_guidance(
        -leaf, leaf, torch.ones_like(x), torch.ones_like(x, dtype=torch.bool), process, time
    )
    assert torch.equal(found, torch.zeros_like(x))


def test_nothing_observed_is_no_guidance():
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    time = torch.full((2,), 0.5, dtype=torch.float64)
    nothing = torch.zeros(2, 4, dtype=torch.bool)
    found = covariance_guidance(2 * x, x, torch.zeros(2, 4), nothing, PROCESSES["flow"], time)
    assert torch.equal(found, torch.zeros_like(found))


@pytest.mark.parametrize("values", [{"noise_variance": 0.0}, {"num_iterations": 0}])
def test_impossible_settings_are_refused(values):
    x = torch.zeros(1, 2, requires_grad=True)
    with pytest.raises(ValueError, match="positive"):
        covariance_guidance(x * 1, x, x, x > 0, PROCESSES["flow"], torch.ones(1), **values)
    with pytest.raises(ValueError, match="above 0"):
        clean_variance(PROCESSES["flow"], torch.ones(1), 0.0)
