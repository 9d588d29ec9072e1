"""Windows without observation, from a network that is right about normal windows."""

import pytest
import torch
from diffusion_cases import GaussianData, seeded
from tsdiff_gaussian import GaussianTSDiff, gaussian_windows, smooth_law
from window_batches import window_batch

from models.diffusion import DDIM, DDPM, DPMSolver2M
from models.tsdiff import TSDiff, TSDiffConfig
from models.tsdiff.synthesis import draw_windows, series_losses

LAW = smooth_law(6)
TINY = {"hidden_size": 4, "num_blocks": 1, "state_size": 4, "step_embedding_size": 4}


@pytest.mark.parametrize("sampler", [DDPM(), DDIM(), DPMSolver2M()], ids=lambda one: type(one).__name__)
def test_windows_have_the_mean_and_covariance_of_the_law(sampler):
    model = GaussianTSDiff(LAW, 4, 2, schedule="cosine")
    found = draw_windows(model, 4000, 100, seeded(1), sampler=sampler, rows_at_once=4000)
    torch.testing.assert_close(found.mean(0), LAW.mean, atol=0.07, rtol=0)
    torch.testing.assert_close(found.T.cov(), LAW.covariance, atol=0.1, rtol=0)


def test_a_center_takes_away_the_error_of_a_start_without_signal():
    law = GaussianData(torch.full((6,), 8.0, dtype=torch.float64), LAW.covariance)
    model = GaussianTSDiff(law, 4, 2, num_diffusion_steps=20)
    center = torch.tensor([8.0])
    off, right = (
        draw_windows(model, 2000, 20, seeded(1), center=given, rows_at_once=2000).mean() - 8
        for given in (None, center)
    )
    assert abs(right) < 0.1 < abs(off)


def test_lags_are_drawn_and_dropped_and_any_length_can_be_asked():
    model = TSDiff(TSDiffConfig(8, 4, num_lags=2, num_diffusion_steps=4, **TINY))
    assert draw_windows(model, 5, 2, seeded(1), rows_at_once=2).shape == (5, 12)
    assert draw_windows(model, 3, 2, seeded(1), length=7).shape == (3, 7)
    assert model.training


def test_equal_generators_give_equal_windows_and_progress_is_told():
    model = TSDiff(TSDiffConfig(8, 4, num_diffusion_steps=4, **TINY))
    told = []
    first = draw_windows(model, 5, 2, seeded(3), sampler=DDPM(), rows_at_once=2, on_windows=told.append)
    torch.testing.assert_close(
        first, draw_windows(model, 5, 2, seeded(3), sampler=DDPM(), rows_at_once=2), atol=0, rtol=0
    )
    assert told == [2, 2, 1]


@pytest.mark.parametrize("wrong", [{"num_windows": 0}, {"num_steps": 0}, {"length": 0}, {"rows_at_once": 0}])
def test_numbers_below_one_are_refused(wrong):
    model = TSDiff(TSDiffConfig(8, 4, num_diffusion_steps=4, **TINY))
    with pytest.raises(ValueError, match="at least 1"):
        draw_windows(model, **{"num_windows": 2, "num_steps": 2, **wrong})


def test_a_center_of_other_channels_is_refused():
    model = TSDiff(TSDiffConfig(8, 4, num_lags=1, num_diffusion_steps=4, **TINY))
    with pytest.raises(ValueError, match="center"):
        draw_windows(model, 2, 2, center=torch.zeros(1))


def test_the_loss_of_a_series_without_lags_is_that_of_validation():
    model = TSDiff(TSDiffConfig(12, 4, num_diffusion_steps=10, **TINY)).eval()
    batch = window_batch(4, missing=0.2)
    torch.testing.assert_close(series_losses(model, batch), model(batch))


def test_lags_do_not_count_in_the_loss_of_a_series():
    model = TSDiff(TSDiffConfig(12, 4, num_lags=2, num_diffusion_steps=10, **TINY)).eval()
    # A network without blocks would mix channels, too: only what is asked of the lags is changed.
    batch = window_batch(4, lags=(4, 8))
    found = series_losses(model, batch)
    assert found.shape == (4,)
    assert not torch.allclose(found, model(batch))


def test_windows_of_the_law_have_a_lower_loss_than_others():
    model = GaussianTSDiff(LAW, 4, 2)
    own = LAW.draw(50, seeded(5)).unsqueeze(-1)
    seen = torch.ones_like(own, dtype=torch.bool)
    rough = torch.randn(own.shape, generator=seeded(6), dtype=own.dtype) * 2
    inside, outside = (series_losses(model, gaussian_windows(values, seen)) for values in (own, rough))
    assert inside.mean() < outside.mean()
