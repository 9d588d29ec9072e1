"""Second-order random walks on weighted graphs, equal for equal seeds on any number of threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edpipe.mastery.walk_graph import Int32, WalkGraph
from edpipe.mastery.walk_kernel import Arrays, walk
from edpipe.progress import Mode, track

WALKS_A_PIECE = 65_536


def random_walks(
    graph: WalkGraph,
    starts: Int32,
    *,
    length: int,
    return_parameter: float = 1.0,
    in_out_parameter: float = 1.0,
    seed: int,
    num_threads: int | None = None,
    progress: Mode = "none",
) -> Int32:
    r"""Walk from each start, biased by where the walk came from.

    From node :math:`v`, reached from :math:`t`, the walk goes to :math:`x` with probability proportional to
    :math:`w(v, x)` times :math:`1/p` if :math:`x = t`, 1 if :math:`x` is adjacent to :math:`t`, and
    :math:`1/q` otherwise; in a bipartite graph the middle case never happens. Where a row has two sides, the
    side is chosen first, with equal chance. The first step knows weights alone.

    Parameters
    ----------
    graph
        Edges and weights.
    starts
        First node of each walk. Shape ``(num_walks,)``.
    length
        Nodes of a walk, at least 1.
    return_parameter, in_out_parameter
        p and q, above 0.
    seed
        Seed, 0 or more.
    num_threads
        Threads; all cores by default. The walks do not depend on it.
    progress
        How the work is shown.

    Returns
    -------
    ndarray
        Nodes; -1 after a node without neighbors. Shape ``(num_walks, length)``.

    Raises
    ------
    ValueError
        If a parameter is out of range or a start is no node.

    References
    ----------
    Grover and Leskovec (2016), "node2vec: scalable feature learning for networks", section 3.2.
    """
    if length < 1 or return_parameter <= 0 or in_out_parameter <= 0:
        raise ValueError(
            "length must be 1 or more, p and q above 0; "
            f"got {length}, {return_parameter}, {in_out_parameter}."
        )
    starts = np.ascontiguousarray(starts, dtype=np.int32)
    if len(starts) and not 0 <= starts.min() <= starts.max() < graph.num_nodes:
        raise ValueError(f"starts must lie in 0 to {graph.num_nodes - 1}.")
    walks = np.empty((len(starts), length), dtype=np.int32)

    arrays = Arrays(graph.rows, graph.slots, graph.neighbors, graph.filters, graph.is_bipartite)

    def fill(first: int) -> int:
        piece = slice(first, min(first + WALKS_A_PIECE, len(starts)))
        walk(
            arrays,
            1.0 / return_parameter,
            1.0 / in_out_parameter,
            starts[piece],
            first,
            np.uint64(seed),
            walks[piece],
        )
        return int(piece.stop - first)

    pieces = range(0, len(starts), WALKS_A_PIECE)
    with (
        track("Walk", total=len(starts), unit="walks", mode=progress) as work,
        ThreadPoolExecutor(num_threads or os.cpu_count()) as pool,
    ):
        for done in pool.map(fill, pieces):
            work.advance(done)
    return walks


def shuffled_starts(graph: WalkGraph, walks_per_node: int, *, seed: int) -> Int32:
    """Return every node that has neighbors ``walks_per_node`` times, each pass in an order of its own.

    Shape ``(num_starts,)``.
    """
    nodes = np.flatnonzero(graph.has_neighbors).astype(np.int32)
    rng = np.random.default_rng([seed, 1])
    return np.concatenate([rng.permutation(nodes) for _ in range(walks_per_node)])
