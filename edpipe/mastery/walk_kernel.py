"""The compiled loop of random walks: several walks a thread side by side, so that they wait together.

A step needs two places in memory that no cache holds: the row of the node and one slot of its alias table.
Walks of a group are advanced in turn, first all rows, then all slots, and the processor fetches for many at
once what one walk would wait for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edpipe.mastery.walk_graph import ALIAS_SCALE, Int32, UInt64, filter_place, filter_words

GROUP = 64
# After so many refusals the step is drawn from the weights of the whole row: the same distribution.
MAX_REFUSALS = 64
NOWHERE = -1

# SplitMix64 (Steele, Lea and Flood 2014): a counter and a mixing function, so any walk starts anywhere.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR = np.uint64(0x94D049BB133111EB)
UNIT = 1.0 / 2**53


class Arrays(NamedTuple):
    """The arrays of a :class:`~edpipe.mastery.walk_graph.WalkGraph`."""

    rows: Int32
    slots: Int32
    neighbors: Int32
    filters: UInt64
    is_bipartite: bool


class Biases(NamedTuple):
    """What a proposal is accepted with."""

    way_back: float
    away: float
    largest: float  # of all neighbors but the way back
    excess: float  # of the way back over it


class Lanes(NamedTuple):
    """The walks of a group, side by side. Shapes ``(GROUP,)``."""

    current: Int32
    previous: Int32
    low: Int32  # the chosen side of the row of `current`
    high: Int32
    slot: Int32
    threshold: Int32
    proposed: Int32
    level: NDArray[np.float64]  # levels are drawn below this
    waiting: Int32  # lanes without a next node
    states: UInt64  # counters of the random numbers


@njit(inline="always")
def mixed(value: np.uint64) -> np.uint64:
    """Return 64 bits that look random, of a counter."""
    value = (value ^ (value >> np.uint64(30))) * FIRST_FACTOR
    value = (value ^ (value >> np.uint64(27))) * SECOND_FACTOR
    return value ^ (value >> np.uint64(31))


@njit(inline="always")
def _unit(bits: np.uint64) -> float:
    """Return a number in [0, 1) of 64 bits."""
    return np.float64(np.int64(bits >> np.uint64(11))) * UNIT


@njit(inline="always")
def _place(neighbors: Int32, first: int, end: int, node: int) -> int:
    """Return where ``node`` stands between two offsets, or -1."""
    low: int = first
    high = end
    while low < high:
        middle = (low + high) >> 1
        if neighbors[middle] < node:
            low = middle + 1
        else:
            high = middle
    return low if low < end and neighbors[low] == node else NOWHERE


@njit(inline="always")
def _is_adjacent(rows: Int32, neighbors: Int32, node: int, other: int) -> bool:
    first, middle, end = rows[node, 0], rows[node, 1], rows[node, 2]
    return (
        _place(neighbors, first, middle, other) != NOWHERE or _place(neighbors, middle, end, other) != NOWHERE
    )


@njit(inline="always")
def _may_be_adjacent(graph: Arrays, node: int, other: int) -> bool:
    """Ask the filter of a node that has been left, so it has neighbors."""
    num_words = filter_words(graph.rows[node, 2] - graph.rows[node, 0])
    word, bit = filter_place(other, num_words)
    return bool((graph.filters[graph.rows[node, 3] + word] & bit) != 0)


@njit(nogil=True)
def _choose_sides(rows: Int32, biases: Biases, lanes: Lanes, count: int) -> int:
    """Look up the rows of all lanes and choose a side; return how many lanes can go on."""
    largest_share = rows.view(np.float32)
    num_waiting = 0
    for lane in range(count):
        lanes.proposed[lane] = NOWHERE
        node = lanes.current[lane]
        if node == NOWHERE:
            continue
        first, middle, end = rows[node, 0], rows[node, 1], rows[node, 2]
        lanes.states[lane] += GAMMA
        is_heads = (mixed(lanes.states[lane]) >> np.uint64(63)) != 0
        side = 1 if middle == first or (middle != end and is_heads) else 0
        lanes.low[lane] = middle if side else first
        lanes.high[lane] = end if side else middle
        lanes.level[lane] = biases.largest + biases.excess * largest_share[node, 4 + side]
        lanes.waiting[num_waiting] = lane
        num_waiting += first != end
    return num_waiting


@njit(inline="always")
def _propose(slots: Int32, lanes: Lanes, num_waiting: int) -> None:
    """Propose a neighbor by weight to every waiting lane."""
    for place in range(num_waiting):
        lane = lanes.waiting[place]
        lanes.states[lane] += GAMMA
        bits = mixed(lanes.states[lane])
        size = np.uint64(lanes.high[lane] - lanes.low[lane])
        lanes.slot[lane] = lanes.low[lane] + np.int32(((bits >> np.uint64(32)) * size) >> np.uint64(32))
        lanes.threshold[lane] = np.int32(bits & np.uint64(ALIAS_SCALE - 1))
    for place in range(num_waiting):
        lane = lanes.waiting[place]
        slot = lanes.slot[lane]
        is_own = lanes.threshold[lane] < slots[slot, 2]
        lanes.proposed[lane] = slots[slot, 0] if is_own else slots[slot, 1]


@njit(inline="always")
def _accept(graph: Arrays, biases: Biases, lanes: Lanes, num_waiting: int) -> int:
    """Accept each proposal with its bias over the largest one; return how many lanes still wait.

    A large bias of the way back would make all others rare, so what it exceeds the rest by is a level of its
    own, bounded by the largest share of the row; only a draw that falls there looks up what the share is.
    """
    shares = graph.slots.view(np.float32)
    still = 0
    for place in range(num_waiting):
        lane = lanes.waiting[place]
        node, before = lanes.proposed[lane], lanes.previous[lane]
        lanes.states[lane] += GAMMA
        level = _unit(mixed(lanes.states[lane])) * lanes.level[lane]
        bias = biases.away
        if not graph.is_bipartite and _may_be_adjacent(graph, before, node):
            bias = 1.0 if _is_adjacent(graph.rows, graph.neighbors, before, node) else bias
        if node == before:
            bias = min(biases.way_back, biases.largest)
        is_accepted = level < bias
        if level >= biases.largest:
            back = _place(graph.neighbors, lanes.low[lane], lanes.high[lane], before)
            if back != NOWHERE and level - biases.largest < biases.excess * shares[back, 3]:
                lanes.proposed[lane] = before
                is_accepted = True
        lanes.waiting[still] = lane
        still += not is_accepted
    return still


@njit(nogil=True)
def _from_whole_rows(graph: Arrays, biases: Biases, lanes: Lanes, num_waiting: int) -> None:
    """Draw by the exact second-order weights of the whole side, for lanes refused too often."""
    shares = graph.slots.view(np.float32)
    for place in range(num_waiting):
        lane = lanes.waiting[place]
        before = lanes.previous[lane]
        lanes.states[lane] += GAMMA
        unit = _unit(mixed(lanes.states[lane]))
        total, left = 0.0, 1.0
        for turn in range(2):
            if turn == 1:
                left = unit * total
            for edge in range(lanes.low[lane], lanes.high[lane]):
                node = graph.neighbors[edge]
                bias = biases.away
                if node == before:
                    bias = biases.way_back
                elif not graph.is_bipartite and _is_adjacent(graph.rows, graph.neighbors, before, node):
                    bias = 1.0
                if turn == 0:
                    total += shares[edge, 3] * bias
                elif left >= 0:
                    left -= shares[edge, 3] * bias
                    lanes.proposed[lane] = node


@njit(cache=True, nogil=True)
def walk(
    graph: Arrays,
    return_bias: float,
    out_bias: float,
    starts: Int32,
    first_walk: int,
    seed: np.uint64,
    walks: Int32,
) -> None:
    """Fill ``walks`` with walks from ``starts``; nodes after a dead end are -1.

    Parameters
    ----------
    graph
        Edges and weights.
    return_bias, out_bias
        Factors of the weight of the way back, and of nodes that are not adjacent to the one before: 1 / p
        and 1 / q.
    starts
        First node of each walk. Shape ``(num_walks,)``.
    first_walk
        Number of the first walk: walk ``i`` depends on the seed and ``first_walk + i`` alone.
    seed
        Seed.
    walks
        Shape ``(num_walks, length)``; written.
    """
    num_walks, length = walks.shape
    largest = out_bias if graph.is_bipartite else max(1.0, out_bias)
    biases = Biases(return_bias, out_bias, largest, max(return_bias - largest, 0.0))
    is_first_order = return_bias == out_bias and (graph.is_bipartite or out_bias == 1.0)
    whole = np.empty((8, GROUP), dtype=np.int32)
    lanes = Lanes(
        whole[0],
        whole[1],
        whole[2],
        whole[3],
        whole[4],
        whole[5],
        whole[6],
        np.empty(GROUP),
        whole[7],
        np.empty(GROUP, dtype=np.uint64),
    )
    for base in range(0, num_walks, GROUP):
        count = min(GROUP, num_walks - base)
        for lane in range(count):
            lanes.current[lane] = starts[base + lane]
            lanes.previous[lane] = NOWHERE
            walks[base + lane, 0] = starts[base + lane]
            lanes.states[lane] = mixed(seed + mixed(np.uint64(first_walk + base + lane) * GAMMA))
        for step in range(1, length):
            num_waiting = _choose_sides(graph.rows, biases, lanes, count)
            for _ in range(MAX_REFUSALS):
                if num_waiting == 0:
                    break
                _propose(graph.slots, lanes, num_waiting)
                is_plain = is_first_order or step == 1
                num_waiting = 0 if is_plain else _accept(graph, biases, lanes, num_waiting)
            _from_whole_rows(graph, biases, lanes, num_waiting)
            for lane in range(count):
                lanes.previous[lane] = lanes.current[lane]
                lanes.current[lane] = lanes.proposed[lane]
                walks[base + lane, step] = lanes.proposed[lane]
