"""Samplers: what they promise together, and what each is for."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score
from strategy_data import Planted, planted, planted_embedding

from edpipe.datasets.samplers import SAMPLERS, Pool, budget_of, make_sampler
from edpipe.datasets.samplers.adaptive import AdaptiveSampler, lookup_jaccard
from edpipe.datasets.samplers.clusters import ClusterSampler
from edpipe.datasets.samplers.learners import group_clusters, learner_groups
from edpipe.datasets.samplers.pool import codes_of, place_in_group
from edpipe.datasets.samplers.spread import farthest_first
from edpipe.datasets.samplers.typical import normalized_entropy, strategy_shares, typical_order
from edpipe.errors import SettingsError, TrainingError
from edpipe.mastery.strategy_clusters import StrategyClusters
from edpipe.settings import load_settings


def true_clusters(world: Planted) -> StrategyClusters:
    """Clusters that know the planted groups, and each section as a cluster of problems."""
    dataset = world.dataset
    pair = codes_of(world.group[dataset.student].astype(np.int64), dataset.section.astype(np.int64))
    return StrategyClusters(
        student_cluster=world.group.astype(np.int32),
        problem_cluster=dataset.problem_section,
        attempt_cluster=pair.astype(np.int32),
        rounds=pl.DataFrame(),
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=40)


@pytest.fixture(scope="module")
def pool(world: Planted) -> Pool:
    rows = np.flatnonzero((world.dataset.attempts["split"] == "train").to_numpy())
    return Pool(world.dataset, rows, planted_embedding(world), true_clusters(world), seed=3)


NAMES = [name for name in SAMPLERS if name != "all"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [1, 13, 100, 10_000])
def test_a_sample_is_exactly_the_budget_of_rising_training_rows(name: str, budget: int, pool: Pool) -> None:
    rows = make_sampler(name, load_settings("smoke")).sample(pool, budget)
    assert len(rows) == min(budget, len(pool))
    assert (np.diff(rows) > 0).all()
    assert np.isin(rows, pool.rows).all()


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_samples(name: str, pool: Pool) -> None:
    sampler = make_sampler(name, load_settings("smoke"))
    again = Pool(pool.dataset, pool.rows, pool.embedding, pool.clusters, pool.seed)
    np.testing.assert_array_equal(sampler.sample(pool, 50), sampler.sample(again, 50))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "clusters"])
def test_another_seed_gives_another_sample(name: str, pool: Pool) -> None:
    sampler = make_sampler(name, load_settings("smoke"))
    other = replace(pool, seed=pool.seed + 1)
    assert not np.array_equal(sampler.sample(pool, 50), sampler.sample(other, 50))


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_below_one_is_refused(name: str, pool: Pool) -> None:
    with pytest.raises(ValueError, match="budget"):
        make_sampler(name, load_settings("smoke")).sample(pool, 0)


@pytest.mark.parametrize("name", NAMES)
def test_no_sampler_looks_at_attempts_outside_the_pool(name: str, pool: Pool, world: Planted) -> None:
    dataset = world.dataset
    outside = np.setdiff1d(np.arange(dataset.num_attempts), pool.rows)
    kcs = dataset.kcs.copy()
    for row in outside:
        kcs[dataset.strategy_start[row] : dataset.strategy_start[row + 1]] = 0
    changed = replace(pool, dataset=replace(dataset, kcs=kcs))
    sampler = make_sampler(name, load_settings("smoke"))
    np.testing.assert_array_equal(sampler.sample(pool, 60), sampler.sample(changed, 60))


def test_all_takes_everything_whatever_the_budget(pool: Pool) -> None:
    np.testing.assert_array_equal(make_sampler("all", load_settings("smoke")).sample(pool, 1), pool.rows)


def test_an_unknown_sampler_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="no sampler 'best'"):
        make_sampler("best", load_settings("smoke"))


@pytest.mark.parametrize(("name", "verb"), [("clusters", "cluster"), ("kcenter", "embed")])
def test_a_sampler_says_which_step_it_lacks(name: str, verb: str, pool: Pool) -> None:
    bare = Pool(pool.dataset, pool.rows)
    with pytest.raises(TrainingError, match=f"edpipe {verb}"):
        make_sampler(name, load_settings("smoke")).sample(bare, 5)


@pytest.mark.parametrize("budget", [12, 20, 40, 90, 200])
def test_every_cluster_is_covered_once_the_budget_allows(budget: int, pool: Pool) -> None:
    num_clusters = int(pool.cluster.max()) + 1
    rows = ClusterSampler().sample(pool, budget)
    covered = np.unique(pool.cluster[np.isin(pool.rows, rows)])
    assert len(covered) == min(budget, num_clusters)


def test_every_cluster_and_problem_comes_before_any_second(pool: Pool) -> None:
    cell = codes_of(pool.cluster, pool.problem)
    num_cells = int(cell.max()) + 1
    counts = np.bincount(cell[np.isin(pool.rows, ClusterSampler().sample(pool, num_cells))])
    assert (counts == 1).all()


def test_the_first_of_a_cell_follows_its_most_frequent_strategy(pool: Pool) -> None:
    cell = codes_of(pool.cluster, pool.problem)
    taken = np.isin(pool.rows, ClusterSampler(shrinkage=0.0).sample(pool, int(cell.max()) + 1))
    for one in range(int(cell.max()) + 1):
        counts = np.bincount(pool.strategy[cell == one])
        assert counts[pool.strategy[taken & (cell == one)][0]] == counts.max()


def test_typical_attempts_leave_departures_out(world: Planted, pool: Pool) -> None:
    is_random = world.attempts["is_random"].to_numpy()
    num_cells = int(codes_of(pool.cluster, pool.problem).max()) + 1
    ours = is_random[ClusterSampler().sample(pool, num_cells)].mean()
    drawn = is_random[make_sampler("uniform", load_settings("smoke")).sample(pool, num_cells)].mean()
    assert ours < 0.75 * drawn


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Planted, Pool]:
    """A world whose clusters hold all students together: they know nothing of groups."""
    world = planted(tmp_path_factory.mktemp("large"), num_students=120)
    rows = np.flatnonzero((world.dataset.attempts["split"] == "train").to_numpy())
    nobody = true_clusters(world)
    nobody = replace(
        nobody,
        student_cluster=np.zeros_like(nobody.student_cluster),
        attempt_cluster=world.dataset.section.astype(np.int32),
    )
    return world, Pool(world.dataset, rows, planted_embedding(world), nobody, seed=3)


def test_learner_groups_find_the_planted_groups(large: tuple[Planted, Pool]) -> None:
    world, pool = large
    found = learner_groups(pool, shrinkage=5.0)
    assert adjusted_rand_score(world.group[pool.student], found) > 0.9
    clusters = group_clusters(pool, found)
    assert len(np.unique(clusters)) == len(np.unique(found)) * world.dataset.num_sections


def test_the_preferred_strategy_of_every_group_is_sampled_where_clusters_hold_groups_together(
    large: tuple[Planted, Pool],
) -> None:
    world, pool = large
    is_random = world.attempts["is_random"].to_numpy()
    pair = codes_of(
        world.group[world.dataset.student].astype(np.int64), pool.dataset.problem.astype(np.int64)
    )
    num_pairs = int(pair.max()) + 1

    def covered(learners: Literal["groups", "clusters"]) -> float:
        rows = ClusterSampler(learners=learners).sample(pool, num_pairs)
        return len(np.unique(pair[rows[~is_random[rows]]])) / num_pairs

    assert covered("groups") > 0.9
    assert covered("clusters") < 0.75


def test_turns_follow_the_divisor_method() -> None:
    # One cell with strategies A five times, B twice, C once; a turn goes to the largest count / (turns + 1).
    strategy = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    cell = np.zeros(8, dtype=np.int64)
    shares = strategy_shares(cell, cell, strategy, shrinkage=0.0)
    turn = typical_order(shares, np.arange(8))
    assert strategy[np.argsort(turn)].tolist() == [0, 0, 1, 0, 0, 0, 1, 2]


def test_a_tie_in_a_cell_is_settled_by_the_problem() -> None:
    cell = np.array([0, 0, 1, 1])
    problem = np.zeros(4, dtype=np.int64)
    strategy = np.array([0, 1, 1, 1])
    turn = typical_order(strategy_shares(cell, problem, strategy), np.arange(4))
    assert turn.tolist() == [1, 0, 0, 1]


def test_entropy_is_zero_for_one_kind_and_one_for_all_different() -> None:
    group = np.array([0, 0, 0, 1, 1, 2])
    kind = np.array([4, 4, 4, 1, 2, 9])
    np.testing.assert_allclose(normalized_entropy(group, kind), [0, 1, 0])


def test_farthest_first_takes_the_corners_of_a_line() -> None:
    line = np.array([[0.0], [1.0], [10.0], [4.0]], dtype=np.float32)
    assert farthest_first(line, 4, 0).tolist() == [0, 2, 3, 1]


def test_adaptive_gives_more_to_clusters_that_are_predicted_badly(pool: Pool) -> None:
    bad = 0

    def probe(dataset, rows, asked):
        return np.where(pool.cluster[np.searchsorted(pool.rows, asked)] == bad, 0.0, 1.0)

    drawn = AdaptiveSampler(probe=probe).sample(pool, 120)
    fair = AdaptiveSampler(probe=lambda dataset, rows, asked: np.ones(len(asked))).sample(pool, 120)
    clusters = [pool.cluster[np.isin(pool.rows, rows)] for rows in (drawn, fair)]
    assert (clusters[0] == bad).sum() > 1.5 * (clusters[1] == bad).sum()


def test_the_probe_of_adaptive_agrees_with_counting_by_hand(pool: Pool, world: Planted) -> None:
    from collections import Counter

    dataset, rows, asked = world.dataset, pool.rows[::3], pool.rows[1::7]
    found = lookup_jaccard(dataset, rows, asked)
    for value, row in zip(found, asked, strict=True):
        same = [one for one in rows if dataset.problem[one] == dataset.problem[row]] or [
            one for one in rows if dataset.section[one] == dataset.section[row]
        ]
        counts = Counter(tuple(dataset.strategy(int(one))) for one in same)
        said, true = set(counts.most_common(1)[0][0]), set(dataset.strategy(int(row)))
        assert value == pytest.approx(len(said & true) / len(said | true))


def test_shares_of_sections_follow_their_sizes(pool: Pool) -> None:
    rows = make_sampler("sections", load_settings("smoke")).sample(pool, len(pool) // 2)
    taken = np.bincount(pool.section[np.isin(pool.rows, rows)])
    np.testing.assert_allclose(taken, np.bincount(pool.section) / 2, atol=1)


def test_places_in_groups_follow_the_order_given() -> None:
    place = place_in_group(np.array([1, 0, 1, 0]), np.array([3, 2, 1, 0]))
    assert place.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(("share", "expected"), [(0.001, 1), (0.5, 10), (1.0, 20)])
def test_a_share_becomes_a_number_of_attempts(share: float, expected: int) -> None:
    assert budget_of(share, 20) == expected
