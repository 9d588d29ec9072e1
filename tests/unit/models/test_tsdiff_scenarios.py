"""Scenarios against normal paths: a bound on their total is a truncated normal law."""

import math

import pytest
import torch
from diffusion_cases import seeded
from tsdiff_gaussian import GaussianTSDiff, gaussian_windows, smooth_law

from models.diffusion import DPMSolver2M
from models.tsdiff.constraints import Constraint, every
from models.tsdiff.guided import guided_sample
from models.tsdiff.scenarios import best_of, effective_sample_size, reject, resample

LAW = smooth_law(4)
ONES = torch.ones(4, dtype=torch.float64)
NORMAL = torch.distributions.Normal(0.0, 1.0)


def source(windows=1, seed=1):
    random = seeded(seed)
    return lambda number: LAW.draw(windows * number, random).view(windows, number, 4)


def truncated(bound):
    """Probability that the total is at least ``bound``, and mean and covariance of paths if it is."""
    middle, spread = LAW.mean.sum(), LAW.covariance.sum().sqrt()
    alpha = (bound - middle) / spread
    tail = 1 - NORMAL.cdf(alpha)
    hazard = NORMAL.log_prob(alpha).exp() / tail
    gain = LAW.covariance @ ONES / spread**2
    mean = LAW.mean + gain * spread * hazard
    shrink = hazard * (hazard - alpha) * spread**2
    return float(tail), mean, LAW.covariance - shrink * torch.outer(gain, gain)


