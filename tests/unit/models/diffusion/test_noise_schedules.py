import copy

import pytest
import torch

from models.diffusion import (
    NoiseSchedule,
    cosine_betas,
    linear_betas,
    sigmoid_betas,
    zero_terminal_betas,
)
from models.diffusion.schedules import alpha_bar_of, betas_of

SCHEDULES = {
    "linear": linear_betas,
    "cosine": cosine_betas,
    "sigmoid": sigmoid_betas,
    "zero terminal": lambda num_steps: zero_terminal_betas(linear_betas(num_steps)),
}


def test_linear_schedule_has_the_published_signal():
    alpha_bar = NoiseSchedule(linear_betas()).alpha_bar
    for step, published in {10: 0.945, 20: 0.806, 30: 0.621, 50: 0.269, 70: 0.076, 99: 0.0056}.items():
        assert float(alpha_bar[step]) == pytest.approx(published, abs=5e-5 if step == 99 else 6e-4)


def test_long_linear_schedule_has_the_published_signal():
    alpha_bar = alpha_bar_of(linear_betas(1000, first=1e-4, last=0.02))
    published = {1: 0.99990, 5: 0.99930, 10: 0.99811, 20: 0.99423, 50: 0.97102, 250: 0.52409, 500: 0.07859}
    for step, value in published.items():
        assert float(alpha_bar[step - 1]) == pytest.approx(value, abs=5e-6)


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("num_steps", [2, 10, 100, 1000])
def test_signal_falls_in_every_schedule_and_betas_come_back(make, num_steps):
    betas = make(num_steps)
    alpha_bar = alpha_bar_of(betas)
    assert betas.shape == (num_steps,)
    assert (alpha_bar.diff() < 0).all()
    torch.testing.assert_close(betas_of(alpha_bar), betas, rtol=1e-6, atol=1e-10)
    NoiseSchedule(betas)


def test_cosine_schedule_equals_its_formula_where_no_bound_holds():
    share = torch.arange(1, 90, dtype=torch.float64) / 100
    curve = torch.cos((share + 0.008) / 1.008 * torch.pi / 2) ** 2
    start = torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2, dtype=torch.float64)) ** 2
    torch.testing.assert_close(alpha_bar_of(cosine_betas())[:89], curve / start)


def test_zero_terminal_rescaling_keeps_the_start_and_ends_without_signal():
    before, after = linear_betas(), zero_terminal_betas(linear_betas())
    assert float(after[0]) == pytest.approx(float(before[0]))
    assert float(after[-1]) == 1
    assert NoiseSchedule(after).ends_without_signal
    assert not NoiseSchedule(before).ends_without_signal


def test_signal_and_spread_are_of_one_circle_and_minus_one_is_clean():
    schedule = NoiseSchedule(linear_betas()).double()
    steps = torch.arange(-1, 100)
    signal, spread = schedule.signal_at(steps), schedule.spread_at(steps)
    torch.testing.assert_close(signal**2 + spread**2, torch.ones(101, dtype=torch.float64))
    assert (signal[0], spread[0]) == (1, 0)
    torch.testing.assert_close(signal[1:] ** 2, schedule.alpha_bar)


@pytest.mark.parametrize(
    ("betas", "message"),
    [
        (torch.tensor([0.1, 0.0]), "strictly between"),
        (torch.tensor([1.0, 0.5]), "strictly between"),
        (torch.tensor([0.1, 1.1]), "strictly between"),
        (torch.tensor([0.1, float("nan")]), "strictly between"),
        (torch.tensor([[0.1, 0.2]]), "vector"),
        (torch.tensor([1, 1]), "vector"),
        (torch.tensor([0.5]), "vector"),
    ],
)
def test_bad_betas_are_refused(betas, message):
    with pytest.raises(ValueError, match=message):
        NoiseSchedule(betas)


@pytest.mark.parametrize(
    "make",
    [
        lambda: linear_betas(1),
        lambda: linear_betas(first=0.2, last=0.1),
        lambda: cosine_betas(power=0),
        lambda: cosine_betas(largest=1.0),
        lambda: sigmoid_betas(width=0),
    ],
)
def test_impossible_settings_of_a_schedule_are_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()


def test_half_precision_does_not_reach_the_schedule():
    schedule = NoiseSchedule(linear_betas())
    kept = schedule.spread.clone()
    schedule.bfloat16()
    assert schedule.spread.dtype == torch.float32
    assert torch.equal(schedule.spread, kept)


def test_double_precision_has_all_its_digits_even_later():
    schedule = NoiseSchedule(linear_betas()).double()
    assert torch.equal(schedule.alpha_bar, alpha_bar_of(linear_betas()))


def test_schedule_is_no_part_of_the_weights_and_can_be_copied():
    schedule = NoiseSchedule(linear_betas())
    assert not schedule.state_dict()
    assert torch.equal(copy.deepcopy(schedule).spread, schedule.spread)
