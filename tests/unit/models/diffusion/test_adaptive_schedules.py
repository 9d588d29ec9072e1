import pytest
import torch
from diffusion_cases import seeded

from models.diffusion import (
    NoiseSchedule,
    candidate_schedules,
    choose_schedule,
    linear_betas,
    rank_schedules,
    straightened_betas,
)
from models.diffusion.adaptive import distance_from_line, score_schedule
from models.diffusion.nonstationarity import autocorrelation_time, autocovariance, mean_autocorrelation
from models.diffusion.schedules import alpha_bar_of


def white(num_windows, length, seed=0):
    return torch.randn(num_windows, length, generator=seeded(seed), dtype=torch.float64)


def autoregressive(num_windows, length, coefficient):
    noise = white(num_windows, length + 200)
    values = [noise[:, 0]]
    for step in range(1, length + 200):
        values.append(coefficient * values[-1] + noise[:, step] * (1 - coefficient**2) ** 0.5)
    return torch.stack(values[200:], dim=1)


def test_autocovariance_equals_its_definition():
    windows = white(3, 11)
    centered = windows - windows.mean(1, keepdim=True)
    for lag in range(11):
        expected = (centered[:, : 11 - lag] * centered[:, lag:]).sum(1) / 11
        torch.testing.assert_close(autocovariance(windows)[:, lag], expected)


def test_closed_form_over_noise_agrees_with_drawn_noise():
    windows = autoregressive(6, 60, 0.9)
    alpha_bar = torch.tensor([0.9, 0.3])
    closed = mean_autocorrelation(windows, alpha_bar)
    draws = white(2000 * 6, 60, seed=3).view(2000, 6, 60)
    for row, level in enumerate(alpha_bar.double()):
        noised = level.sqrt() * windows + (1 - level).sqrt() * draws
        covariance = autocovariance(noised.flatten(0, 1))
        drawn = (covariance / covariance[:, :1]).mean(0)
        torch.testing.assert_close(closed[row], drawn, atol=0.03, rtol=0)


def test_autocorrelation_time_of_an_autoregression_is_twice_the_textbook_value():
    windows = autoregressive(400, 1500, 0.8)
    found = float(autocorrelation_time(windows, torch.tensor([1 - 1e-6]))[0])
    assert found == pytest.approx(2 * (1 + 0.8) / (1 - 0.8), rel=0.05)  # twice: centered within the window


def test_white_noise_has_no_time_at_any_level():
    times = autocorrelation_time(white(4000, 50), torch.tensor([0.999, 0.5, 0.0]))
    torch.testing.assert_close(times, torch.full((3,), 2.0, dtype=torch.float64), atol=0.15, rtol=0)


@pytest.mark.parametrize("kind", ["drift", "season", "trend"])
def test_noise_takes_structure_away(kind):
    steps = torch.arange(48, dtype=torch.float64)
    windows = {
        "drift": white(50, 48).cumsum(1),
        "season": torch.sin(steps * torch.pi / 6) + 0.1 * white(50, 48),
        "trend": steps / 10 + white(50, 48),
    }[kind]
    times = autocorrelation_time(windows, alpha_bar_of(linear_betas()))
    assert (times.diff() < 1e-9).all()
    assert float(times[0]) > 2 * float(times[-1])


def test_constant_windows_are_white_once_noised():
    times = autocorrelation_time(torch.ones(3, 20), torch.tensor([0.9, 0.1]))
    torch.testing.assert_close(times, torch.full((2,), 2.0, dtype=torch.float64))


def test_distance_from_a_line_is_an_area():
    assert distance_from_line(torch.linspace(7, 3, 20)) == pytest.approx(0, abs=1e-6)
    assert distance_from_line(torch.full((20,), 3.0)) == 0
    sudden = torch.cat([torch.ones(1), torch.zeros(1000)])
    assert distance_from_line(sudden) == pytest.approx(0.5, abs=2e-3)


def test_schedule_made_for_the_data_falls_straight_and_is_chosen_over_all_others():
    windows = white(60, 48).cumsum(1)
    windows = windows / windows.abs().mean()
    planted = straightened_betas(windows, 50)
    NoiseSchedule(planted)
    alpha_bar = alpha_bar_of(planted)
    assert float(alpha_bar[0]) == pytest.approx(1 - 1e-4, abs=1e-6)
    assert float(alpha_bar[-1]) == pytest.approx(0.0056, abs=1e-5)
    assert score_schedule(windows, planted).bend < 0.01
    candidates = {**candidate_schedules((20, 50)), "planted": planted}
    assert choose_schedule(windows, candidates).name == "planted"


def test_choice_follows_the_data():
    # Slow drifts on a large scale survive much noise; structure below the noise is gone at once.
    strong, weak = white(60, 48).cumsum(1) * 3, white(60, 48).cumsum(1) * 0.2
    of_strong, of_weak = straightened_betas(strong, 50), straightened_betas(weak, 50)
    candidates = {"strong": of_strong, "weak": of_weak}
    assert choose_schedule(strong, candidates).name == "strong"
    assert choose_schedule(weak, candidates).name == "weak"
    assert float(alpha_bar_of(of_strong)[25]) < float(alpha_bar_of(of_weak)[25])


def test_structure_that_a_schedule_leaves_counts_against_it():
    windows = white(30, 24).cumsum(1)
    short = linear_betas(50, last=0.02)
    assert score_schedule(windows, short).rest > score_schedule(windows, linear_betas(50, last=0.2)).rest


def test_ranking_is_sorted_and_complete():
    windows = white(30, 24).cumsum(1)
    ranked = rank_schedules(windows, candidate_schedules((10, 20)))
    assert len(ranked) == 14
    assert [found.score for found in ranked] == sorted(found.score for found in ranked)
    best = ranked[0]
    assert best.score == pytest.approx(best.bend * (1 + best.rest) * (1 + 1 / len(best.betas)))


def test_windows_without_structure_still_give_a_schedule():
    NoiseSchedule(straightened_betas(torch.zeros(3, 20), 10))
    assert choose_schedule(torch.zeros(3, 20), candidate_schedules((10,))).bend == 0


def test_all_default_candidates_are_schedules():
    for betas in candidate_schedules().values():
        NoiseSchedule(betas)


@pytest.mark.parametrize(
    "call",
    [
        lambda: autocorrelation_time(torch.zeros(3), torch.tensor([0.5])),
        lambda: autocorrelation_time(torch.zeros(0, 3), torch.tensor([0.5])),
        lambda: autocorrelation_time(torch.full((2, 3), torch.nan), torch.tensor([0.5])),
        lambda: autocorrelation_time(torch.zeros(2, 3), torch.tensor([1.0])),
        lambda: rank_schedules(torch.zeros(2, 3), {}),
        lambda: straightened_betas(torch.zeros(2, 3), 1),
    ],
)
def test_impossible_input_is_refused(call):
    with pytest.raises(ValueError, match=r"must|finite"):
        call()
