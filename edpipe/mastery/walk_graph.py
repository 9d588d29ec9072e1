"""Weighted graphs laid out for walks: compressed rows, and alias tables that draw a neighbor in one look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
UInt64 = NDArray[np.uint64]
# Thresholds of the alias tables are whole numbers below this.
ALIAS_SCALE = 2**31
FILTER_WORD = 64
# 16 bits an edge: six in a hundred nodes that are not adjacent pass for adjacent and are looked up.
EDGES_A_WORD = 4
# 2**64 over the golden ratio: multiplying by it scatters neighbors (Knuth).
SCATTER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class WalkGraph:
    """Directed weighted edges by source.

    A row of neighbors has one side, or two between which a walk chooses with equal chance before it looks at
    weights.

    Attributes
    ----------
    rows
        Of each node where its edges begin, where the second side begins, where they end, where its filter
        begins, and the bits of the largest share of each side as float32. Shape ``(num_nodes, 8)``; two
        columns of padding keep a row in one cache line.
    slots
        Of each edge the neighbor, the other neighbor of the alias slot, the threshold of the slot, and the
        bits of the edge's float32 share in the weight of its side. Shape ``(num_edges, 4)``.
    neighbors
        Neighbors alone, rising within a row: what tells whether two nodes are adjacent.
        Shape ``(num_edges,)``.
    filters
        Of each node a Bloom filter of its neighbors, with one hash and :data:`FILTER_WORD` bits for every
        :data:`EDGES_A_WORD` edges: answers nearly every "not adjacent" with one look. Empty where nothing
        is asked.
    is_bipartite
        Whether neighbors of a node are never adjacent, so that walks need not ask.
    """

    rows: Int32
    slots: Int32
    neighbors: Int32
    filters: UInt64
    is_bipartite: bool

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return len(self.rows)

    @property
    def num_edges(self) -> int:
        """Number of directed edges."""
        return len(self.neighbors)

    @property
    def has_neighbors(self) -> NDArray[np.bool_]:
        """Nodes that a walk can leave. Shape ``(num_nodes,)``."""
        return self.rows[:, 2] > self.rows[:, 0]


def walk_graph(
    source: NDArray[Any],
    target: NDArray[Any],
    weight: NDArray[Any],
    num_nodes: int,
    *,
    second_side: int | None = None,
    is_bipartite: bool = False,
) -> WalkGraph:
    """Lay out edges for walks.

    Parameters
    ----------
    source, target
        Ends of each directed edge, from 0; an undirected edge is given both ways. Repeated edges add up.
        Shape ``(num_edges,)``.
    weight
        Weights, 0 or more; edges of weight 0 are left out. Shape ``(num_edges,)``.
    num_nodes
        Number of nodes.
    second_side
        First node of the second side of every row; by default rows have one side.
    is_bipartite
        Promise that neighbors of a node are never adjacent.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or a node is out of range.
    """
    from scipy.sparse import coo_array

    weight = np.asarray(weight, dtype=np.float64)
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError("weights must be finite and 0 or more.")
    ends = (np.asarray(source), np.asarray(target))
    if any(end.size and not 0 <= end.min() <= end.max() < num_nodes for end in ends):
        raise ValueError(f"nodes must lie in 0 to {num_nodes - 1}.")
    matrix = coo_array((weight, ends), shape=(num_nodes, num_nodes)).tocsr()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    starts, neighbors = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
    if starts[-1] >= ALIAS_SCALE:
        raise ValueError(f"at most {ALIAS_SCALE - 1} edges; got {starts[-1]}.")
    rows, slots = _lay_out(starts, neighbors, matrix.data, num_nodes if second_side is None else second_side)
    filters = np.zeros(0, dtype=np.uint64) if is_bipartite else _fill_filters(rows, neighbors)
    return WalkGraph(rows, slots, neighbors, filters, is_bipartite)


@njit(inline="always")
def filter_words(num_neighbors: int) -> int:
    """Return the number of words of a node's filter."""
    return (num_neighbors + EDGES_A_WORD - 1) // EDGES_A_WORD


