import pytest
import torch
from window_batches import window_batch

from models.tsdiff import ConditionalConfig
from models.tsdiff.guesses import PENALTY, LinearGuess, SeasonalNaiveGuess, build_guess, level_and_spread


def windows(batch=64, **given):
    made = window_batch(batch, 12, 4, **given)
    values, _ = made.scaled()
    return values[..., 0].double().masked_fill(~made.observed, 7e7), made.observed


def of_the_context(observed):
    known = observed.clone()
    known[:, 12:] = False
    return known


def test_seasonal_guess_repeats_the_latest_season_that_is_known():
    past = torch.arange(12.0).repeat(1, 1)
    known = torch.arange(12).expand(1, -1) < 8
    known = known.clone()
    known[0, 6] = False
    guess, error = SeasonalNaiveGuess(4)(past, known)
    assert guess[0, 4:].tolist() == [0, 1, 2, 3, 4, 5, 2, 7]
    assert error.item() == pytest.approx(4.0)  # every judged step is four above a season ago


def test_linear_guess_equals_penalized_least_squares():
    values, observed = windows()
    known = of_the_context(observed)
    made = LinearGuess(4, 12, 4)
    made.fit([(values[:40], observed[:40]), (values[40:], observed[40:])])
    level, _ = level_and_spread(values, known)
    inputs, future = values[:, :12] - level, values[:, 12:] - level
    # The same by rows that stand for the penalty, and an intercept without one.
    design = torch.cat([torch.cat([inputs, torch.ones(64, 1)], 1), PENALTY**0.5 * torch.eye(12, 13)])
    expected = torch.linalg.lstsq(design.double(), torch.cat([future, torch.zeros(12, 4)])).solution
    torch.testing.assert_close(made.weight.double(), expected[:12], rtol=1e-4, atol=1e-5)
    guess, _ = made(values, known)
    found = level + inputs @ expected[:12] + expected[12]
    torch.testing.assert_close(guess[:, 12:], found, rtol=1e-4, atol=1e-4)


def test_linear_guess_moves_with_its_window():
    values, observed = windows()
    known = of_the_context(observed)
    made = LinearGuess(4, 12, 4)
    made.fit([(values, observed)])
    guess, error = made(values, known)
    moved, same = made(values + 3, known)
    torch.testing.assert_close(moved, guess + 3)
    torch.testing.assert_close(same, error)


@pytest.mark.parametrize("center", ["seasonal_naive", "linear"])
def test_guess_reads_no_gap_and_no_future(center):
    values, observed = windows(missing=0.2)
    made = build_guess(ConditionalConfig(context_length=12, prediction_length=4, center=center, season=4))
    if center == "linear":
        made.fit([(values, observed)])
    known = of_the_context(observed)
    found = made(values, known)
    again = made(values.masked_fill(~known, -1e8), known)
    for one, two in zip(found, again, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_windows_with_a_gap_in_the_future_teach_nothing():
    values, observed = windows()
    observed = observed.clone()
    observed[:32, 13] = False
    some, all_ = LinearGuess(4, 12, 4), LinearGuess(4, 12, 4)
    all_.fit([(values, observed)])
    some.fit([(values[32:], observed[32:])])
    torch.testing.assert_close(all_.weight, some.weight)
    with pytest.raises(ValueError, match="without gaps"):
        some.fit([(values[:32], observed[:32])])


def test_a_center_takes_no_prior_besides():
    with pytest.raises(ValueError, match="white prior"):
        ConditionalConfig(context_length=12, prediction_length=4, center="linear", prior="seasonal_naive")
