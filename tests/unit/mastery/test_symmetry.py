"""Symmetry of strategies: the same KCs in the same order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edpipe.mastery.embedding import normalized
from edpipe.mastery.symmetry import Strategies, symmetry
from edpipe.mastery.symmetry_clusters import cluster_symmetry

NUM_KCS, DIM = 8, 32
VECTORS = normalized(np.random.default_rng(0).normal(size=(NUM_KCS, DIM)))
SEQUENCE = st.lists(st.integers(0, NUM_KCS - 1), min_size=1, max_size=9)


def strategies_of(*sequences: list[int]) -> Strategies:
    start = np.concatenate([[0], np.cumsum([len(one) for one in sequences])])
    return Strategies(np.concatenate([np.array(one, dtype=np.int32) for one in sequences]), start, VECTORS)


def score(one: list[int], other: list[int], *, is_relative: bool = False) -> float:
    strategies = strategies_of(one, other)
    return float(symmetry(strategies, np.array([0]), np.array([1]), is_relative=is_relative)[0])


def one_way(one: list[int], other: list[int]) -> float:
    """Follow the definition word by word."""

    def vector(kc: int, place: int) -> np.ndarray:
        wave = [
            np.sin(place / 10_000 ** (axis / DIM))
            if axis % 2 == 0
            else np.cos(place / 10_000 ** ((axis - 1) / DIM))
            for axis in range(DIM)
        ]
        return np.concatenate([VECTORS[kc].astype(float) * np.sqrt(DIM), wave])

    total, before = 0.0, -1
    for place, kc in enumerate(one):
        x = vector(kc, place)
        logits = [x @ vector(match, column) / np.sqrt(DIM) for column, match in enumerate(other)]
        logits.append(x @ x / np.sqrt(DIM) / 2)
        chance = np.exp(np.array(logits) - max(logits))
        chance /= chance.sum()
        best = int(np.argmax(np.round(logits[:-1], 9)))  # the first of equals
        weight = max(chance[best] - chance.mean(), 0)
        total += weight if best > before else -weight
        before = best
    return total / len(one)


@settings(max_examples=60, deadline=None)
@given(SEQUENCE, SEQUENCE)
def test_symmetry_is_what_its_definition_says(one, other):
    assert score(one, other) == pytest.approx((one_way(one, other) + one_way(other, one)) / 2, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(SEQUENCE, SEQUENCE)
def test_symmetry_is_symmetric_and_bounded(one, other):
    assert score(one, other) == pytest.approx(score(other, one), abs=1e-12)
    assert -1 < score(one, other) < 1
    assert -1 <= score(one, other, is_relative=True) <= 1


@settings(max_examples=60, deadline=None)
@given(SEQUENCE)
def test_a_strategy_is_symmetric_with_itself_and_more_than_with_its_reverse(sequence):
    alone = score(sequence, sequence)
    assert alone > 0
    assert score(sequence, sequence, is_relative=True) == pytest.approx(1)
    if sequence != sequence[::-1]:
        assert alone > score(sequence, sequence[::-1])


def test_strategies_without_a_common_kc_are_hardly_symmetric_however_short():
    assert abs(score([0], [1])) < 0.1
    assert abs(score([0, 1, 2], [3, 4, 5])) < 0.2 < score([0, 1, 2], [0, 4, 2])


def test_a_common_beginning_counts_more_than_the_same_kcs_out_of_order():
    whole = [0, 1, 2, 3]
    assert score(whole, [0, 1, 2]) > score(whole, [1, 0, 3, 2]) > score(whole, [3, 2, 1, 0])


def test_products_computed_on_the_way_are_those_kept(monkeypatch):
    strategies = strategies_of([0, 1, 2], [2, 1], [5, 0, 1])
    pairs = np.array([0, 0, 1]), np.array([1, 2, 2])
    kept = symmetry(strategies, *pairs)
    monkeypatch.setattr("edpipe.mastery.symmetry.MOST_KCS", 0)
    np.testing.assert_allclose(symmetry(strategies, *pairs), kept)


def planted() -> tuple[Strategies, np.ndarray]:
    rng = np.random.default_rng(1)
    sequences = [[0, 1, 2]] * 30 + [rng.permutation(NUM_KCS)[:4].tolist() for _ in range(30)] + [[4]]
    return strategies_of(*sequences), np.repeat([0, 1, 2], [30, 30, 1])


def test_a_cluster_of_one_strategy_scores_one_and_a_mixed_one_less():
    strategies, clusters = planted()
    found = cluster_symmetry(strategies, clusters, num_pairs=64, rng=np.random.default_rng(0))
    assert found.scores[0] == pytest.approx(1)
    assert found.scores[1] < 0.5
    assert np.isnan(found.scores[2])
    assert found.mean == pytest.approx((found.scores[0] + found.scores[1]) / 2)
    assert found.low < found.mean < found.high


def test_few_pairs_are_all_compared_and_many_are_estimated_without_bias():
    strategies, clusters = planted()
    rng = np.random.default_rng(2)
    whole = cluster_symmetry(strategies, clusters, num_pairs=435, rng=rng)
    assert not whole.errors.any()
    drawn = [cluster_symmetry(strategies, clusters, num_pairs=64, rng=rng) for _ in range(40)]
    inside = [one.low <= whole.mean <= one.high for one in drawn]
    assert np.mean([one.scores[1] for one in drawn]) == pytest.approx(whole.scores[1], abs=0.02)
    assert np.mean(inside) > 0.8


def test_pairs_are_made_inside_cells_only():
    strategies = strategies_of([0, 1], [0, 1], [6, 7], [6, 7])
    clusters = np.zeros(4, dtype=np.int64)
    rng = np.random.default_rng(3)
    inside = cluster_symmetry(strategies, clusters, num_pairs=9, rng=rng, cells=np.array([0, 0, 1, 1]))
    across = cluster_symmetry(strategies, clusters, num_pairs=9, rng=rng, cells=np.array([0, 1, 0, 1]))
    assert inside.mean == pytest.approx(1)
    assert abs(across.mean) < 0.1


def test_clusters_without_any_pair_have_no_symmetry():
    strategies = strategies_of([0], [1])
    found = cluster_symmetry(strategies, np.array([0, 1]), num_pairs=4, rng=np.random.default_rng(0))
    assert np.isnan(found.mean)
