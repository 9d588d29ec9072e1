from dataclasses import replace

import pytest
import torch
from diffusion_cases import DETERMINISTIC, SAMPLERS, GaussianData, knows_the_noise, processes, seeded

from models.diffusion import DDIM, DDPM, DPMSolver2M, Euler, Heun, transition
from models.diffusion.samplers import Run

PROCESSES = processes()
each_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


def white(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def first_noise(process, count, size, seed=0):
    return process.spread(process.times(1)[:1]) * white(count, size, seed=seed)


@each_process
@each_sampler
@pytest.mark.parametrize("num_steps", [1, 2, 20])
def test_a_network_that_knows_the_clean_values_leads_to_them(process, sampler, num_steps):
    x0, x = white(2, 3, 4, 5)

    def denoise(x, time):
        signal, spread = (of(time).view(-1, 1, 1) for of in (process.signal, process.spread))
        return process.estimate(process.target(x0, (x - signal * x0) / spread, time), x, time)

    torch.testing.assert_close(sampler.sample(denoise, process, x, num_steps, seeded()), x0)


@each_process
@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("num_steps", [1, 3, 20])
def test_a_network_that_knows_the_noise_leads_to_the_clean_values(process, name, num_steps):
    x0, noise = white(2, 3, 4, 5)
    x = process.add_noise(x0, process.times(1)[:1].expand(3), noise)
    found = SAMPLERS[name].sample(knows_the_noise(process, x0, noise), process, x, num_steps)
    torch.testing.assert_close(found, x0, rtol=1e-9, atol=1e-9)


@each_process
@each_sampler
def test_start_may_lie_inside(process, sampler):
    x0, noise = white(2, 3, 4)
    start = 9 if process.times(1)[0] > 1 else 0.25
    x = process.add_noise(x0, torch.full((3,), start, dtype=process.times(1).dtype), noise)
    seen = []

    def denoise(x, time):
        seen.append(float(time[0]))
        signal, spread = (of(time).view(-1, 1) for of in (process.signal, process.spread))
        return process.estimate(process.target(x0, (x - signal * x0) / spread, time), x, time)

    found = sampler.sample(denoise, process, x, 5, seeded(), start=start)
    torch.testing.assert_close(found, x0)
    assert max(seen) == start


@each_process
def test_full_ddim_gives_the_numbers_of_ddpm(process):
    data = GaussianData([0.5, -1.0], [[1.0, 0.6], [0.6, 0.5]])
    for num_steps in (7, 100):
        x = white(50, 2)
        ddpm = DDPM().sample(data.denoise(process), process, x, num_steps, seeded(1))
        ddim = DDIM(1.0).sample(data.denoise(process), process, x, num_steps, seeded(1))
        torch.testing.assert_close(ddim, ddpm, rtol=1e-6, atol=1e-8)


def test_ddpm_step_equals_the_textbook():
    process = PROCESSES["noise"]
    betas = 1 - process.schedule.alpha_bar / torch.cat(
        [torch.ones(1, dtype=torch.float64), process.schedule.alpha_bar[:-1]]
    )
    step, predicted, x = 40, white(3, 4, seed=1), white(3, 4)
    beta, alpha_bar = betas[step], process.schedule.alpha_bar[step]
    mean = (x - beta / (1 - alpha_bar).sqrt() * predicted) / (1 - beta).sqrt()
    variance = beta * (1 - process.schedule.alpha_bar[step - 1]) / (1 - alpha_bar)
    gradient = white(3, 4, seed=2)
    for name, used in (("posterior", variance), ("forward", beta)):
        seen = []

        def denoise(x, time):
            estimate = process.estimate(predicted, x, time)
            return type(estimate)(estimate.x0, estimate.noise, gradient)

        DDPM(name).sample(
            denoise,
            process,
            x,
            step + 1,
            seeded(3),
            start=step,
            on_step=lambda done, total, values, seen=seen: seen.append(values),
        )
        drawn = torch.randn(3, 4, generator=seeded(3), dtype=torch.float64)
        torch.testing.assert_close(seen[0], mean + used * gradient + used.sqrt() * drawn)


@each_process
@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm", "euler", "heun"])
def test_samples_of_gaussian_data_have_its_mean_and_covariance(process, name):
    data = GaussianData([0.5, -0.2], [[1.2, 0.7], [0.7, 0.8]])
    num_steps = 20 if name in {"dpm", "heun"} else 100
    start = process.times(1)[:1].expand(4000)
    x = process.add_noise(data.draw(4000, seeded(5)), start, white(4000, 2))
    found = SAMPLERS[name].sample(data.denoise(process), process, x, num_steps, seeded(1))
    torch.testing.assert_close(found.mean(0), data.mean, atol=0.07, rtol=0)
    torch.testing.assert_close(found.T.cov(), data.covariance, atol=0.09, rtol=0)


@each_process
def test_euler_equals_ddim(process):
    data = GaussianData([0.5, -0.2], [[1.2, 0.7], [0.7, 0.8]])
    x = white(20, 2)
    torch.testing.assert_close(
        Euler().sample(data.denoise(process), process, x, 9),
        DDIM().sample(data.denoise(process), process, x, 9),
    )


def exact_end(process, data, x):
    """Solution of the probability flow of one Gaussian value: its standard score stays what it is."""
    signal, spread = (of(process.times(1)[:1]) for of in (process.signal, process.spread))
    deviation = (signal**2 * data.covariance + spread**2).sqrt()
    return data.mean + (x - signal * data.mean) / deviation * data.covariance.sqrt()


def error(sampler, process, num_steps):
    data = GaussianData([1.0], [[0.25]])
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).unsqueeze(1)
    found = sampler.sample(data.denoise(process), process, x, num_steps)
    return float((found - exact_end(process, data, x)).abs().max())


