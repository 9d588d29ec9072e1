"""Random walks go where the exact second-order probabilities say, on any number of threads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chisquare

from edpipe.mastery import walk_kernel
from edpipe.mastery.walk_graph import WalkGraph, walk_graph
from edpipe.mastery.walks import random_walks, shuffled_starts

# Two triangles that share an edge, and a tail: neighbors of a node may be adjacent or not.
EDGES = np.array([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 4), (4, 5)])
WEIGHTS = np.array([1.0, 2.0, 0.5, 3.0, 1.0, 2.5, 1.0])
NUM_NODES = 6


def undirected(edges: np.ndarray, weights: np.ndarray, num_nodes: int, **options: object) -> WalkGraph:
    source, target = np.concatenate([edges, edges[:, ::-1]]).T
    return walk_graph(source, target, np.concatenate([weights, weights]), num_nodes, **options)


def exact(matrix: np.ndarray, previous: int, node: int, p: float, q: float) -> np.ndarray:
    """Return the chances of the next node, straight from the definition."""
    bias = np.where(matrix[previous] > 0, 1.0, 1 / q)
    bias[previous] = 1 / p
    weight = matrix[node] * bias
    return weight / weight.sum()


def dense(edges: np.ndarray, weights: np.ndarray, num_nodes: int) -> np.ndarray:
    matrix = np.zeros((num_nodes, num_nodes))
    np.add.at(matrix, (edges[:, 0], edges[:, 1]), weights)
    return matrix + matrix.T


@pytest.mark.parametrize(
    ("p", "q"), [(1, 1), (0.5, 2), (4, 0.25), (0.02, 1), (50, 1), (1, 0.02), (1, 50), (50, 50), (0.02, 0.02)]
)
def test_steps_follow_the_exact_second_order_probabilities(p, q):
    graph, matrix = undirected(EDGES, WEIGHTS, NUM_NODES), dense(EDGES, WEIGHTS, NUM_NODES)
    starts = np.repeat(np.arange(NUM_NODES), 4000)
    walks = random_walks(graph, starts, length=8, return_parameter=p, in_out_parameter=q, seed=3)
    first = walks[:, :2]
    for node in range(NUM_NODES):
        assert_drawn(first[first[:, 0] == node, 1], matrix[node] / matrix[node].sum())
    triples = np.concatenate([walks[:, step : step + 3] for step in range(6)])
    for previous, node in np.concatenate([EDGES, EDGES[:, ::-1]]):
        seen = triples[(triples[:, 0] == previous) & (triples[:, 1] == node), 2]
        if len(seen) > 1000:
            assert_drawn(seen, exact(matrix, previous, node, p, q))


def assert_drawn(seen: np.ndarray, chance: np.ndarray) -> None:
    counts = np.bincount(seen, minlength=len(chance))
    assert not counts[chance == 0].any()
    possible = chance > 0
    # Rare cells have too few draws for the test's approximation: they are taken together.
    expected = chance[possible] * len(seen)
    order = np.argsort(expected)
    expected, found = expected[order], counts[possible][order]
    rare = max(1, int((expected.cumsum() < 10).sum() + 1))
    expected = np.append(expected[:rare].sum(), expected[rare:])
    found = np.append(found[:rare].sum(), found[rare:])
    if len(expected) > 1:
        assert chisquare(found, expected).pvalue > 1e-5


def test_the_exact_fallback_draws_what_refusals_would(monkeypatch):
    # The way back is nearly the only way and hardly ever accepted: nearly all proposals are refused.
    edges, weights = np.array([(0, 1), (1, 2)]), np.array([1.0, 1e-3])
    graph, matrix = undirected(edges, weights, 3), dense(edges, weights, 3)
    walks = random_walks(graph, np.zeros(20_000), length=3, return_parameter=500, in_out_parameter=1, seed=1)
    assert walk_kernel.MAX_REFUSALS < 500
    assert_drawn(walks[walks[:, 1] == 1, 2], exact(matrix, 0, 1, 500, 1))


def bipartite(seed: int = 0) -> WalkGraph:
    """Two hubs (nodes 5 and 6) between five nodes of one side and four of the other, weights uneven."""
    rng = np.random.default_rng(seed)
    edges = np.array([(side, hub) for hub in (5, 6) for side in (0, 1, 2, 3, 4, 7, 8, 9, 10)])
    weights = rng.random(len(edges)) * np.where(edges[:, 0] < 5, 100, 1)
    return undirected(edges, weights, 11, second_side=7, is_bipartite=True)


@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.25, 4), (4, 0.25)])
def test_each_side_of_a_hub_is_chosen_half_the_time_whatever_the_weights(p, q):
    starts = np.repeat([0, 3, 8, 10], 5000)
    walks = random_walks(bipartite(), starts, length=9, return_parameter=p, in_out_parameter=q, seed=5)
    left_hub = walks[:, 2::2].ravel()
    assert_drawn((left_hub < 5).astype(int), np.array([0.5, 0.5]))


@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.1, 2), (10, 0.5)])
def test_within_a_side_weights_and_the_way_back_decide(p, q):
    graph = bipartite()
    shares = graph.slots.view(np.float32)[:, 3]
    walks = random_walks(graph, np.full(60_000, 2), length=3, return_parameter=p, in_out_parameter=q, seed=6)
    for hub in (5, 6):
        first, middle = graph.rows[hub, 0], graph.rows[hub, 1]
        weight = np.zeros(11)
        weight[graph.neighbors[first:middle]] = shares[first:middle] / q
        weight[2] *= q / p
        seen = walks[(walks[:, 1] == hub) & (walks[:, 2] < 5), 2]
        assert_drawn(seen, weight / weight.sum())


def random_graph(seed: int = 1, num_nodes: int = 500, num_edges: int = 3000) -> WalkGraph:
    rng = np.random.default_rng(seed)
    edges = rng.integers(0, num_nodes, (num_edges, 2))
    return undirected(edges, rng.random(num_edges) + 0.1, num_nodes)


def test_walks_are_the_same_on_any_number_of_threads_and_in_pieces(monkeypatch):
    graph = random_graph()
    starts = shuffled_starts(graph, 3, seed=1)
    options = {"length": 12, "return_parameter": 0.5, "in_out_parameter": 2.0, "seed": 9}
    one = random_walks(graph, starts, num_threads=1, **options)
    monkeypatch.setattr("edpipe.mastery.walks.WALKS_A_PIECE", 101)
    np.testing.assert_array_equal(random_walks(graph, starts, num_threads=2, **options), one)


def test_a_walk_depends_on_seed_and_number_alone():
    graph = random_graph()
    starts = np.arange(200)
    whole = random_walks(graph, starts, length=6, seed=1)
    np.testing.assert_array_equal(random_walks(graph, starts[:50], length=6, seed=1), whole[:50])
    assert (random_walks(graph, starts, length=6, seed=2)[:, 1:] != whole[:, 1:]).mean() > 0.5
    same_start = random_walks(graph, np.zeros(200), length=6, seed=1)
    assert len(np.unique(same_start, axis=0)) > 150


def test_every_step_is_an_edge():
    graph = random_graph()
    walks = random_walks(graph, np.arange(500), length=20, return_parameter=2, in_out_parameter=0.5, seed=4)
    edges = {
        (node, int(neighbor))
        for node in range(500)
        for neighbor in graph.neighbors[graph.rows[node, 0] : graph.rows[node, 2]]
    }
    for walk in walks:
        assert all(pair in edges for pair in pairwise(walk) if pair[1] >= 0)


def test_a_node_without_neighbors_ends_the_walk_and_starts_none():
    graph = walk_graph([0, 1], [1, 2], [1.0, 1.0], 4)
    walks = random_walks(graph, np.array([0, 2, 3]), length=5, seed=1)
    assert walks.tolist() == [[0, 1, 2, -1, -1], [2, -1, -1, -1, -1], [3, -1, -1, -1, -1]]
    assert sorted(shuffled_starts(graph, 2, seed=1)) == [0, 0, 1, 1]


def test_p_near_zero_goes_back_and_forth_and_large_p_only_where_there_is_no_other_way():
    path = undirected(np.array([(0, 1), (1, 2), (2, 3)]), np.ones(3), 4)
    back = random_walks(path, np.zeros(100), length=6, return_parameter=1e-9, seed=1)
    assert back.tolist() == [[0, 1, 0, 1, 0, 1]] * 100
    on = random_walks(path, np.zeros(100), length=6, return_parameter=1e9, seed=1)
    assert on.tolist() == [[0, 1, 2, 3, 2, 1]] * 100


def test_repeated_edges_add_up_and_edges_of_weight_zero_are_none():
    graph = walk_graph([0, 0, 0, 0], [1, 1, 2, 3], [1.0, 2.0, 1.0, 0.0], 4)
    assert graph.neighbors.tolist() == [1, 2]
    np.testing.assert_allclose(graph.slots.view(np.float32)[:, 3], [0.75, 0.25])


def test_alias_slots_hold_the_weights_to_within_rounding():
    rng = np.random.default_rng(2)
    weights = rng.pareto(0.7, 300) + 1e-6
    graph = walk_graph(np.zeros(300, int), np.arange(300), weights, 300)
    chance = graph.slots[:, 2] / 2**31
    total = np.zeros(300)
    np.add.at(total, graph.slots[:, 0], chance / 300)
    np.add.at(total, graph.slots[:, 1], (1 - chance) / 300)
    np.testing.assert_allclose(total, weights / weights.sum(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    "change",
    [{"length": 0}, {"return_parameter": 0.0}, {"in_out_parameter": -1.0}, {"starts": np.array([6])}],
)
def test_what_cannot_be_walked_is_refused(change):
    options = {"starts": np.array([0]), "length": 3, "seed": 1, **change}
    with pytest.raises(ValueError, match="must"):
        random_walks(undirected(EDGES, WEIGHTS, NUM_NODES), options.pop("starts"), **options)


@pytest.mark.parametrize(
    "arguments",
    [([0], [1], [-1.0], 2), ([0], [1], [np.nan], 2), ([0], [2], [1.0], 2)],
    ids=["negative", "not a number", "no such node"],
)
def test_what_is_no_graph_is_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        walk_graph(*arguments)
