import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.diffusion import DDIM, Estimate, FlowMatching, NoiseSchedule, VariancePreserving
from models.diffusion.schedules import alpha_bar_of, betas_of, zero_terminal_betas

betas = st.lists(st.floats(1e-4, 0.9), min_size=2, max_size=30).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)
kinds = st.sampled_from(["clean", "velocity", "flow"])
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=60, deadline=None)


def make(kind, values):
    return (FlowMatching() if kind == "flow" else VariancePreserving(NoiseSchedule(values), kind)).double()


@quick
@given(betas)
def test_schedules_come_back_from_their_signal(values):
    torch.testing.assert_close(betas_of(alpha_bar_of(values)), values)


@quick
@given(betas)
def test_zero_terminal_rescaling_keeps_order_and_start(values):
    rescaled = zero_terminal_betas(values)
    alpha_bar = alpha_bar_of(rescaled)
    assert (alpha_bar.diff() < 0).all()
    assert float(alpha_bar[-1]) == 0
    torch.testing.assert_close(rescaled[0], values[0])


@quick
@given(betas, kinds, st.data())
def test_times_are_distinct_fall_and_end_clean(values, kind, data):
    process = make(kind, values)
    num_steps = data.draw(st.integers(1, len(values)))
    times = process.times(num_steps)
    assert len(times) == num_steps + 1
    assert (times.diff() < 0).all()
    assert float(process.spread(times[-1:])) == 0


@quick
@given(betas, kinds, seeds)
def test_any_output_means_values_and_noise_that_explain_what_is_seen(values, kind, seed):
    process = make(kind, values)
    generator = torch.Generator().manual_seed(seed)
    x, output, gradient = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    time = process.draw_times(5, generator)
    estimate = process.estimate(output, x, time)
    torch.testing.assert_close(process.add_noise(estimate.x0, time, estimate.noise), x)
    guided = process.guide(Estimate(estimate.x0, estimate.noise, gradient), x, time)
    torch.testing.assert_close(process.add_noise(guided.x0, time, guided.noise), x, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(process.target(estimate.x0, estimate.noise, time), output)


@quick
@given(betas, kinds, st.floats(0, 1), seeds)
def test_rows_and_their_order_do_not_matter_to_deterministic_steps(values, kind, share, seed):
    process = make(kind, values)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def denoise(x, time):
        return process.estimate(share * x, x, time)

    together = DDIM().sample(denoise, process, x, 2)
    assert torch.equal(DDIM().sample(denoise, process, x.flip(0), 2), together.flip(0))
