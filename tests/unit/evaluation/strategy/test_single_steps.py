"""Attempts of a single step are told: there is no order to predict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strategy_data import Planted, planted

from edpipe.datasets.strategy import StrategyDataset
from edpipe.datasets.strategy_lengths import single_step_share, single_step_words
from edpipe.datasets.strategy_splits import StrategySplit, split_strategies
from edpipe.evaluation.strategy.baselines import lookup
from edpipe.evaluation.strategy.evaluate import evaluate_strategies
from edpipe.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=40, num_sections=2)


def shortened(dataset: StrategyDataset, share: float) -> StrategyDataset:
    """Keep the first step only, in the first attempts."""
    number = round(share * dataset.num_attempts)
    steps = [
        range(first, first + 1 if attempt < number else last)
        for attempt, (first, last) in enumerate(
            zip(dataset.step_start[:-1], dataset.step_start[1:], strict=True)
        )
    ]
    kept = np.concatenate([np.asarray(one, dtype=np.int64) for one in steps])
    sizes = np.diff(dataset.kc_start)[kept]
    places = np.concatenate([np.arange(dataset.kc_start[one], dataset.kc_start[one + 1]) for one in kept])
    return replace(
        dataset,
        step_start=np.concatenate([[0], np.cumsum([len(one) for one in steps])]).astype(np.int64),
        kc_start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        kcs=dataset.kcs[places],
    )


def test_the_share_counts_attempts_with_one_step(world: Planted) -> None:
    rows = np.arange(world.dataset.num_attempts)
    few = single_step_share(world.dataset, rows)
    most = shortened(world.dataset, 0.75)
    assert few < 0.3
    assert 0.75 <= single_step_share(most, rows) <= 0.75 + few
    assert single_step_share(most, rows[:10]) == 1
    assert single_step_share(most, rows[:0]) == 0


def test_half_is_not_most() -> None:
    assert single_step_words(0.5) is None
    assert "61 % of the attempts have a single step" in str(single_step_words(0.612))


def test_an_evaluation_warns_where_most_attempts_have_one_step(
    world: Planted, settings: Settings, tmp_path: Path
) -> None:
    def evaluate(dataset: StrategyDataset, split: StrategySplit, folder: Path) -> tuple[str, ...]:
        return evaluate_strategies(
            settings,
            folder,
            dataset=dataset,
            split=split,
            predict=lambda rows: {"model": lookup().fit(dataset, split.train).predict(dataset, rows)},
            data_fingerprint="f",
            baselines=[lookup()],
        ).warnings

    for share, is_told in ((0.0, False), (0.75, True)):
        dataset = shortened(world.dataset, share)
        split = split_strategies(dataset, settings)
        warnings = evaluate(dataset, split, tmp_path / str(share))
        assert any("single step" in warning for warning in warnings) is is_told


def test_every_attempt_has_a_part_and_later_views_are_outside(world: Planted, settings: Settings) -> None:
    dataset = world.dataset
    split = split_strategies(dataset, settings)
    parts = split.parts(dataset.num_attempts)
    assert parts.null_count() == 0
    later = dataset.attempts["problem_view"] > 1
    assert ((parts == "outside") == later).all()
    first = ~later
    assert parts.filter(first).equals(dataset.attempts["split"].filter(first), check_names=False)
    assert np.array_equal(split.rows, np.flatnonzero(first.to_numpy()))
