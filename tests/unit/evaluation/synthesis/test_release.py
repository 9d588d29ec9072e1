"""The figure beside a release: about 1 for copies, about one half for independent draws."""

import json

import numpy as np
import pytest
from window_worlds import pieces

from edpipe.evaluation.synthesis.real_windows import unit_pieces
from edpipe.evaluation.synthesis.release import figure_of

WIDTH = 8


def positive(number, seed):
    """Windows of one law; only their shape counts, so they are compared in units of their own size."""
    return np.random.default_rng(seed).gamma(4.0, size=(number, WIDTH))


def worlds(seed):
    return tuple(pieces(unit_pieces(positive(200, [seed, place]))) for place in (1, 2))


def test_copies_of_training_windows_are_told_with_an_auc_of_one():
    training, held_out = worlds(0)
    figure = figure_of(training.values, training, held_out, name="copier")
    assert figure.auc.value == pytest.approx(1.0)
    assert figure.auc.low > 0.99
    assert "copier leaks" in figure.sentence


def test_independent_draws_tell_nothing():
    figures = [
        figure_of(positive(300, [seed, 3]), *worlds(seed), name="honest", num_draws=100) for seed in range(12)
    ]
    assert np.mean([one.auc.value for one in figures]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([one.auc.low <= 0.5 <= one.auc.high for one in figures]) >= 0.75
    assert not any("leaks what" in one.sentence for one in figures)


def test_the_share_of_copies_raises_the_figure_in_order():
    training, held_out = worlds(1)
    values = []
    for share in (0.0, 0.3, 0.7, 1.0):
        copied = training.values[: int(200 * share)]
        values.append(
            figure_of(np.concatenate([copied, positive(200, 9)]), training, held_out, name="x").auc.value
        )
    assert values == sorted(values)
    assert values[-1] > 0.9


def test_the_figure_is_plain_json_with_its_interval():
    training, held_out = worlds(2)
    told = json.loads(json.dumps(figure_of(positive(50, 4), training, held_out, name="x").to_dict()))
    assert told["low"] <= told["auc"] <= told["high"]
    assert told["num_training_pieces"] == 200
