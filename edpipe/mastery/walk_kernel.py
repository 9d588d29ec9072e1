"""The compiled loop of random walks: several walks a thread side by side, so that they wait together.

A step needs two places in memory that no cache holds: the row of the node and one slot of its alias table.
Walks of a group are advanced in turn, first all rows, then all slots, and the processor fetches for many at
once what one walk would wait for.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edpipe.mastery.walk_graph import ALIAS_SCALE, Int32

UInt64 = NDArray[np.uint64]
GROUP = 32
# After so many refusals the step is drawn from the weights of the whole row: the same distribution.
MAX_REFUSALS = 64
NOWHERE = -1

# SplitMix64 (Steele, Lea and Flood 2014): a counter and a mixing function, so any walk starts anywhere.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR = np.uint64(0x94D049BB133111EB)
UNIT = 1.0 / 2**53


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


@njit(nogil=True)
def _from_whole_row(
    rows: Int32,
    slots: Int32,
    shares: NDArray[np.float32],
    neighbors: Int32,
    first: int,
    end: int,
    previous: int,
    return_bias: float,
    out_bias: float,
    is_bipartite: bool,
    unit: float,
) -> int:
    """Draw a neighbor by the exact second-order weights of one side."""
    total = 0.0
    for turn in range(2):
        left = unit * total
        for edge in range(first, end):
            node: int = slots[edge, 0]
            bias = out_bias
            if node == previous:
                bias = return_bias
            elif not is_bipartite and _is_adjacent(rows, neighbors, previous, node):
                bias = 1.0
            if turn == 0:
                total += shares[edge, 3] * bias
            else:
                left -= shares[edge, 3] * bias
                if left < 0:
                    return node
    return node


@njit(nogil=True)
def _second_order(
    rows: Int32,
    slots: Int32,
    shares: NDArray[np.float32],
    neighbors: Int32,
    first: int,
    end: int,
    proposed: int,
    previous: int,
    return_bias: float,
    out_bias: float,
    is_bipartite: bool,
    state: np.uint64,
) -> tuple[int, np.uint64]:
    """Accept the proposed neighbor or draw others until one is accepted; return it and the counter.

    Neighbors are proposed by weight and accepted with their bias over the largest one. A large bias of the
    way back would make all others rare, so what it exceeds the rest by is a choice of its own.
    """
    largest = out_bias if is_bipartite else max(1.0, out_bias)
    surely = out_bias if is_bipartite else min(1.0, out_bias)
    excess = 0.0
    if return_bias > largest:
        back = _place(neighbors, first, end, previous)
        if back != NOWHERE:
            excess = shares[back, 3] * (return_bias - largest)
    size = np.uint64(end - first)
    for _ in range(MAX_REFUSALS):
        state += GAMMA
        level = _unit(mixed(state)) * (largest + excess)
        if level >= largest:
            return previous, state
        if proposed == previous:
            if level < return_bias:
                return proposed, state
        elif level < surely:
            return proposed, state
        elif not is_bipartite:
            bias = 1.0 if _is_adjacent(rows, neighbors, previous, proposed) else out_bias
            if level < bias:
                return proposed, state
        state += GAMMA
        bits = mixed(state)
        slot = first + np.int64(((bits >> np.uint64(32)) * size) >> np.uint64(32))
        is_own = np.int64((bits >> np.uint64(1)) & np.uint64(ALIAS_SCALE - 1)) < slots[slot, 2]
        proposed = slots[slot, 0] if is_own else slots[slot, 1]
    state += GAMMA
    unit = _unit(mixed(state))
    found = _from_whole_row(
        rows, slots, shares, neighbors, first, end, previous, return_bias, out_bias, is_bipartite, unit
    )
    return found, state


@njit(cache=True, nogil=True)
def walk(
    rows: Int32,
    slots: Int32,
    neighbors: Int32,
    is_bipartite: bool,
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
    rows, slots, neighbors, is_bipartite
        A :class:`~edpipe.mastery.walk_graph.WalkGraph`.
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
    shares = slots.view(np.float32)
    is_first_order = return_bias == out_bias and (is_bipartite or out_bias == 1.0)
    current = np.empty(GROUP, dtype=np.int32)
    previous = np.empty(GROUP, dtype=np.int32)
    low = np.empty(GROUP, dtype=np.int32)
    high = np.empty(GROUP, dtype=np.int32)
    chosen = np.empty(GROUP, dtype=np.int32)
    threshold = np.empty(GROUP, dtype=np.int32)
    states = np.empty(GROUP, dtype=np.uint64)
    for base in range(0, num_walks, GROUP):
        count = min(GROUP, num_walks - base)
        for lane in range(count):
            current[lane] = starts[base + lane]
            previous[lane] = NOWHERE
            walks[base + lane, 0] = current[lane]
            states[lane] = mixed(seed + mixed(np.uint64(first_walk + base + lane) * GAMMA))
        for step in range(1, length):
            for lane in range(count):
                node = current[lane]
                if node == NOWHERE:
                    low[lane] = high[lane] = 0
                    continue
                states[lane] += GAMMA
                bits = mixed(states[lane])
                first, middle, end = rows[node, 0], rows[node, 1], rows[node, 2]
                is_second = middle == first or (middle != end and (bits & np.uint64(1)) != 0)
                low[lane] = middle if is_second else first
                high[lane] = end if is_second else middle
                size = np.uint64(high[lane] - low[lane])
                chosen[lane] = low[lane] + np.int32(((bits >> np.uint64(32)) * size) >> np.uint64(32))
                threshold[lane] = np.int32((bits >> np.uint64(1)) & np.uint64(ALIAS_SCALE - 1))
            for lane in range(count):
                if low[lane] == high[lane]:
                    chosen[lane] = NOWHERE
                    continue
                slot = chosen[lane]
                chosen[lane] = slots[slot, 0] if threshold[lane] < slots[slot, 2] else slots[slot, 1]
            for lane in range(count):
                proposed = chosen[lane]
                if not is_first_order and step > 1 and proposed != NOWHERE:
                    proposed, states[lane] = _second_order(
                        rows,
                        slots,
                        shares,
                        neighbors,
                        low[lane],
                        high[lane],
                        proposed,
                        previous[lane],
                        return_bias,
                        out_bias,
                        is_bipartite,
                        states[lane],
                    )
                previous[lane] = current[lane]
                current[lane] = proposed
                walks[base + lane, step] = proposed
