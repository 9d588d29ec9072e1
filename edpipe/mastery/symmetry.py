"""How alike two strategies are: the same KCs in the same order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from edpipe.datasets.strategy import Ints, Places
from edpipe.mastery.dp_means_kernels import Floats
from edpipe.mastery.embedding import Vectors

LONGEST_WAVE = 10_000.0
MOST_KCS = 8192  # of so many KCs all products are kept, 256 MiB; of more, each is computed where needed


@dataclass(frozen=True, slots=True, eq=False)
class Strategies:
    """Strategies side by side, and the vectors of their KCs.

    Attributes
    ----------
    kcs, start
        KC codes; those of strategy ``i`` are ``kcs[start[i]:start[i + 1]]``, at least one.
    kc_vectors
        Shape ``(num_kcs, dim)``, of length 1 or 0.
    """

    kcs: Ints
    start: Places
    kc_vectors: Vectors


def symmetry(strategies: Strategies, first: Places, second: Places, *, is_relative: bool = False) -> Floats:
    r"""Return how symmetric pairs of strategies are.

    A KC at place :math:`r` is its vector, of length :math:`\sqrt d`, beside the sinusoids of the place:
    :math:`x_r`. Its matches in the other strategy are :math:`S_{rq} = \mathrm{softmax}_q(x_r \cdot y_q /
    \sqrt d)`, with one more column that stands for no match and has half the logit of :math:`x_r` with
    itself. The best match :math:`b_r` weighs :math:`w_r = \max_q S_{rq} - \mathrm{mean}_q S_{rq}`, or 0 where
    that is negative. It counts for the pair if it lies behind the one before, :math:`b_r > b_{r-1}`, and
    against it otherwise: :math:`(\sum_{\text{in order}} w_r - \sum_{\text{out of order}} w_r) / m`, averaged
    over both directions. Without the column a strategy of one KC would match anything and weigh nothing.
    Vector and sinusoids stand side by side and are not added: products of a KC with a place mean nothing, and
    with them a KC could match another place better than its own.

    Parameters
    ----------
    strategies
        Strategies.
    first, second
        Places of the strategies of each pair. Shape ``(num_pairs,)``.
    is_relative
        Divide by the geometric mean of each strategy's score with itself: 1 for equal strategies, however
        long they are.

    Returns
    -------
    ndarray
        In (-1, 1), with ``is_relative`` in [-1, 1]. Shape ``(num_pairs,)``.
    """
    first, second = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    used, kcs = np.unique(strategies.kcs, return_inverse=True)
    kcs = kcs.astype(np.int64)
    dim = strategies.kc_vectors.shape[1]
    vectors = strategies.kc_vectors[used].astype(np.float64) * np.sqrt(dim)
    start = np.asarray(strategies.start, dtype=np.int64)
    longest = int(np.diff(start).max(initial=1))
    waves = _sinusoids(longest, dim)
    products = vectors @ vectors.T if len(used) <= MOST_KCS else np.zeros((0, 0))
    tables = (kcs, start, vectors, products, waves @ waves.T)
    found: Floats = _symmetry(first, second, *tables)
    if not is_relative:
        return found
    asked, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    alone = _symmetry(asked, asked, *tables)[place]
    scale = np.sqrt(alone[: len(first)] * alone[len(first) :])
    relative: Floats = np.clip(found / scale, -1.0, 1.0)
    return relative


def _sinusoids(length: int, dim: int) -> Floats:
    """Return the sinusoids of places from 0. Shape ``(length, dim)``."""
    axis = np.arange(dim)
    angle = np.arange(length)[:, None] / LONGEST_WAVE ** (2 * (axis // 2) / dim)
    waves: Floats = np.where(axis % 2 == 0, np.sin(angle), np.cos(angle))
    return waves


@njit(cache=True)
def _one_way(
    one: Places, other: Places, vectors: Floats, products: Floats, places: Floats
) -> float:  # pragma: no cover
    dim = vectors.shape[1]
    scale = 1 / np.sqrt(dim)
    logits = np.empty(len(other))
    score = 0.0
    before = -1
    for row in range(len(one)):
        itself = places[row, row]
        for axis in range(dim):
            itself += vectors[one[row], axis] ** 2
        no_match = itself * scale / 2
        best, most = 0, -np.inf
        for column in range(len(other)):
            if len(products):
                product = products[one[row], other[column]]
            else:
                product = 0.0
                for axis in range(dim):
                    product += vectors[one[row], axis] * vectors[other[column], axis]
            logits[column] = (product + places[row, column]) * scale
            # Copies of a KC differ in place only; rounding must not decide between equals.
            if logits[column] > most + 1e-12:
                best, most = column, logits[column]
        top = max(most, no_match)
        total = np.exp(no_match - top)
        for column in range(len(other)):
            total += np.exp(logits[column] - top)
        weight = max(np.exp(most - top) / total - 1 / (len(other) + 1), 0.0)
        score += weight if best > before else -weight
        before = best
    return score / len(one)


@njit(cache=True, parallel=True)
def _symmetry(
    first: Places,
    second: Places,
    kcs: Places,
    start: Places,
    vectors: Floats,
    products: Floats,
    places: Floats,
) -> Floats:  # pragma: no cover
    found = np.empty(len(first))
    for pair in prange(len(first)):
        one = kcs[start[first[pair]] : start[first[pair] + 1]]
        other = kcs[start[second[pair]] : start[second[pair] + 1]]
        there = _one_way(one, other, vectors, products, places)
        back = _one_way(other, one, vectors, products, places)
        found[pair] = (there + back) / 2
    return found
