import math
import pickle

import pytest
import torch

from models.tsdiff.config import ConditionalConfig
from models.tsdiff.guesses import SMALLEST_SPREAD, level_and_spread
from models.tsdiff.priors import NUGGET, build_prior

KINDS = ["white", "ornstein_uhlenbeck", "squared_exponential", "periodic", "seasonal_naive"]
kinds = pytest.mark.parametrize("kind", KINDS)


def prior(kind, season=4, length=5.0):
    return build_prior(
        ConditionalConfig(
            context_length=8, prediction_length=4, prior=kind, season=season, prior_length=length
        )
    )


def past_and_known(batch=2, length=12, context=8):
    values = torch.randn(batch, length, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    known = torch.arange(length).expand(batch, -1) < context
    return values, known.contiguous()


def draws(made, past, known, number, seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(number, past.shape[1], generator=generator, dtype=past.dtype)
    return made.draw(past.expand(number, -1).contiguous(), known.expand(number, -1).contiguous(), noise)


@kinds
def test_prior_never_reads_what_is_unknown(kind):
    past, known = past_and_known()
    known[0, 3:5] = False
    noise = torch.randn(2, 12, dtype=torch.float64)
    made = prior(kind)
    for hidden in (0.0, 1e9):
        given = past.where(known, torch.full_like(past, hidden))
        found = made.draw(given, known, noise), made.mean(given, known)
        if hidden == 0:
            expected = found
    assert torch.equal(expected[0], found[0])
    assert torch.equal(expected[1], found[1])


@kinds
def test_mean_is_the_mean_of_draws(kind):
    past, known = past_and_known(1)
    made = prior(kind)
    mean = made.mean(past, known)
    torch.testing.assert_close(made.draw(past, known, torch.zeros_like(past)), mean)
    drawn = draws(made, past, known, 4000)
    assert ((drawn.mean(0) - mean[0]).abs() < 5 * drawn.std(0) / math.sqrt(4000) + 1e-9).all()


@kinds
def test_prior_of_nothing_known_is_finite(kind):
    past, known = past_and_known()
    drawn = prior(kind).draw(past, torch.zeros_like(known), torch.randn_like(past))
    assert drawn.isfinite().all()


def test_gaussian_process_follows_the_conditional_law():
    past, known = past_and_known(1)
    known[0, 2] = False
    made = prior("ornstein_uhlenbeck")
    place = torch.arange(12, dtype=torch.float64)
    kernel = torch.exp(-(place.unsqueeze(1) - place).abs() / 5)
    seen = known[0]
    among = kernel[seen][:, seen] + NUGGET * torch.eye(int(seen.sum()), dtype=torch.float64)
    weights = torch.linalg.solve(among, kernel[seen]).T
    level, spread = level_and_spread(past, known)
    expected = level[0] + weights @ (past[0][seen] - level[0])
    torch.testing.assert_close(made.mean(past, known)[0], expected)
    covariance = kernel - weights @ kernel[seen] + NUGGET * torch.eye(12, dtype=torch.float64)
    drawn = draws(made, past, known, 20_000)
    torch.testing.assert_close(torch.cov(drawn.T), spread[0] ** 2 * covariance, rtol=0.1, atol=0.02)


def test_windows_with_different_gaps_are_each_given_their_own_law():
    past, known = past_and_known(3)
    known[1, 1:4] = False
    made, noise = prior("squared_exponential"), torch.randn(3, 12, dtype=torch.float64)
    together = made.draw(past, known, noise)
    for row in range(3):
        alone = made.draw(past[row : row + 1], known[row : row + 1], noise[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone)


def test_periodic_prior_repeats_the_season():
    time = torch.arange(12, dtype=torch.float64)
    past = torch.sin(2 * math.pi * time / 4).unsqueeze(0)
    known = (time < 8).unsqueeze(0)
    mean = prior("periodic", length=50.0).mean(past, known)
    torch.testing.assert_close(mean[:, 8:], past[:, 8:], rtol=0, atol=0.15)


def test_seasonal_naive_prior_is_centered_on_the_last_season():
    past, known = past_and_known(1, length=14)
    mean = prior("seasonal_naive").mean(past, known)
    torch.testing.assert_close(mean[0, 8:], past[0, [4, 5, 6, 7, 4, 5]])
    torch.testing.assert_close(mean[0, 4:8], past[0, :4])
    assert (mean[0, :4] == past[0, :8].mean()).all()


def test_seasonal_naive_prior_looks_past_gaps():
    past, known = past_and_known(1)
    known[0, 5] = False
    mean = prior("seasonal_naive").mean(past, known)
    torch.testing.assert_close(mean[0, 8:], past[0, [4, 1, 6, 7]])


def test_seasonal_naive_prior_spreads_like_its_errors_and_with_the_root_of_the_seasons():
    past, known = past_and_known(1, length=16)
    error = (past[0, 4:8] - past[0, :4]).square().mean().sqrt()
    drawn = draws(prior("seasonal_naive"), past, known, 20_000)
    spread = drawn.std(0)
    torch.testing.assert_close(spread[8:12], error.expand(4), rtol=0.03, atol=0)
    torch.testing.assert_close(spread[12:], math.sqrt(2) * error.expand(4), rtol=0.03, atol=0)


@kinds
def test_prior_can_be_sent_to_another_process(kind):
    past, known = past_and_known(1)
    made = prior(kind)
    again = pickle.loads(pickle.dumps(made))
    assert torch.equal(again.mean(past, known), made.mean(past, known))


def test_last_value_is_the_season_of_one_step():
    past, known = past_and_known(1)
    mean = prior("seasonal_naive", season=1).mean(past, known)
    assert (mean[0, 8:] == past[0, 7]).all()


@kinds
def test_constant_past_leaves_a_little_spread(kind):
    past, known = past_and_known(1)
    past = torch.ones_like(past)
    drawn = draws(prior(kind), past, known, 500)
    assert drawn.std(0)[8:].min() > 0.05 * SMALLEST_SPREAD
