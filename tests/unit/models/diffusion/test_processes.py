import copy
from dataclasses import replace

import pytest
import torch
from diffusion_cases import knows_the_noise, processes, seeded

from models.diffusion import (
    DDIM,
    DDPM,
    DPMSolver2M,
    Estimate,
    Euler,
    FlowMatching,
    NoiseSchedule,
    VariancePreserving,
    linear_betas,
    zero_terminal_betas,
)

PROCESSES = processes()
each_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def noisy(process, shape=(6, 5, 3), seed=0):
    x0, noise = torch.randn(2, *shape, generator=seeded(seed), dtype=torch.float64)
    time = process.draw_times(shape[0], seeded(seed))
    return x0, noise, time, process.add_noise(x0, time, noise)


@each_process
def test_estimate_inverts_the_target(process):
    x0, noise, time, x = noisy(process)
    estimate = process.estimate(process.target(x0, noise, time), x, time)
    torch.testing.assert_close(estimate.x0, x0)
    torch.testing.assert_close(estimate.noise, noise)


@each_process
def test_estimate_always_explains_the_noisy_values(process):
    x0, _, time, x = noisy(process)
    estimate = process.estimate(torch.randn_like(x0), x, time)
    torch.testing.assert_close(process.add_noise(estimate.x0, time, estimate.noise), x)


@each_process
def test_moments_of_noisy_values(process):
    time = process.times(4)[1].expand(1)
    x0 = torch.full((1, 20_000), 2.0, dtype=torch.float64)
    x = process.add_noise(x0, time, torch.randn(x0.shape, generator=seeded(), dtype=torch.float64))
    signal, spread = float(process.signal(time)), float(process.spread(time))
    assert float(x.mean()) == pytest.approx(2 * signal, abs=5 * spread / 20_000**0.5)
    assert float(x.std()) == pytest.approx(spread, rel=0.03)


@each_process
def test_times_fall_from_the_noisiest_to_the_clean_one(process):
    for num_steps in (1, 2, 3, 7, 33, 100):
        times = process.times(num_steps)
        assert len(times) == num_steps + 1
        assert (times.diff() < 0).all()
        assert float(process.spread(times[:1])) == float(process.spread(process.times(1)[:1]))
        assert float(process.spread(times[-1:])) == 0
        assert float(process.signal(times[-1:])) == 1


def test_respacing_starts_at_the_last_step_and_can_start_earlier():
    process = PROCESSES["noise"]
    assert process.times(4).tolist() == [99, 74, 49, 24, -1]
    assert process.times(10, start=9).tolist() == [*range(9, -1, -1), -1]
    assert process.times(100).tolist() == list(range(99, -2, -1))
    assert FlowMatching().times(2, start=0.5).tolist() == [0.5, 0.25, 0]


@pytest.mark.parametrize(
    ("num_steps", "start"), [(0, None), (101, None), (11, 9), (1, 100), (1, -1), (1, 0.5)]
)
def test_steps_that_do_not_exist_are_refused(num_steps, start):
    with pytest.raises(ValueError, match="must"):
        PROCESSES["noise"].times(num_steps, start=start)


@pytest.mark.parametrize(("num_steps", "start"), [(0, None), (1, 0.0), (1, 1.5)])
def test_times_of_a_flow_that_do_not_exist_are_refused(num_steps, start):
    with pytest.raises(ValueError, match="must"):
        FlowMatching().times(num_steps, start=start)


@each_process
def test_drawn_times_are_uniform_never_clean_and_follow_the_generator(process):
    times = process.draw_times(4000, seeded())
    assert (process.spread(times) > 0).all()
    assert torch.equal(times, process.draw_times(4000, seeded()))
    place = times.double() / float(process.times(1)[0])
    assert float(place.mean()) == pytest.approx(0.5, abs=0.03)
    noisiest = process.draw_times(4000, seeded(), noisiest=0.25).double() / float(process.times(1)[0])
    assert float(noisiest.min()) > 0.74
    assert float(noisiest.mean()) == pytest.approx(0.875, abs=0.01)