@pytest.mark.parametrize("name", ["cosine", "flow", "noise"])
@pytest.mark.parametrize("sampler", [DPMSolver2M(), Heun()], ids=["dpm", "heun"])
def test_second_order_is_better_than_ddim(name, sampler):
    for num_steps in (10, 20, 50):
        assert error(sampler, PROCESSES[name], num_steps) < error(DDIM(), PROCESSES[name], num_steps) / 2


def test_orders_of_convergence():
    process = PROCESSES["flow"]
    halved = {
        name: error(SAMPLERS[name], process, 40) / error(SAMPLERS[name], process, 160)
        for name in DETERMINISTIC
    }
    assert halved["euler"] == pytest.approx(4, rel=0.25)
    assert halved["heun"] > 10
    assert halved["dpm"] > 10


def test_flow_carries_samples_of_any_prior_to_the_data():
    process = PROCESSES["flow"]
    x0, prior = white(2, 3, 6)
    prior = prior.cumsum(1) + 4  # neither white nor centered
    found = Euler().sample(knows_the_noise(process, x0, prior), process, prior, 4)
    torch.testing.assert_close(found, x0)


@each_sampler
def test_equal_generators_give_equal_samples(sampler):
    process = PROCESSES["velocity"]
    data = GaussianData([0.5, -0.2], [[1.2, 0.7], [0.7, 0.8]])
    runs = [sampler.sample(data.denoise(process), process, white(9, 2), 10, seeded(s)) for s in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2]) == (sampler in [SAMPLERS[name] for name in DETERMINISTIC])


@each_sampler
def test_steps_are_reported_and_type_follows_the_values(sampler):
    process, seen = PROCESSES["velocity"], []
    x = torch.randn(3, 4, generator=seeded())
    found = sampler.sample(
        lambda x, time: process.estimate(torch.zeros_like(x), x, time),
        process,
        x,
        5,
        seeded(),
        on_step=lambda done, total, values: seen.append((done, total, values.dtype)),
    )
    assert found.dtype == torch.float32
    assert seen == [(done, 5, torch.float32) for done in range(1, 6)]


@each_sampler
def test_gradients_flow_through_a_sampler(sampler):
    process = PROCESSES["flow"]
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    found = sampler.sample(
        lambda x, time: process.estimate(factor * x, x, time), process, white(3, 4), 4, seeded()
    )
    (gradient,) = torch.autograd.grad(found.square().sum(), factor)
    assert torch.isfinite(gradient)
    assert gradient != 0


def test_bound_holds_clean_values_that_guidance_throws_far():
    process = PROCESSES["noise"]

    def denoise(x, time):
        estimate = process.estimate(torch.zeros_like(x), x, time)
        return replace(estimate, guidance=torch.full_like(x, 1e3))

    x = white(5, 3)
    assert float(DPMSolver2M().sample(denoise, process, x, 1).max()) > 100
    assert float(DPMSolver2M(bound=3.0).sample(denoise, process, x, 1).max()) < 4
    far = DPMSolver2M(bound=1e9).sample(denoise, process, x, 6)
    assert torch.equal(far, DPMSolver2M().sample(denoise, process, x, 6))


def test_a_step_may_begin_at_another_time_in_each_row():
    process = PROCESSES["flow"]
    x0, noise = white(2, 3, 4)
    time, next_time = torch.tensor([[0.9, 0.5, 0.3], [0.6, 0.4, 0.1]], dtype=torch.float64)
    x = process.add_noise(x0, time, noise)
    denoise = knows_the_noise(process, x0, noise)
    estimate = denoise(x, time)
    step = transition(process, x, time, next_time)
    found = Euler().move(Run(denoise, process, None), step, estimate, estimate, None)
    torch.testing.assert_close(found, process.add_noise(x0, next_time, noise))


def test_impossible_samplers_are_refused():
    with pytest.raises(ValueError, match="bound"):
        DPMSolver2M(0.0)
    with pytest.raises(ValueError, match="eta"):
        DDIM(1.5)
    with pytest.raises(ValueError, match="variance"):
        DDPM("large")
