import pytest
import torch
from scipy.stats import norm
from scipy.stats import t as student
from window_batches import window_batch

from models.tsdiff import ConditionalConfig
from models.tsdiff.guesses import (
    PENALTY,
    LinearGuess,
    SeasonalNaiveGuess,
    build_guess,
    level_and_spread,
    repeated,
)

LAGS = (4, 8)


def windows(batch=64, **given):
    made = window_batch(batch, 12, 4, LAGS, **given)
    values, usable = made.scaled()
    usable = usable[..., 1:].clone()
    usable[:, 14:, 0] = False
    series = values[..., 0].double().masked_fill(~made.observed, 7e7)
    return series, made.observed, values[..., 1:].double().masked_fill(~usable, 9e8), usable


def linear_guess():
    return LinearGuess(4, 12, 4, len(LAGS))


def rows(given, index):
    return tuple(part[index] for part in given)


def of_the_context(observed):
    known = observed.clone()
    known[:, 12:] = False
    return known


def test_seasonal_guess_repeats_the_latest_season_that_is_known():
    past = torch.arange(12.0).repeat(1, 1)
    known = torch.arange(12).expand(1, -1) < 8
    known = known.clone()
    known[0, 6] = False
    nothing = torch.zeros(1, 12, 0)
    guess, error = SeasonalNaiveGuess(4, 8, 4)(past, known, nothing, nothing.bool())
    assert guess[0, 4:].tolist() == [0, 1, 2, 3, 4, 5, 2, 7]
    assert error[0].tolist() == pytest.approx([4.0] * 12)  # every judged step is four above a season ago


def test_linear_guess_equals_penalized_least_squares():
    given = windows()
    values, observed, lags, usable = given
    known = of_the_context(observed)
    made = linear_guess()
    made.fit(lambda: [rows(given, slice(40)), rows(given, slice(40, None))])
    level, _ = level_and_spread(values, known)
    naive, _ = repeated(values, known, 4)
    for step in range(4):
        there = torch.where(usable[:, 12 + step], lags[:, 12 + step], naive[:, 12 + step, None])
        inputs = torch.cat([values[:, :12] - level, there - level, torch.ones(64, 1)], 1)
        # Rows that stand for the penalty; the intercept has none.
        design = torch.cat([inputs, PENALTY**0.5 * torch.eye(14, 15)]).double()
        future = torch.cat([values[:, 12 + step, None] - level, torch.zeros(14, 1)]).double()
        expected = torch.linalg.lstsq(design, future).solution[:, 0]
        guess, _ = made(values, known, lags, usable)
        torch.testing.assert_close(guess[:, 12 + step], level[:, 0] + inputs @ expected, rtol=1e-4, atol=1e-4)


def test_linear_guess_moves_with_its_window():
    values, observed, lags, usable = windows()
    known = of_the_context(observed)
    made = linear_guess()
    made.fit(lambda: [(values, observed, lags, usable)])
    guess, error = made(values, known, lags, usable)
    moved, same = made(values + 3, known, lags + 3, usable)
    torch.testing.assert_close(moved, guess + 3)
    torch.testing.assert_close(same, error)


def test_errors_of_a_random_walk_grow_with_the_root_of_the_steps_ahead():
    steps = torch.randn(20_000, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    walk = steps.cumsum(1)
    nothing = torch.zeros(len(walk), 40, 0)
    made = SeasonalNaiveGuess(1, 36, 4)
    made.fit(lambda: [(walk, torch.ones_like(walk).bool(), nothing, nothing.bool())])
    # The unit of a window is measured on 35 steps, so errors in it follow Student's law.
    expected = torch.arange(1, 5).float().sqrt() * float(student.ppf(0.95, 35) / norm.ppf(0.95))
    torch.testing.assert_close(made.growth, expected, rtol=0.02, atol=0)


@pytest.mark.parametrize("center", ["seasonal_naive", "linear"])
def test_guess_reads_no_gap_and_no_future(center):
    given = windows(missing=0.2)
    values, observed, lags, usable = given
    made = build_guess(
        ConditionalConfig(context_length=12, prediction_length=4, center=center, season=4, lags=LAGS)
    )
    made.fit(lambda: [given])
    known = of_the_context(observed)
    found = made(values, known, lags, usable)
    again = made(values.masked_fill(~known, -1e8), known, lags.masked_fill(~usable, 3e6), usable)
    for one, two in zip(found, again, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_windows_with_a_gap_in_the_future_teach_nothing():
    values, observed, lags, usable = windows()
    observed = observed.clone()
    observed[:32, 13] = False
    given = (values, observed, lags, usable)
    some, all_ = linear_guess(), linear_guess()
    all_.fit(lambda: [given])
    some.fit(lambda: [rows(given, slice(32, None))])
    torch.testing.assert_close(all_.weight, some.weight)
    torch.testing.assert_close(all_.growth, some.growth)
    with pytest.raises(ValueError, match="without gaps"):
        some.fit(lambda: [rows(given, slice(32))])


def test_a_center_takes_no_prior_besides():
    with pytest.raises(ValueError, match="white prior"):
        ConditionalConfig(context_length=12, prediction_length=4, center="linear", prior="seasonal_naive")