@njit(inline="always")
def filter_place(node: int, num_words: int) -> tuple[int, np.uint64]:
    """Return the word of a filter that ``node`` falls into, and its bit."""
    scattered = np.uint64(node) * SCATTER
    word: int = int(((scattered >> np.uint64(32)) * np.uint64(num_words)) >> np.uint64(32))
    # The word is chosen by the highest bits, the bit within it by others.
    return word, np.uint64(1) << ((scattered >> np.uint64(20)) & np.uint64(FILTER_WORD - 1))


@njit(cache=True, nogil=True)
def _fill_filters(rows: Int32, neighbors: Int32) -> UInt64:
    """Write where the filter of each node begins, and return all filters."""
    size = 0
    for node in range(len(rows)):
        rows[node, 3] = size
        size += filter_words(rows[node, 2] - rows[node, 0])
    filters = np.zeros(size, dtype=np.uint64)
    for node in range(len(rows)):
        num_words = filter_words(rows[node, 2] - rows[node, 0])
        for edge in range(rows[node, 0], rows[node, 2]):
            word, bit = filter_place(neighbors[edge], num_words)
            filters[rows[node, 3] + word] |= bit
    return filters


@njit(cache=True, nogil=True)
def _lay_out(
    starts: NDArray[np.int64], neighbors: Int32, weights: NDArray[np.float64], second_side: int
) -> tuple[Int32, Int32]:
    num_nodes = len(starts) - 1
    rows = np.zeros((num_nodes, 8), dtype=np.int32)
    largest = rows.view(np.float32)
    slots = np.empty((len(neighbors), 4), dtype=np.int32)
    shares = slots.view(np.float32)
    longest = 0
    for node in range(num_nodes):
        longest = max(longest, starts[node + 1] - starts[node])
    room = np.empty(longest)
    queue = np.empty(longest, dtype=np.int64)
    for node in range(num_nodes):
        first, end = starts[node], starts[node + 1]
        middle = first + np.searchsorted(neighbors[first:end], second_side)
        rows[node, 0] = first
        rows[node, 1] = middle
        rows[node, 2] = end
        for side, begin, stop in ((0, first, middle), (1, middle, end)):
            _fill_slots(begin, stop, neighbors, weights, slots, shares, room, queue)
            for edge in range(begin, stop):
                largest[node, 4 + side] = max(largest[node, 4 + side], shares[edge, 3])
    return rows, slots


@njit(cache=True, nogil=True)
def _fill_slots(
    first: int,
    end: int,
    neighbors: Int32,
    weights: NDArray[np.float64],
    slots: Int32,
    shares: NDArray[np.float32],
    room: NDArray[np.float64],
    queue: NDArray[np.int64],
) -> None:
    """Build the alias table of one side: each slot is one neighbor's up to a threshold, then another's."""
    size = end - first
    total = 0.0
    for edge in range(first, end):
        total += weights[edge]
    small, large = 0, size  # a stack from the left and one from the right
    for place in range(size):
        edge = first + place
        slots[edge, 0] = neighbors[edge]
        slots[edge, 1] = neighbors[edge]
        slots[edge, 2] = ALIAS_SCALE - 1
        shares[edge, 3] = weights[edge] / total
        room[place] = weights[edge] / total * size
        if room[place] < 1:
            queue[small] = place
            small += 1
        else:
            large -= 1
            queue[large] = place
    while small > 0 and large < size:
        small -= 1
        little = queue[small]
        much = queue[large]
        slots[first + little, 1] = neighbors[first + much]
        slots[first + little, 2] = min(int(room[little] * ALIAS_SCALE), ALIAS_SCALE - 1)
        room[much] -= 1 - room[little]
        if room[much] < 1:
            # The freed place of the left stack lies left of both stacks' contents.
            large += 1
            queue[small] = much
            small += 1
