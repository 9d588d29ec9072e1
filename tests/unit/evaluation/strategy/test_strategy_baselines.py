"""Baselines of strategies: by hand, and against counting with plain Python."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from strategy_data import Planted, planted, planted_embedding

from edpipe.datasets.samplers.pool import codes_of
from edpipe.errors import ContractError
from edpipe.evaluation.strategy.baselines import (
    MarkovBaseline,
    NeighborBaseline,
    StrategyBaseline,
    cluster_lookup,
    lookup,
    problem_mode,
    strategy_baselines,
)
from edpipe.evaluation.strategy.baselines.learners import student_clusters_of
from edpipe.evaluation.strategy.groups import mastery_groups
from edpipe.evaluation.strategy.metrics import attempt_scores, ratio
from edpipe.mastery.strategy_clusters import StrategyClusters


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=60)


@pytest.fixture(scope="module")
def clusters(world: Planted) -> StrategyClusters:
    dataset = world.dataset
    is_train = np.zeros(dataset.num_students, dtype=bool)
    is_train[dataset.student[parts(world)[0]]] = True
    pair = codes_of(world.group[dataset.student].astype(np.int64), dataset.section.astype(np.int64))
    return StrategyClusters(
        np.where(is_train, world.group, -1).astype(np.int32),
        dataset.problem_section,
        pair.astype(np.int32),
        pl.DataFrame(),
    )


def parts(world: Planted) -> tuple[np.ndarray, np.ndarray]:
    split = world.dataset.attempts["split"].to_numpy()
    return np.flatnonzero(split == "train"), np.flatnonzero(split == "test")


def all_baselines(world: Planted, clusters: StrategyClusters) -> list[StrategyBaseline]:
    groups = mastery_groups(world.dataset, parts(world)[0])
    return strategy_baselines(embedding=planted_embedding(world), clusters=clusters, groups=groups.keys)


def exact(world: Planted, baseline: StrategyBaseline, rows: np.ndarray) -> float:
    return ratio(attempt_scores(world.dataset, baseline.predict(world.dataset, rows)), "exact_match")


def test_the_lookup_agrees_with_counting_by_hand(world: Planted) -> None:
    dataset = world.dataset
    train, test = parts(world)
    train = train[dataset.problem[train] % 5 != 0]  # some problems are new
    said = lookup().fit(dataset, train).predict(dataset, test)
    for place, row in enumerate(test):
        same = [one for one in train if dataset.problem[one] == dataset.problem[row]] or [
            one for one in train if dataset.section[one] == dataset.section[row]
        ]
        counts = Counter(tuple(dataset.strategy(int(one)).tolist()) for one in same)
        strategy, count = counts.most_common(1)[0]
        assert tuple(said.strategy(place).tolist()) == strategy
        assert said.confidence[place] == pytest.approx(count / len(same))


def test_a_problem_new_to_training_has_no_mode(world: Planted) -> None:
    train, test = parts(world)
    new = world.dataset.problem[test[0]]
    train = train[world.dataset.problem[train] != new]
    said = problem_mode().fit(world.dataset, train).predict(world.dataset, test[:1])
    assert len(said.strategy(0)) == 0
    assert said.confidence[0] == 0


def test_baselines_never_look_at_the_strategies_asked_about(
    world: Planted, clusters: StrategyClusters
) -> None:
    dataset = world.dataset
    train, test = parts(world)
    kcs = dataset.kcs.copy()
    for row in np.setdiff1d(np.arange(dataset.num_attempts), train):
        kcs[dataset.strategy_start[row] : dataset.strategy_start[row + 1]] = 0
    changed = replace(dataset, kcs=kcs)
    for baseline in all_baselines(world, clusters):
        before = baseline.fit(dataset, train).predict(dataset, test)
        after = baseline.fit(changed, train).predict(changed, test)
        np.testing.assert_array_equal(before.kcs, after.kcs, err_msg=baseline.name)
        np.testing.assert_array_equal(before.start, after.start, err_msg=baseline.name)
        np.testing.assert_allclose(before.confidence, after.confidence, err_msg=baseline.name)


def test_every_baseline_refuses_to_learn_from_nothing(world: Planted, clusters: StrategyClusters) -> None:
    for baseline in all_baselines(world, clusters):
        with pytest.raises(ContractError, match="none"):
            baseline.fit(world.dataset, np.empty(0, dtype=np.int64))


def test_knowing_the_planted_groups_beats_the_problem_mode(
    world: Planted, clusters: StrategyClusters
) -> None:
    train, _ = parts(world)
    asked = train[::3]
    kept = np.setdiff1d(train, asked)
    embedding = planted_embedding(world)
    usual = exact(world, lookup().fit(world.dataset, kept), asked)
    by_cluster = exact(world, cluster_lookup(embedding, clusters).fit(world.dataset, kept), asked)
    by_neighbors = exact(world, NeighborBaseline(embedding).fit(world.dataset, kept), asked)
    assert by_cluster > usual + 0.05
    assert by_neighbors > usual + 0.05


def test_a_new_student_joins_the_nearest_cluster(world: Planted, clusters: StrategyClusters) -> None:
    train, test = parts(world)
    embedding = planted_embedding(world)
    known = student_clusters_of(world.dataset, train, embedding, clusters)
    np.testing.assert_array_equal(known, world.group[world.dataset.student[train]])
    first = world.dataset.attempts["attempt_number"].to_numpy()[test] == 1
    new = student_clusters_of(world.dataset, test, embedding, clusters)
    assert (new[first] == -1).all()  # nothing is known before the first attempt
    assert (new[~first] >= 0).mean() > 0.9


def test_a_chain_reproduces_a_strategy_that_is_always_followed(world: Planted) -> None:
    dataset = world.dataset
    row = next(one for one in range(50) if len(set(dataset.strategy(one).tolist())) >= 3)
    one = np.array([row])
    said = MarkovBaseline(1).fit(dataset, one).predict(dataset, one)
    assert said.strategy(0).tolist() == dataset.strategy(row).tolist()
    assert said.next_correct[0] == said.next_asked[0] == len(dataset.strategy(row)) + 1


@pytest.mark.parametrize("order", [1, 2])
def test_probabilities_of_a_chain_sum_to_one(world: Planted, order: int) -> None:
    dataset = world.dataset
    chain = MarkovBaseline(order).fit(dataset, parts(world)[0])
    for history in ([-2] * order, [int(dataset.kcs[0])] * order, [5] * order):
        total = sum(chain._probability(0, history, kc) for kc in range(-1, dataset.num_kcs))
        assert total == pytest.approx(1)


def test_a_chain_ends(world: Planted) -> None:
    dataset = world.dataset
    train, test = parts(world)
    chain = MarkovBaseline(1, max_length=7).fit(dataset, train)
    assert np.diff(chain.predict(dataset, test).start).max() <= 7


def test_equal_votes_go_to_the_strategy_seen_first(world: Planted) -> None:
    dataset = world.dataset
    train, _ = parts(world)
    blind = replace(planted_embedding(world), students=np.zeros((dataset.num_students, 16), dtype=np.float32))
    voted = NeighborBaseline(blind).fit(dataset, train).predict(dataset, train)
    counted = lookup().fit(dataset, train).predict(dataset, train)
    np.testing.assert_array_equal(voted.kcs, counted.kcs)
    np.testing.assert_allclose(voted.confidence, counted.confidence)
