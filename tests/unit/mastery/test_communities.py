"""Both ways of learning vectors recover planted communities and agree on who is near whom."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from edpipe.mastery.skipgram import skipgram
from edpipe.mastery.walk_graph import WalkGraph, walk_graph
from edpipe.mastery.walks import random_walks, shuffled_starts
from edpipe.mastery.word2vec import word2vec

NUM_GROUPS = 4
STUDENTS, KCS, PROBLEMS = 160, 40, 80
OPTIONS = {"dim": 32, "window": 5, "negatives": 5, "epochs": 2, "seed": 7}


def planted_graph(seed: int = 0) -> tuple[WalkGraph, np.ndarray]:
    """Draw students and problems that use the KCs of their group five times as much as others."""
    rng = np.random.default_rng(seed)
    student_group = np.arange(STUDENTS) % NUM_GROUPS
    kc_group = np.arange(KCS) % NUM_GROUPS
    problem_group = np.arange(PROBLEMS) % NUM_GROUPS
    of_student = rng.poisson(np.where(student_group[:, None] == kc_group, 4.0, 0.8))
    of_problem = rng.poisson(np.where(problem_group[:, None] == kc_group, 3.0, 0.6))
    student, kc = np.nonzero(of_student)
    problem, used = np.nonzero(of_problem)
    source = np.concatenate([student, problem + STUDENTS + KCS])
    target = np.concatenate([kc, used]) + STUDENTS
    weight = np.concatenate([of_student[student, kc], of_problem[problem, used]])
    graph = walk_graph(
        np.concatenate([source, target]),
        np.concatenate([target, source]),
        np.tile(weight, 2),
        STUDENTS + KCS + PROBLEMS,
        second_side=STUDENTS + KCS,
        is_bipartite=True,
    )
    return graph, student_group


@pytest.fixture(scope="module")
def walks() -> np.ndarray:
    graph, _ = planted_graph()
    return random_walks(graph, shuffled_starts(graph, 12, seed=1), length=20, seed=1)


@pytest.fixture(scope="module")
def learned(walks: np.ndarray) -> dict[str, np.ndarray]:
    num_nodes = STUDENTS + KCS + PROBLEMS
    vectors = {
        "gensim": word2vec(walks, num_nodes, is_deterministic=True, **OPTIONS),
        "torch": skipgram(walks, num_nodes, device="cpu", **OPTIONS),
    }
    return {name: found / np.linalg.norm(found, axis=1, keepdims=True) for name, found in vectors.items()}


@pytest.mark.parametrize("backend", ["gensim", "torch"])
def test_planted_groups_of_students_are_recovered(learned, backend):
    _, group = planted_graph()
    found = KMeans(NUM_GROUPS, n_init=5, random_state=0).fit_predict(learned[backend][:STUDENTS])
    assert adjusted_rand_score(group, found) > 0.9


@pytest.mark.parametrize("backend", ["gensim", "torch"])
def test_kcs_and_problems_lie_with_their_group_too(learned, backend):
    vectors = learned[backend]
    group = np.concatenate([np.arange(size) % NUM_GROUPS for size in (STUDENTS, KCS, PROBLEMS)])
    for part in (slice(STUDENTS, STUDENTS + KCS), slice(STUDENTS + KCS, None)):
        found = KMeans(NUM_GROUPS, n_init=5, random_state=0).fit_predict(vectors[part])
        assert adjusted_rand_score(group[part], found) > 0.9


def test_both_ways_agree_on_neighbors(learned):
    nearest = {}
    for backend, vectors in learned.items():
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -np.inf)
        nearest[backend] = np.argsort(-likeness, axis=1)[:, :10]
    shared = [
        len(set(one) & set(other)) for one, other in zip(nearest["gensim"], nearest["torch"], strict=True)
    ]
    # Of 279 others chance alone shares 0.4 of 10, the group alone 1.4.
    assert np.mean(shared) / 10 > 0.4


def test_the_cpu_gives_equal_vectors_for_equal_seeds(walks):
    few = walks[:100]
    for learn, options in ((word2vec, {"is_deterministic": True}), (skipgram, {"device": "cpu"})):
        first, again = (learn(few, 280, **OPTIONS, **options) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        other = learn(few, 280, **{**OPTIONS, "seed": 8}, **options)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("learn", [word2vec, skipgram])
def test_nodes_on_no_walk_have_zeros_and_ends_of_walks_are_no_nodes(learn):
    short = np.array([[0, 1, 2, -1], [2, 1, 0, 1], [4, -1, -1, -1]], dtype=np.int32)
    found = learn(short, 6, dim=4, window=2, negatives=2, epochs=1, seed=1)
    assert found.shape == (6, 4)
    assert found.dtype == np.float32
    assert found.any(axis=1).tolist() == [True, True, True, False, True, False]
    assert np.isfinite(found).all()


@pytest.mark.parametrize("learn", [word2vec, skipgram])
def test_without_walks_there_are_zeros(learn):
    found = learn(np.zeros((0, 5), dtype=np.int32), 3, dim=4, window=2, negatives=2, epochs=1, seed=1)
    assert found.tolist() == [[0.0] * 4] * 3
