from dataclasses import replace

import numpy as np
import pytest
import torch
from strategy_data import planted, planted_embedding

from edpipe.prediction.strategy import load_predictor, predict_strategies
from edpipe.settings import load_settings
from edpipe.training.strategy import train_predictor
from models.strategy.calibration import Calibration, Explained, calibrated

CHANGES = {
    "size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "num_examples": 6,
    "batch_size": 32,
    "max_epochs": 3,
    "max_length": 12,
    "accelerator": "cpu",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("tutor"), num_students=60, num_sections=2, sections_per_student=2)


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """A predictor that has seen typical attempts only: each problem's most frequent strategies."""
    folder = tmp_path_factory.mktemp("run")
    settings = load_settings("smoke", file=folder / "edpipe.toml", home=folder, progress="none")
    settings = settings.model_copy(update={"strategy": settings.strategy.model_copy(update=CHANGES)})
    dataset, embedding = world.dataset, planted_embedding(world)
    split = dataset.attempts["split"].to_numpy()
    train, valid = (np.flatnonzero(split == name) for name in ("train", "valid"))
    typical = []
    for problem in np.unique(dataset.problem[train]):
        rows = train[dataset.problem[train] == problem]
        codes, counts = np.unique(dataset.strategy_code[rows], return_counts=True)
        typical += rows[dataset.strategy_code[rows] == codes[counts.argmax()]].tolist()
    train_predictor(dataset, embedding, np.sort(typical), valid, settings, folder / "run")
    return folder / "run"


def figures_of(world, predictor):
    """Calibration error over confidence in tenths, log-likelihood a token, exact match; of new students."""
    dataset = world.dataset
    rows = np.flatnonzero((dataset.attempts["split"] == "test").to_numpy())
    said = predict_strategies(predictor, dataset, planted_embedding(world), rows)
    is_right = np.array(
        [np.array_equal(said.strategy(place), dataset.strategy(int(row))) for place, row in enumerate(rows)]
    )
    tenth = np.minimum((said.confidence * 10).astype(int), 9)
    gaps = [
        abs((said.confidence - is_right)[tenth == one].mean()) * (tenth == one).mean()
        for one in np.unique(tenth)
    ]
    return sum(gaps), said.log_likelihood.sum() / said.next_asked.sum(), is_right.mean()


def test_of_a_predictor_taught_by_typical_attempts_the_calibration_error_falls(world, trained):
    predictor = load_predictor(trained)
    error, likelihood, exact = figures_of(world, predictor)
    calibration = predictor.model.calibration
    assert float(calibration.temperature) != 1
    calibration.temperature.fill_(1.0)
    calibration.offset.fill_(0.0)
    error_before, likelihood_before, exact_before = figures_of(world, predictor)
    assert error < 0.6 * error_before
    assert likelihood > likelihood_before
    assert exact > exact_before - 0.02


def random_parts(number, num_examples=4, *, temperature=1.0, offset=0.0, seed=0):
    """Strategies drawn from chances that are those said, changed as given; no two examples are alike."""
    random = torch.Generator().manual_seed(seed)
    said = (2 * torch.randn(number, num_examples + 1, generator=random)).log_softmax(dim=1)
    true = calibrated(said, torch.tensor(temperature), torch.tensor(offset)).exp()
    source = torch.multinomial(true, 1, generator=random)
    follows = torch.arange(num_examples) == source
    written = torch.where(source.squeeze(1) == num_examples, -1.0, -30.0)
    return Explained(said, follows, written)


@pytest.mark.parametrize(("temperature", "offset"), [(1.0, 0.0), (2.5, 1.5), (0.5, -1.0)])
def test_the_planted_temperature_and_offset_are_found(temperature, offset):
    calibration = Calibration()
    calibration.fit([random_parts(20_000, temperature=temperature, offset=offset)])
    assert float(calibration.temperature) == pytest.approx(temperature, rel=0.1)
    assert float(calibration.offset) == pytest.approx(offset, abs=0.15)


def test_the_fit_is_never_worse_than_no_change_and_small_without_evidence():
    parts = random_parts(30, temperature=3.0)
    calibration = Calibration()
    calibration.fit([parts])
    found = parts.log_likelihood(calibration.temperature, calibration.offset)
    assert found >= parts.log_likelihood(torch.tensor(1.0), torch.tensor(0.0))
    calibration.fit([])
    assert (float(calibration.temperature), float(calibration.offset)) == (1.0, 0.0)


def test_changed_chances_sum_to_one_and_temperature_leaves_writing_alone():
    prior = random_parts(50).prior
    prior[0, :-1] = -torch.inf  # nothing to copy
    prior[0, -1] = 0.0
    prior[1, 0] = -torch.inf
    changed = calibrated(prior.log_softmax(dim=1), torch.tensor(3.0), torch.tensor(0.0))
    torch.testing.assert_close(changed.exp().sum(dim=1), torch.ones(50))
    torch.testing.assert_close(changed[:, -1], prior.log_softmax(dim=1)[:, -1])
    assert torch.equal(changed[0, :-1], prior[0, :-1])
    assert changed[1, 0] == -torch.inf


def test_training_sees_the_chances_as_they_are():
    prior = random_parts(5).prior
    calibration = Calibration()
    calibration.temperature.fill_(2.0)
    assert torch.equal(calibration.train()(prior), prior)
    assert not torch.equal(calibration.eval()(prior), prior)


def test_a_strategy_is_as_likely_as_the_chances_of_what_explains_it():
    parts = replace(random_parts(6, seed=3), written=torch.full((6,), -2.0))
    chances = parts.prior.exp()
    expected = (chances[:, :-1] * parts.follows).sum(dim=1) + chances[:, -1] * np.exp(-2.0)
    found = parts.log_likelihood(torch.tensor(1.0), torch.tensor(0.0))
    torch.testing.assert_close(found, expected.log().sum())
