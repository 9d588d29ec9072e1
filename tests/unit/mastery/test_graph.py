"""The graph holds co-occurrences of training attempts, those of students weighted by mastery."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from strategy_data import Planted, planted

from edpipe.datasets.strategy_splits import split_strategies
from edpipe.mastery.estimate import MASTERY_SCHEMA, Mastery
from edpipe.mastery.graph import LEAST_MASTERY, mastery_edges, mastery_graph, mastery_walk_graph
from edpipe.mastery.running_mean import running_mean
from edpipe.setting_groups import EmbeddingSettings
from edpipe.settings import load_settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=30)


@pytest.fixture(scope="module")
def rows(world: Planted, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return split_strategies(world.dataset, load_settings("smoke", home=tmp_path_factory.mktemp("home"))).train


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_weights_are_those_of_a_slow_count(world, rows, exponent):
    mastery = running_mean(world.dataset, rows)
    of_pair = {(student, kc): value for student, kc, value, _ in mastery.values.rows()}
    students: dict[tuple[int, int], float] = {}
    problems: dict[tuple[int, int], float] = {}
    chosen = set(rows.tolist())
    for attempt, kc, steps in world.dataset.observations.select("attempt", "kc", "num_steps").rows():
        if attempt in chosen:
            student, problem = int(world.dataset.student[attempt]), int(world.dataset.problem[attempt])
            students[student, kc] = students.get((student, kc), 0) + steps
            problems[problem, kc] = problems.get((problem, kc), 0) + steps
    edges = mastery_edges(world.dataset, rows, mastery, mastery_exponent=exponent)
    found = dict(zip(zip(edges.student, edges.student_kc, strict=True), edges.student_weight, strict=True))
    expected = {pair: count * of_pair[pair] ** exponent for pair, count in students.items()}
    assert found == pytest.approx(expected)
    found = dict(zip(zip(edges.problem, edges.problem_kc, strict=True), edges.problem_weight, strict=True))
    assert found == pytest.approx(problems)


def test_a_pair_without_mastery_has_the_mean_of_the_kc_and_none_is_cut_off(world, rows):
    nothing = pl.DataFrame(schema=MASTERY_SCHEMA)
    mean = np.linspace(0, 1, world.dataset.num_kcs)
    plain = mastery_edges(world.dataset, rows, Mastery(nothing, mean, "none"), mastery_exponent=0)
    edges = mastery_edges(world.dataset, rows, Mastery(nothing, mean, "none"))
    expected = plain.student_weight * np.maximum(mean[edges.student_kc], LEAST_MASTERY)
    np.testing.assert_allclose(edges.student_weight, expected)
    assert (edges.student_weight > 0).all()


def test_the_walk_graph_numbers_what_training_met_and_splits_the_rows_of_kcs(world, rows):
    edges = mastery_edges(world.dataset, rows, running_mean(world.dataset, rows))
    nodes = mastery_walk_graph(edges)
    graph = nodes.graph
    assert nodes.students.tolist() == sorted(set(world.dataset.student[rows]))
    assert nodes.problems.tolist() == sorted(set(world.dataset.problem[rows]))
    assert graph.num_nodes == len(nodes.students) + len(nodes.kcs) + len(nodes.problems)
    assert graph.has_neighbors.all()
    shares = graph.slots.view(np.float32)[:, 3]
    first_kc, first_problem = len(nodes.students), len(nodes.students) + len(nodes.kcs)
    for place, kc in enumerate(nodes.kcs):
        begin, middle, end = graph.rows[first_kc + place, :3]
        assert (graph.neighbors[begin:middle] < first_kc).all()
        assert (graph.neighbors[middle:end] >= first_problem).all()
        weight = edges.student_weight[edges.student_kc == kc]
        np.testing.assert_allclose(shares[begin:middle], weight / weight.sum(), rtol=1e-5)
        weight = edges.problem_weight[edges.problem_kc == kc]
        np.testing.assert_allclose(shares[middle:end], weight / weight.sum(), rtol=1e-5)


def test_hetero_data_holds_the_same_edges_both_ways(world, rows):
    mastery = running_mean(world.dataset, rows)
    data = mastery_graph(world.dataset, rows, mastery, EmbeddingSettings())
    edges = mastery_edges(world.dataset, rows, mastery)
    data.validate(raise_on_error=True)
    assert data.node_types == ["student", "kc", "problem"]
    assert data["student"].num_nodes == world.dataset.num_students
    there, back = data["student", "practices", "kc"], data["kc", "practiced_by", "student"]
    assert there.edge_index.tolist() == [edges.student.tolist(), edges.student_kc.tolist()]
    assert back.edge_index.flip(0).tolist() == there.edge_index.tolist()
    np.testing.assert_allclose(there.edge_weight, edges.student_weight, rtol=1e-6)
    used = data["kc", "used_in", "problem"]
    assert used.edge_index.tolist() == [edges.problem_kc.tolist(), edges.problem.tolist()]
    assert data["problem", "uses", "kc"].edge_weight.tolist() == used.edge_weight.tolist()
