from dataclasses import replace

import numpy as np
import pytest
from strategy_data import planted, planted_embedding

from edpipe.errors import TrainingError
from edpipe.prediction.strategy import load_predictor, predict_strategies
from edpipe.settings import load_settings
from edpipe.training.strategy import train_predictor

CHANGES = {
    "size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "num_examples": 6,
    "batch_size": 32,
    "max_epochs": 4,
    "max_length": 12,
    "accelerator": "cpu",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world without departures: who knows the group knows the strategy."""
    return planted(
        tmp_path_factory.mktemp("tutor"),
        num_students=40,
        num_sections=2,
        sections_per_student=2,
        num_groups=1,
        departure_rate=0.0,
    )


@pytest.fixture(scope="module")
def embedding(world):
    return planted_embedding(world)


def rows_of(world, split):
    return np.flatnonzero((world.dataset.attempts["split"] == split).to_numpy())


@pytest.fixture(scope="module")
def trained(world, embedding, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = load_settings("smoke", file=folder / "edpipe.toml", home=folder, progress="none")
    settings = settings.model_copy(update={"strategy": settings.strategy.model_copy(update=CHANGES)})
    train_predictor(
        world.dataset,
        embedding,
        rows_of(world, "train"),
        rows_of(world, "valid"),
        settings,
        folder / "run",
    )
    return folder / "run"


@pytest.fixture(scope="module")
def predicted(world, embedding, trained):
    return predict_strategies(trained, world.dataset, embedding, rows_of(world, "test"))


def test_where_everybody_follows_one_strategy_it_is_copied(world, predicted):
    dataset = world.dataset
    first = dataset.attempts["problem_view"].to_numpy()[predicted.rows] == 1
    exact = [
        np.array_equal(predicted.strategy(place), dataset.strategy(int(row)))
        for place, row in enumerate(predicted.rows)
    ]
    assert np.mean(np.array(exact)[first]) > 0.99
    assert np.mean(predicted.confidence[first]) > 0.8


def test_figures_are_probabilities_and_counts(world, predicted):
    lengths = np.diff(world.dataset.strategy_start)[predicted.rows]
    assert ((predicted.confidence > 0) & (predicted.confidence <= 1)).all()
    assert (predicted.log_likelihood <= 0).all()
    assert (predicted.next_asked == lengths + 1).all()
    assert ((predicted.next_correct >= 0) & (predicted.next_correct <= predicted.next_asked)).all()


def test_the_confidence_of_a_right_prediction_is_its_likelihood(world, predicted):
    dataset = world.dataset
    right = [
        place
        for place, row in enumerate(predicted.rows)
        if np.array_equal(predicted.strategy(place), dataset.strategy(int(row)))
    ]
    assert right
    np.testing.assert_allclose(
        np.log(predicted.confidence[right]), predicted.log_likelihood[right], atol=1e-3
    )


@pytest.mark.parametrize("batch_size", [1, 17])
def test_batches_and_the_order_of_rows_do_not_matter(world, embedding, trained, predicted, batch_size):
    rows = rows_of(world, "test")[:40]
    turned = predict_strategies(
        load_predictor(trained), world.dataset, embedding, rows[::-1], batch_size=batch_size
    )
    for place in range(40):
        assert np.array_equal(turned.strategy(39 - place), predicted.strategy(place))
    np.testing.assert_allclose(turned.log_likelihood[::-1], predicted.log_likelihood[:40], atol=1e-3)


def test_a_prediction_does_not_look_at_the_strategy_itself(world, embedding, trained, predicted):
    """Test attempts that say the opposite are predicted alike: views 1 of students' first attempts."""
    dataset = world.dataset
    first = predicted.rows[dataset.attempts["attempt_number"].to_numpy()[predicted.rows] == 1]
    kcs = dataset.kcs.copy()
    for row in first:
        begin, end = dataset.strategy_start[row], dataset.strategy_start[row + 1]
        kcs[begin:end] = kcs[begin:end][::-1]
    other = predict_strategies(trained, replace(dataset, kcs=kcs), embedding, first)
    for place, row in enumerate(first):
        (before,) = np.flatnonzero(predicted.rows == row)
        assert np.array_equal(other.strategy(place), predicted.strategy(before))


def test_no_row_gives_no_prediction(world, embedding, trained):
    none = predict_strategies(trained, world.dataset, embedding, np.array([], dtype=np.int64))
    assert len(none) == 0
    assert none.start.tolist() == [0]


def test_vectors_of_another_width_are_refused(world, trained):
    with pytest.raises(TrainingError, match=r"(?s)width 8.*width 16"):
        predict_strategies(
            trained, world.dataset, planted_embedding(world, dim=8), np.array([0], dtype=np.int64)
        )
