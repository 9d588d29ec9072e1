import itertools

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from models.tsdiff import s4d
from models.tsdiff.s4d import (
    S4D,
    convolve,
    convolve_directly,
    smooth_length,
    start_frequencies,
    two_sided,
)

SIZE, STATE, LENGTH = 8, 32, 97
KINDS = list(itertools.product(["zero_order_hold", "bilinear"], ["linear", "inverse", "legs"]))
kinds = pytest.mark.parametrize(("discretization", "start"), KINDS)
both = pytest.mark.parametrize("discretization", ["zero_order_hold", "bilinear"])


@pytest.fixture(params=["spectra", "matrices"])
def way(request, monkeypatch):
    """Both ways to convolve, whatever the length."""
    monkeypatch.setattr(s4d, "DIRECT_LENGTH", 0 if request.param == "spectra" else 1000)


def layer(discretization="zero_order_hold", start="legs", *, sides=1, dtype=torch.float64, **sizes):
    torch.manual_seed(5)
    given = {"size": SIZE, "state_size": STATE, **sizes}
    made = S4D(**given, two_sided=sides == 2, discretization=discretization, start=start)
    return made.to(dtype)


def random_values(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(9), dtype=dtype)


def recurrence(model, values, state=None):
    """Step through ``values``, ``(batch, size, length)``; return outputs and the last state."""
    state = model.initial_state(len(values)) if state is None else state
    outputs = []
    for step in range(values.shape[-1]):
        output, state = model.step(values[..., step], state)
        outputs.append(output)
    return torch.stack(outputs, dim=-1), state


def plain_kernel(model, length):
    """Every power of every oscillation, one by one, in complex numbers."""
    turn, gain = model._transition()
    powers = torch.stack([turn**power for power in range(length)], dim=-1)
    weight = torch.view_as_complex(model.output) * gain
    return 2 * (weight.unsqueeze(-1) * powers).sum(dim=2).real


def relative(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


@kinds
def test_convolution_equals_the_recurrence_step_by_step(discretization, start, way):
    model, values = layer(discretization, start), random_values(2, SIZE, LENGTH)
    with torch.no_grad():
        assert relative(model(values), recurrence(model, values)[0]) < 1e-12


@kinds
def test_convolution_equals_the_recurrence_in_single_precision(discretization, start, way):
    exact, values = layer(discretization, start), random_values(1, SIZE, 390)
    with torch.no_grad():
        expected = recurrence(exact, values)[0]
        single = layer(discretization, start, dtype=torch.float32)(values.float())
        assert relative(single.double(), expected) < 1e-4


@kinds
def test_kernel_is_the_impulse_response_of_the_recurrence(discretization, start):
    model = layer(discretization, start)
    impulse = torch.zeros(1, SIZE, LENGTH, dtype=torch.float64)
    impulse[..., 0] = 1
    with torch.no_grad():
        response = recurrence(model, impulse)[0][0]
        response[:, 0] -= model.direct
        torch.testing.assert_close(model.kernel(LENGTH)[0], response, rtol=0, atol=1e-12)


@kinds
def test_longer_kernel_starts_with_the_shorter_one(discretization, start):
    model = layer(discretization, start, sides=2)
    with torch.no_grad():
        longer, shorter = model.kernel(200), model.kernel(LENGTH)
    # The two lengths split their powers differently, so the last digit may differ.
    torch.testing.assert_close(longer[..., :LENGTH], shorter, rtol=0, atol=1e-14)


@kinds
@pytest.mark.parametrize("length", [1, 2, 3, 96, LENGTH])
def test_two_level_kernel_equals_the_plain_sum(discretization, start, length):
    model = layer(discretization, start, sides=2)
    with torch.no_grad():
        torch.testing.assert_close(model.kernel(length), plain_kernel(model, length), rtol=0, atol=1e-12)


@kinds
def test_two_sides_follow_the_index_formula(discretization, start, way):
    model, values = layer(discretization, start, sides=2), random_values(2, SIZE, LENGTH)
    with torch.no_grad():
        past, future = model.kernel(LENGTH)
        expected = model.direct.unsqueeze(-1) * values
        for step in range(LENGTH):
            for other in range(LENGTH):
                weight = past[:, step - other] if other <= step else future[:, other - step - 1]
                expected[..., step] += weight * values[..., other]
        assert relative(model(values), expected) < 1e-12


def test_circle_of_the_length_itself_would_wrap():
    model, values = layer(), random_values(2, SIZE, LENGTH)
    with torch.no_grad():
        kernel = model.kernel(LENGTH)
        wrapped = convolve(values, two_sided(kernel, LENGTH))
        right = convolve(values, two_sided(kernel, 2 * LENGTH))
    assert (wrapped - right).abs().max() > 1e-2


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 9])
@pytest.mark.parametrize("rows", [1, 1000])
def test_both_ways_to_convolve_agree_in_values_and_gradients(heads, length, rows, monkeypatch):
    monkeypatch.setattr(s4d, "CACHED_NUMBERS", rows)  # one row at a time, or all
    values, kernels = random_values(3, 2, length), random_values(heads, 2, length)
    circle = smooth_length(2 * length)

    def spectra(values, kernels):
        return convolve(values, two_sided(kernels, circle))

    torch.testing.assert_close(convolve_directly(values, kernels), spectra(values, kernels))
    given = (values.requires_grad_(), kernels.requires_grad_())
    assert torch.autograd.gradcheck(spectra, given)
    assert torch.autograd.gradcheck(convolve_directly, given)


