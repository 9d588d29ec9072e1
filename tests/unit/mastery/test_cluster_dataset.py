"""Clusters of planted students, problems and attempts, kept in a folder, as tables and as a map."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score
from strategy_data import Planted, planted, planted_embedding

from edpipe.datasets.strategy import StrategyDataset
from edpipe.datasets.strategy_splits import split_strategies
from edpipe.mastery.cluster_dataset import cluster_dataset
from edpipe.mastery.cluster_map import MAP_FILE, MAP_SCHEMA, cluster_map
from edpipe.mastery.cluster_profiles import MEMBER_SCHEMA, PROFILE_SCHEMA
from edpipe.mastery.cluster_store import cluster, clusters_folder, clusters_key
from edpipe.mastery.embedding import Embedding
from edpipe.mastery.strategy_clusters import ROUNDS_SCHEMA, StrategyClusters, load_clusters
from edpipe.prediction.clusters import cluster_tables
from edpipe.setting_groups import ClusterSettings
from edpipe.warehouse.predictions import CONTRACTS


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def embedding(world) -> Embedding:
    return planted_embedding(world)


@pytest.fixture(scope="module")
def rows(world) -> np.ndarray:
    return np.flatnonzero((world.dataset.attempts["split"] == "train").to_numpy())


@pytest.fixture(scope="module")
def found(world, embedding, rows) -> StrategyClusters:
    return cluster_dataset(world.dataset, embedding, rows, ClusterSettings(), seed=7)


@pytest.fixture(scope="module")
def tables(world, embedding, found) -> tuple[pl.DataFrame, pl.DataFrame]:
    return cluster_tables(world.dataset, embedding, found, model_name="strategy", model_version=3)


def test_student_clusters_are_the_planted_groups(world, found):
    is_known = found.student_cluster >= 0
    assert adjusted_rand_score(world.group[is_known], found.student_cluster[is_known]) > 0.9


def test_problems_with_other_strategies_are_not_merged(world, found, rows):
    dataset = world.dataset
    met = found.problem_cluster[np.unique(dataset.problem[rows])]
    assert len(set(met)) > 0.8 * len(met)


def test_only_training_has_clusters(world, found, rows):
    outside = np.setdiff1d(np.arange(world.dataset.num_attempts), rows)
    assert (found.attempt_cluster[rows] >= 0).all()
    assert (found.attempt_cluster[outside] == -1).all()
    students = np.unique(world.dataset.student[rows])
    assert set(np.flatnonzero(found.student_cluster >= 0)) == set(students)


def test_a_cluster_of_attempts_is_a_pair_of_student_and_problem_cluster(world, found, rows):
    pairs = list(
        zip(
            found.student_cluster[world.dataset.student[rows]],
            found.problem_cluster[world.dataset.problem[rows]],
            strict=True,
        )
    )
    assert len(set(zip(pairs, found.attempt_cluster[rows], strict=True))) == len(set(pairs))
    assert sorted(set(found.attempt_cluster[rows])) == list(range(found.num_clusters))


def test_rounds_tell_what_was_refined_and_one_of_them_is_best(found):
    assert dict(found.rounds.schema) == ROUNDS_SCHEMA
    best = found.rounds.filter("is_best")
    assert best.height == 1
    assert best["refined"].item() == "problems"
    assert best["num_clusters"].item() == found.num_clusters
    assert best["num_student_clusters"].item() == found.student_cluster.max() + 1
    assert (found.rounds["symmetry_low"] <= found.rounds["symmetry_high"]).all()


@pytest.mark.parametrize("level", ["entities", "instances"])
def test_equal_inputs_and_seed_give_equal_clusters(world, embedding, rows, level):
    settings = ClusterSettings(level=level, max_rounds=3)
    one, other = (cluster_dataset(world.dataset, embedding, rows, settings, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.attempt_cluster, other.attempt_cluster)
    assert one.rounds.equals(other.rounds)


def test_what_is_outside_training_changes_nothing(world, embedding, rows, found):
    dataset = world.dataset
    kcs = dataset.kcs.copy()
    inside = np.zeros(len(kcs), dtype=bool)
    for row in rows:
        inside[dataset.strategy_start[row] : dataset.strategy_start[row + 1]] = True
    kcs[~inside] = (kcs[~inside] + 1) % dataset.num_kcs
    other: StrategyDataset = dataclasses.replace(dataset, kcs=kcs)
    again = cluster_dataset(other, embedding, rows, ClusterSettings(), seed=7)
    np.testing.assert_array_equal(again.attempt_cluster, found.attempt_cluster)
    assert again.rounds.equals(found.rounds)


def test_clusters_of_instances_hold_attempts_that_are_more_alike_than_their_problems(world, embedding, rows):
    clusters = cluster_dataset(world.dataset, embedding, rows, ClusterSettings(level="instances"), seed=7)
    rounds = clusters.rounds
    assert set(rounds["refined"]) == {"instances"}
    assert rounds.filter("is_best")["symmetry"].item() > rounds["symmetry"][0]
    assert clusters.student_cluster.max() < clusters.num_clusters
    assert (clusters.attempt_cluster[rows] >= 0).all()


def test_a_device_of_torch_gives_the_same_clusters(world, embedding, rows):
    settings = ClusterSettings(max_rounds=2)
    plain = cluster_dataset(world.dataset, embedding, rows, settings)
    torch = cluster_dataset(world.dataset, embedding, rows, settings.model_copy(update={"device": "cpu:0"}))
    np.testing.assert_array_equal(plain.attempt_cluster, torch.attempt_cluster)


def test_a_given_first_radius_is_used(world, embedding, rows):
    settings = ClusterSettings(first_radius=0.6, max_rounds=1)
    rounds = cluster_dataset(world.dataset, embedding, rows, settings).rounds
    assert rounds["radius"][0] == 0.6


def test_no_training_attempt_is_refused(world, embedding):
    with pytest.raises(ValueError, match="at least one"):
        cluster_dataset(world.dataset, embedding, np.zeros(0, dtype=np.int64), ClusterSettings())


def test_stored_clusters_are_found_again_and_not_made_again(world, embedding, settings, monkeypatch):
    split = split_strategies(world.dataset, settings)
    made = cluster(settings, world.dataset, embedding, split)
    folder = clusters_folder(settings, world.dataset, embedding, split)
    assert {path.name for path in folder.iterdir()} == {
        "labels.npz",
        "rounds.parquet",
        "clusters.json",
        MAP_FILE,
    }
    assert made.manifest["key"] == folder.name
    assert made.manifest["seconds"] > 0
    assert made.manifest["peak_memory_bytes"] > 0
    monkeypatch.setattr("edpipe.mastery.cluster_store.cluster_dataset", None)
    again = cluster(settings, world.dataset, embedding, split)
    np.testing.assert_array_equal(again.attempt_cluster, made.attempt_cluster)
    assert again.manifest["key"] == made.manifest["key"]
    assert load_clusters(folder).rounds.equals(made.rounds)


def test_the_key_follows_all_inputs_but_not_the_device(world, embedding, settings):
    split = split_strategies(world.dataset, settings)

    def key(given, vectors=embedding, parts=split):
        return clusters_key(given, world.dataset, vectors, parts)

    base = key(settings)
    fewer = dataclasses.replace(split, train=split.train[1:])
    moved = dataclasses.replace(embedding, students=embedding.students + np.float32(1e-3))

    def changed(**values):
        return settings.model_copy(update={"clusters": settings.clusters.model_copy(update=values)})

    assert key(changed(device="cuda")) == base
    others = [
        key(changed(pairs=7)),
        key(settings.model_copy(update={"seed": 8})),
        key(settings, vectors=moved),
        key(settings, parts=fewer),
    ]
    assert len({base, *others}) == 5


def test_every_attempt_is_named_with_its_clusters(world, found, tables):
    members, _ = tables
    assert members.height == world.dataset.num_attempts
    for name, kind in MEMBER_SCHEMA.items():
        assert members.schema[name] == kind
    assert set(members.columns) == set(CONTRACTS["strategy_clusters"].columns)
    np.testing.assert_array_equal(members["cluster"].to_numpy(), found.attempt_cluster)
    row = 17
    assert members["student_id"][row] == world.dataset.student_ids[world.dataset.student[row]]
    assert members["problem_id"][row] == world.dataset.problem_ids[world.dataset.problem[row]]
    assert members["student_cluster"][row] == found.student_cluster[world.dataset.student[row]]


def test_a_profile_counts_what_its_members_do(world, embedding, found, tables):
    _, profiles = tables
    assert set(profiles.columns) == set(CONTRACTS["cluster_profiles"].columns)
    assert profiles["cluster"].to_list() == list(range(found.num_clusters))
    dataset = world.dataset
    mastery = {(student, kc): value for student, kc, value, _ in embedding.mastery.rows()}
    for profile in profiles.sort("num_attempts", descending=True).head(5).to_dicts():
        rows = np.flatnonzero(found.attempt_cluster == profile["cluster"])
        strategies = [tuple(dataset.strategy(row).tolist()) for row in rows]
        counts = sorted((strategies.count(one) for one in set(strategies)), reverse=True)
        share = np.array(counts) / len(rows)
        assert profile["num_attempts"] == len(rows)
        assert profile["num_students"] == len(set(dataset.student[rows]))
        assert profile["num_problems"] == len(set(dataset.problem[rows]))
        assert profile["num_strategies"] == len(counts)
        assert profile["typical_share"] == pytest.approx(share[0])
        assert profile["entropy"] == pytest.approx(-(share * np.log2(share)).sum())
        typical = tuple(dataset.kc_ids.index(name) for name in profile["typical_strategy"])
        assert strategies.count(typical) == counts[0]
        pairs = {
            (student, kc)
            for row in rows
            for student in [dataset.student[row]]
            for kc in dataset.strategy(row)
        }
        values = {pair: mastery[pair] for pair in pairs if pair in mastery}
        assert profile["mean_mastery"] == pytest.approx(np.mean(list(values.values())))
        of_kc = {
            dataset.kc_ids[kc]: np.mean([value for pair, value in values.items() if pair[1] == kc])
            for kc in {pair[1] for pair in values}
        }
        assert of_kc[profile["strongest_kcs"][0]] == max(of_kc.values())
        assert of_kc[profile["weakest_kcs"][0]] == min(of_kc.values())
        assert not set(profile["strongest_kcs"]) & set(profile["weakest_kcs"])
    assert profiles["symmetry"].is_between(-1, 1).all()
    for name, kind in PROFILE_SCHEMA.items():
        assert profiles.schema[name] == kind


def test_the_map_places_members_around_their_clusters(world, embedding, found, rows):
    points = cluster_map(world.dataset, embedding, found, rows)
    assert dict(points.schema) == MAP_SCHEMA
    students = points.filter(pl.col("kind") == "student")
    assert students.height == (found.student_cluster >= 0).sum()
    middles = students.group_by("cluster").agg(pl.col("x", "y").mean()).sort("cluster")
    centers = points.filter(pl.col("kind") == "student_cluster").sort("cluster")
    np.testing.assert_allclose(centers.select("x", "y").to_numpy(), middles.select("x", "y").to_numpy())
    assert points["mastery"].drop_nulls().is_between(0, 1).all()
    # The first axis shows more than the second, and planted groups lie apart on the plane.
    vectors = embedding.students[found.student_cluster >= 0].astype(float)
    plane = students.select("x", "y").to_numpy()
    assert plane.var(axis=0).sum() > 0.3 * vectors.var(axis=0).sum()


def test_equal_vectors_give_equal_maps(world, embedding, found, rows):
    one, other = (cluster_map(world.dataset, embedding, found, rows) for _ in range(2))
    assert one.equals(other)