@pytest.mark.parametrize("bound", [2.0, 6.0])
def test_rejection_draws_from_the_truncated_law(bound):
    found = reject(source(), Constraint("total", "at_least", bound), 4000, max_draws=200_000)
    probability, mean, covariance = truncated(bound)
    assert (found.samples.sum(-1) >= bound).all()
    assert float(found.probability) == pytest.approx(probability, rel=0.1)
    torch.testing.assert_close(found.samples[0].mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(found.samples[0].T.cov(), covariance, atol=0.06, rtol=0)
    assert float(found.effective_sample_size) == 4000


def test_a_soft_constraint_draws_from_the_normal_law_given_a_noisy_total():
    total, tolerance = 5.0, 0.5
    paths = source()(40_000)
    constraint = Constraint("total", "equals", total, tolerance=tolerance)
    found = resample(paths, constraint.log_weights(paths), 8000, seeded(2))
    gain = LAW.covariance @ ONES / (LAW.covariance.sum() + tolerance**2)
    mean = LAW.mean + gain * (total - LAW.mean.sum())
    torch.testing.assert_close(found.samples[0].mean(0), mean, atol=0.06, rtol=0)
    covariance = LAW.covariance - torch.outer(gain, LAW.covariance @ ONES)
    torch.testing.assert_close(found.samples[0].T.cov(), covariance, atol=0.06, rtol=0)
    assert 100 < float(found.effective_sample_size) < 20_000


def test_paths_of_the_guided_model_take_a_bound():
    law = smooth_law(6)
    model = GaussianTSDiff(law, 4, 2, is_zero_terminal=True, parameterization="velocity")
    values = torch.tensor([[1.5, 1.0, 0.2, -0.4, 0.0, 0.0]], dtype=torch.float64).unsqueeze(-1)
    batch = gaussian_windows(values, torch.arange(6).view(1, 6, 1) < 4)
    random = seeded(4)

    def draw(number):
        paths = guided_sample(
            model, batch, number, 20, random, kind="covariance", sampler=DPMSolver2M(), num_iterations=4
        )
        return paths[:, :, 4:]

    found = reject(draw, Constraint("last", "at_least", 0.5), 300, num_at_once=600, max_draws=6000)
    mean, covariance = law.conditional(torch.arange(6) < 4, values[0, :4, 0])
    spread = covariance[5, 5].sqrt()
    alpha = (0.5 - mean[5]) / spread
    tail = 1 - NORMAL.cdf(alpha)
    expected = mean[5] + spread * NORMAL.log_prob(alpha).exp() / tail
    assert float(found.probability) == pytest.approx(float(tail), rel=0.15)
    assert float(found.samples[0, :, 1].mean()) == pytest.approx(float(expected), abs=0.1)


def test_too_few_allowed_paths_are_repeated_and_told():
    found = reject(
        source(2), Constraint("total", "at_least", torch.tensor([-100.0, 6.0])), 100, max_draws=300
    )
    assert found.num_drawn == 300
    first, second = found.effective_sample_size.tolist()
    assert first == 100
    assert second < 100
    assert len(found.samples[1].unique(dim=0)) == second
    assert found.probability[1].item() == pytest.approx(second / 300)


def test_impossible_scenarios_name_their_windows():
    with pytest.raises(ValueError, match="none of 50 paths of window 1 is allowed"):
        reject(source(2), Constraint("total", "at_least", torch.tensor([-100.0, 1e6])), 10, max_draws=50)
    with pytest.raises(ValueError, match="all paths of a window are excluded"):
        resample(torch.zeros(1, 3, 2), torch.full((1, 3), -torch.inf), 2)
    with pytest.raises(ValueError, match="at least 1"):
        reject(source(), lambda paths: paths[..., 0] > 0, 0)


def test_resampling_copies_by_weight_and_never_what_is_excluded():
    paths = torch.arange(4.0).view(1, 4, 1)
    weights = torch.tensor([[0.0, 0.5, 0.3, 0.2]])
    for seed in range(20):
        found = resample(paths, weights.log(), 10, seeded(seed))
        assert torch.bincount(found.samples.flatten().long(), minlength=4).tolist() == [0, 5, 3, 2]
    last = resample(paths, torch.tensor([[0.0, 0.0, 0.0, -torch.inf]]), 1000, seeded())
    assert last.samples.max() == 2
    with pytest.raises(ValueError, match="numbers or minus infinity"):
        resample(paths, torch.full((1, 4), torch.nan), 2)
    with pytest.raises(ValueError, match="a weight for each path"):
        resample(paths, torch.zeros(1, 3), 2)


def test_effective_sample_size_is_the_number_of_equal_weights_and_ignores_their_size():
    half = torch.tensor([0.0, 0.0, -torch.inf, -torch.inf])
    weights = torch.stack([torch.zeros(4), half, torch.tensor([0.0, -200.0, -200.0, -200.0])])
    expected = torch.tensor([4.0, 2.0, 1.0])
    torch.testing.assert_close(effective_sample_size(weights), expected)
    torch.testing.assert_close(effective_sample_size(weights - 900.0), expected)


def test_each_number_of_a_path_can_be_bounded():
    paths = torch.tensor([[[1.0, 4.0, 2.0, -3.0]]])
    measured = {
        statistic: float(Constraint(statistic, "at_least", 0.0, 0, 3).measure(paths))
        for statistic in ("total", "mean", "maximum", "minimum", "last")
    }
    assert measured == {"total": 7, "mean": pytest.approx(7 / 3), "maximum": 4, "minimum": 1, "last": 2}
    assert Constraint("maximum", "at_most", 4.0)(paths).item()
    assert not Constraint("maximum", "at_most", 3.0)(paths).item()
    assert Constraint("maximum", "at_most", 3.0, tolerance=1.0)(paths).item()
    assert Constraint("total", "equals", 5.0, tolerance=1.0)(paths).item()
    assert Constraint("total", "at_least", 6.0).excess(paths).item() == 2
    both = every(Constraint("last", "at_most", 0.0), Constraint("total", "at_least", 5.0))
    assert not both(paths).item()
    assert Constraint("total", "at_least", 6.0, tolerance=2.0).log_weights(paths).item() == -0.5


def test_best_path_is_the_one_with_the_highest_score():
    paths = source(3)(50)
    found = best_of(paths, lambda paths: paths.sum(-1))
    torch.testing.assert_close(found.sum(-1), paths.sum(-1).amax(1))
    assert math.isclose(found[0].sum().item(), paths[0].sum(-1).max().item())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statistic": "median"}, "statistic must be one of"),
        ({"relation": "below"}, "relation must be one of"),
        ({"relation": "equals"}, "tolerance must be at least 0, and above 0"),
        ({"tolerance": -1.0}, "tolerance must be at least 0"),
    ],
)
def test_constraints_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Constraint(**{"statistic": "total", "relation": "at_least", "value": 1.0, **change})


def test_constraints_without_steps_or_tolerance_say_so():
    paths = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match="at least one step; got 3 to None of 3"):
        Constraint("total", "at_least", 1.0, first=3)(paths)
    with pytest.raises(ValueError, match="tolerance above 0"):
        Constraint("total", "at_least", 1.0).log_weights(paths)
    with pytest.raises(ValueError, match="at least one constraint"):
        every()