def test_gradient_of_the_values_needs_none_of_the_weights():
    model = layer(sides=2).requires_grad_(requires_grad=False)
    values = random_values(2, SIZE, 200).requires_grad_()
    (gradient,) = torch.autograd.grad(model(values)[..., 7].sum(), values)
    past, future = model.kernel(200)
    torch.testing.assert_close(gradient[0, :, 0], past[:, 7])
    torch.testing.assert_close(gradient[0, :, 15], future[:, 7])


def test_zero_order_hold_follows_the_differential_equation():
    model, values = layer(size=1, state_size=8), random_values(1, 1, 5)
    with torch.no_grad():
        _, state = recurrence(model, values)
        step = model.log_step.exp().item()
        rate = torch.complex(-model.log_decay.exp(), model.frequency)[0].numpy()
    solved = np.zeros(4, dtype=complex)
    for value in values[0, 0].tolist():
        held = solve_ivp(
            lambda _, s, value=value: rate * s + value, (0, step), solved, rtol=1e-11, atol=1e-13
        )
        solved = held.y[:, -1]
    assert np.abs(state[0, 0].numpy() - solved).max() < 1e-9


class KernelOnly(S4D):
    def forward(self):
        return self.kernel(7)


@both
def test_gradients_of_the_kernel_are_right(discretization):
    torch.manual_seed(5)
    model = KernelOnly(2, 4, discretization=discretization).double()
    names = ("log_step", "log_decay", "frequency", "output")
    weights = tuple(getattr(model, name).detach().clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(
        lambda *given: torch.func.functional_call(model, dict(zip(names, given, strict=True)), ()), weights
    )


@kinds
def test_state_is_stable_and_the_kernel_below_its_envelope(discretization, start):
    model = layer(discretization, start, sides=2)
    with torch.no_grad():
        turn, gain = model._transition()
        assert turn.abs().max() < 1
        size = 2 * (torch.view_as_complex(model.output) * gain).abs().sum(-1, keepdim=True)
        slowest = turn.abs().amax(-1, keepdim=True).log()
        envelope = size * torch.exp(slowest * torch.arange(LENGTH, dtype=torch.float64))
        assert (model.kernel(LENGTH).abs() <= envelope * (1 + 1e-9)).all()


def test_state_stays_stable_whatever_is_learned():
    model = layer(sides=2)
    with torch.no_grad():
        model.log_decay.fill_(-200.0)
        model.log_step.fill_(3.0)
        assert model._transition()[0].abs().max() < 1
        assert model.kernel(LENGTH).isfinite().all()


@both
@pytest.mark.parametrize("changed", [0, 40, LENGTH - 1])
def test_one_side_sees_only_the_past(discretization, changed, way):
    model, values = layer(discretization), random_values(1, SIZE, LENGTH)
    other = values.clone()
    other[..., changed:] = 7.0
    with torch.no_grad():
        difference = (model(values) - model(other)).abs()
    assert difference[..., :changed].sum() == pytest.approx(0, abs=1e-10)
    assert difference[..., changed:].max() > 1e-2


@both
def test_other_side_sees_only_the_future(discretization, way):
    model, values = layer(discretization, sides=2), random_values(1, SIZE, LENGTH)
    other = values.clone()
    other[..., :41] = 7.0
    with torch.no_grad():
        model.output[0] = 0
        model.direct.zero_()
        difference = (model(values) - model(other)).abs()
    assert difference[..., 40:].max() < 1e-12
    assert difference[..., :40].max() > 1e-2


@both
def test_layer_is_linear(discretization, way):
    model = layer(discretization, sides=2)
    one, two = random_values(2, 1, SIZE, LENGTH)
    with torch.no_grad():
        assert relative(model(2 * one - 3 * two), 2 * model(one) - 3 * model(two)) < 1e-12


@both
def test_shifted_input_gives_the_shifted_output(discretization, way):
    model, values = layer(discretization, sides=2), random_values(1, SIZE, 40)
    with torch.no_grad():
        early = model(torch.nn.functional.pad(values, (20, 37)))
        late = model(torch.nn.functional.pad(values, (33, 24)))
    torch.testing.assert_close(late[..., 13:], early[..., :-13], rtol=0, atol=1e-12)


def test_discretizations_agree_the_better_the_smaller_the_step():
    kernels = {}
    for discretization in ("zero_order_hold", "bilinear"):
        model = layer(discretization, "linear", state_size=4)
        for step in (1e-2, 5e-3):
            with torch.no_grad():
                model.log_step.fill_(np.log(step))
                turn, _ = model._transition()
                kernels[discretization, step] = torch.log(turn) / step
    errors = [
        (kernels["zero_order_hold", step] - kernels["bilinear", step]).abs().max() for step in (1e-2, 5e-3)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)


@both
def test_state_after_a_prefix_carries_on_where_the_convolution_goes(discretization):
    model, values = layer(discretization), random_values(2, SIZE, LENGTH)
    with torch.no_grad():
        _, state = recurrence(model, values[..., :60])
        rest, _ = recurrence(model, values[..., 60:], state)
        assert relative(rest, model(values)[..., 60:]) < 1e-12


@pytest.mark.parametrize("sides", [1, 2])
def test_kernel_stays_in_single_precision_under_autocast(sides, way):
    model, values = layer(sides=sides, dtype=torch.float32), random_values(2, SIZE, 40, dtype=torch.float32)
    with torch.no_grad():
        expected = model(values)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(values)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_legs_frequencies_are_those_known_for_64():
    assert start_frequencies("legs", 64).max().item() == pytest.approx(1303.3, abs=0.05)
    assert start_frequencies("inverse", 64).max().item() == pytest.approx(1283.4, abs=0.05)


def test_smooth_length_is_the_next_number_without_large_factors():
    smooth = [n for n in range(1, 900) if max(_factors(n)) <= 5]
    for least in (1, 7, 97, 194, 721, 779):
        assert smooth_length(least) == min(n for n in smooth if n >= least)


def _factors(number):
    found = [1]
    for factor in range(2, number + 1):
        while number % factor == 0:
            found.append(factor)
            number //= factor
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state_size": 3}, "state_size positive and even"),
        ({"discretization": "euler"}, "discretization must be zero_order_hold or bilinear"),
        ({"start": "random"}, "start must be linear, inverse or legs"),
    ],
)
def test_layer_refuses_what_it_does_not_know(change, message):
    with pytest.raises(ValueError, match=message):
        S4D(4, **change)
