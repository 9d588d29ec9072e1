"""Walks on any graph: along edges, independent of threads and pieces, and where the definition says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edpipe.mastery.walk_graph import WalkGraph, walk_graph
from edpipe.mastery.walks import random_walks


@st.composite
def graphs(draw: st.DrawFn) -> tuple[WalkGraph, np.ndarray]:
    """Draw a directed graph of up to 12 nodes with dead ends and loops, and its matrix of weights."""
    num_nodes = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    is_edge = rng.random((num_nodes, num_nodes)) < draw(st.floats(0, 1))
    matrix = np.where(is_edge, rng.pareto(1.0, (num_nodes, num_nodes)) + 1e-3, 0)
    source, target = np.nonzero(matrix)
    side = draw(st.one_of(st.none(), st.integers(0, num_nodes)))
    return walk_graph(source, target, matrix[source, target], num_nodes, second_side=side), matrix


parameters = st.floats(0.01, 100)


@settings(deadline=None, max_examples=60)
@given(graphs(), parameters, parameters, st.integers(1, 9), st.integers(0, 2**31))
def test_walks_go_along_edges_and_end_at_dead_ends_only(case, p, q, length, seed):
    graph, matrix = case
    starts = np.arange(graph.num_nodes)
    walks = random_walks(graph, starts, length=length, return_parameter=p, in_out_parameter=q, seed=seed)
    assert walks.shape == (len(starts), length)
    assert (walks[:, 0] == starts).all()
    for here, there in zip(walks[:, :-1].ravel(), walks[:, 1:].ravel(), strict=True):
        if there >= 0:
            assert matrix[here, there] > 0
        else:
            assert here < 0 or not matrix[here].any()


@settings(deadline=None, max_examples=30)
@given(graphs(), parameters, parameters, st.integers(0, 2**31), st.integers(1, 3))
def test_a_walk_depends_on_its_number_and_seed_alone(case, p, q, seed, num_threads):
    graph, _ = case
    starts = np.tile(np.arange(graph.num_nodes), 20)
    options = {"length": 6, "return_parameter": p, "in_out_parameter": q, "seed": seed}
    whole = random_walks(graph, starts, num_threads=num_threads, **options)
    np.testing.assert_array_equal(random_walks(graph, starts[:7], num_threads=1, **options), whole[:7])


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_alias_slots_and_filters_hold_what_the_matrix_holds(case):
    graph, matrix = case
    shares = graph.slots.view(np.float32)[:, 3]
    for node in range(graph.num_nodes):
        first, middle, end = graph.rows[node, :3]
        assert graph.neighbors[first:end].tolist() == np.flatnonzero(matrix[node]).tolist()
        for begin, stop in ((first, middle), (middle, end)):
            weight = matrix[node, graph.neighbors[begin:stop]]
            if not len(weight):
                continue
            np.testing.assert_allclose(shares[begin:stop], weight / weight.sum(), rtol=1e-5)
            own = graph.slots[begin:stop, 2] / 2**31
            drawn = np.zeros(graph.num_nodes)
            np.add.at(drawn, graph.slots[begin:stop, 0], own / len(weight))
            np.add.at(drawn, graph.slots[begin:stop, 1], (1 - own) / len(weight))
            np.testing.assert_allclose(
                drawn[graph.neighbors[begin:stop]], weight / weight.sum(), rtol=1e-4, atol=1e-8
            )
