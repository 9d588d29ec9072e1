import math

import pytest
import torch
from diffusion_cases import GaussianData, processes, seeded

from models.diffusion import denoising_loss, loss_by_step, min_snr_weight, normal_like, window_losses

PROCESSES = processes()
each_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def windows(process, shape=(4, 6, 2)):
    x0, noise = torch.randn(2, *shape, generator=seeded(), dtype=torch.float64)
    return x0, process.draw_times(shape[0], seeded(1)), noise


def nothing(x, time):
    return torch.zeros_like(x)


@each_process
def test_loss_is_zero_for_the_target_and_its_square_for_nothing(process):
    x0, time, noise = windows(process)
    target = process.target(x0, noise, time)
    assert float(denoising_loss(lambda x, time: target, process, x0, time, noise)) == 0
    found = window_losses(nothing, process, x0, time, noise)
    torch.testing.assert_close(found, target.square().mean(dim=(1, 2)))
    torch.testing.assert_close(denoising_loss(nothing, process, x0, time, noise), target.square().mean())


def test_masked_entries_count_nowhere_even_where_the_network_fails():
    process = PROCESSES["noise"]
    x0, time, noise = windows(process)
    mask = torch.rand(4, 6, 2, generator=seeded(2)) < 0.5
    mask[1] = False

    def broken(x, time):
        return torch.where(mask, 0.0, math.inf).to(x)

    kept = noise[mask].square()
    torch.testing.assert_close(denoising_loss(broken, process, x0, time, noise, mask=mask), kept.mean())
    found = window_losses(broken, process, x0, time, noise, mask=mask)
    torch.testing.assert_close(found[0], noise[0][mask[0]].square().mean())
    assert float(found[1]) == 0
    assert float(denoising_loss(nothing, process, x0, time, noise, mask=torch.zeros_like(mask))) == 0


def test_mask_of_steps_counts_for_all_channels():
    process = PROCESSES["noise"]
    x0, time, noise = windows(process)
    steps = torch.tensor([1, 1, 0, 0, 1, 0], dtype=torch.bool).view(1, 6, 1)
    torch.testing.assert_close(
        denoising_loss(nothing, process, x0, time, noise, mask=steps),
        noise[:, steps[0, :, 0]].square().mean(),
    )


def test_min_snr_weight_equals_its_published_form():
    for name in ("noise", "clean", "velocity"):
        process = PROCESSES[name]
        time = torch.arange(100)
        ratio = process.signal_to_noise(time)
        published = {
            "noise": ratio.clamp(max=5) / ratio,
            "clean": ratio.clamp(max=5),
            "velocity": ratio.clamp(max=5) / (ratio + 1),
        }
        torch.testing.assert_close(min_snr_weight(process, time, 5.0), published[name])


@each_process
def test_min_snr_weight_is_finite_at_all_times(process):
    weight = min_snr_weight(process, process.times(100)[:-1], 5.0)
    assert torch.isfinite(weight).all()
    assert (weight >= 0).all()


def test_weighted_loss_of_clean_values_does_not_depend_on_what_is_predicted():
    found = []
    for name in ("noise", "clean", "velocity"):
        process = PROCESSES[name]
        x0, time, noise = windows(process)
        data = GaussianData(torch.zeros(2), torch.eye(2) * 0.5)

        def network(x, time, process=process, data=data):
            rows = [data.output(process, x[i], time[i].expand(len(x[i]))) for i in range(len(x))]
            return torch.stack(rows)

        found.append(window_losses(network, process, x0, time, noise, min_snr=5.0))
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


def test_min_snr_bound_must_be_positive():
    with pytest.raises(ValueError, match="above 0"):
        min_snr_weight(PROCESSES["noise"], torch.tensor([3]), 0.0)


def test_network_of_the_wrong_shape_is_refused():
    x0, time, noise = windows(PROCESSES["noise"])
    with pytest.raises(ValueError, match="must return"):
        denoising_loss(lambda x, time: x[..., :1], PROCESSES["noise"], x0, time, noise)


def test_loss_by_step_of_the_best_network_equals_its_closed_form():
    process, variance = PROCESSES["noise"], 0.5
    data = GaussianData(torch.zeros(1), torch.full((1, 1), variance))
    x0 = data.draw(20_000, seeded())
    times = torch.tensor([0, 20, 60, 99])
    found = loss_by_step(lambda x, time: data.output(process, x, time), process, x0, times, seeded(1))
    signal, spread = process.signal(times), process.spread(times)
    expected = signal**2 * variance / (signal**2 * variance + spread**2)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)
    assert not found.requires_grad


def test_loss_by_step_passes_masked_entries_over_and_follows_the_generator():
    process = PROCESSES["flow"]
    x0, _, _ = windows(process)
    mask = torch.zeros_like(x0, dtype=torch.bool)
    mask[:, 0] = True
    times = process.times(5)[:-1]
    found = [loss_by_step(nothing, process, x0, times, seeded(3), mask=mask) for _ in range(2)]
    assert torch.equal(*found)
    broken = x0.masked_fill(~mask, 1e6)
    assert torch.equal(loss_by_step(nothing, process, broken, times, seeded(3), mask=mask), found[0])


def test_noise_follows_type_and_shape_of_the_values():
    drawn = normal_like(torch.zeros(2, 3, dtype=torch.float64), seeded())
    assert drawn.dtype == torch.float64
    assert torch.equal(drawn, torch.randn(2, 3, generator=seeded(), dtype=torch.float64))
    assert normal_like(torch.zeros(2), None).shape == (2,)