@each_process
def test_times_may_differ_along_the_first_axes(process):
    x0, noise = torch.randn(2, 4, 3, 5, generator=seeded(), dtype=torch.float64)
    time = process.draw_times(12, seeded()).view(4, 3)
    together = process.add_noise(x0, time, noise)
    apart = process.add_noise(x0.flatten(0, 1), time.flatten(), noise.flatten(0, 1))
    assert torch.equal(together.flatten(0, 1), apart)
    output = process.target(x0, noise, time)
    torch.testing.assert_close(process.estimate(output, together, time).x0, x0)


@each_process
def test_clean_error_is_how_an_error_of_the_output_reaches_the_clean_values(process):
    x0, noise, time, x = noisy(process)
    output = process.target(x0, noise, time)
    moved = process.estimate(output + 1, x, time).x0 - process.estimate(output, x, time).x0
    torch.testing.assert_close(moved.square()[:, 0, 0], process.clean_error(time).double())


@each_process
def test_guidance_moves_noise_and_clean_values_alike(process):
    x0, noise, time, x = noisy(process)
    gradient = torch.randn_like(x)
    guided = process.guide(Estimate(x0, noise, gradient), x, time)
    torch.testing.assert_close(process.add_noise(guided.x0, time, guided.noise), x)
    assert guided.guidance is None
    # A log-likelihood of slope g adds g to the score, which is the noise over minus the spread.
    torch.testing.assert_close(
        (noise - guided.noise) / process.spread(time).view(-1, 1, 1),
        gradient * (process.signal(time) > 0).view(-1, 1, 1),
    )


def test_guidance_is_passed_over_where_no_signal_is_left():
    process = PROCESSES["flow"]
    x = torch.randn(2, 3, dtype=torch.float64)
    time = torch.ones(2, dtype=torch.float64)
    guided = process.guide(Estimate(x, x, torch.ones_like(x)), x, time)
    assert torch.equal(guided.x0, x)
    assert torch.equal(guided.noise, x)


def test_noise_prediction_without_signal_and_unknown_predictions_are_refused():
    with pytest.raises(ValueError, match="no signal"):
        VariancePreserving(NoiseSchedule(zero_terminal_betas(linear_betas())), "noise")
    with pytest.raises(ValueError, match="parameterization"):
        VariancePreserving(NoiseSchedule(linear_betas()), "epsilon")


@each_process
def test_type_follows_the_values(process):
    single = torch.randn(3, 4)
    time = process.draw_times(3, seeded())
    x = process.add_noise(single, time, single)
    estimate = process.estimate(single, x, time)
    assert {x.dtype, estimate.x0.dtype, estimate.noise.dtype} == {torch.float32}
    assert process.network_time(time).is_floating_point()


@each_process
def test_all_follows_the_device_of_the_values(process):
    # No number on the meta device has a value: anything left behind on the CPU would not mix with it.
    there = copy.deepcopy(process).float().to("meta")
    x = torch.empty(3, 4, device="meta")
    time = there.draw_times(3)
    estimate = replace(there.estimate(there.target(x, x, time), x, time), guidance=x)
    guided = there.guide(estimate, x, time)
    assert {value.device.type for value in (time, there.times(5), guided.x0, guided.noise)} == {"meta"}
    for sampler in (DDPM(), DDIM(0.5), DPMSolver2M(), Euler()):
        found = sampler.sample(lambda x, time: there.estimate(x, x, time), there, x, 5)
        assert (found.device.type, found.dtype, found.shape) == ("meta", torch.float32, (3, 4))


@each_process
def test_network_time_lies_between_0_and_100(process):
    told = process.network_time(process.times(50)[:-1])
    assert float(told.min()) >= 0
    assert 90 < float(told.max()) <= 100


@each_process
def test_single_step_estimates_of_a_network_that_knows_the_noise_agree_at_all_times(process):
    x0, noise, _, _ = noisy(process)
    denoise = knows_the_noise(process, x0, noise)
    for time in process.times(7)[:-1]:
        rows = time.expand(len(x0))
        torch.testing.assert_close(denoise(process.add_noise(x0, rows, noise), rows).x0, x0)
