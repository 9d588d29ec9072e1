"""New students: vectors from strictly earlier answers, as a slow sum says, where training would put them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from strategy_data import Planted, planted, planted_embedding

from edpipe.datasets.strategy_splits import split_strategies
from edpipe.mastery.embed import embed_dataset
from edpipe.mastery.embedding import Embedding, load_embedding, normalized
from edpipe.mastery.folding import apply_fold_map, fit_fold_map, moments
from edpipe.settings import load_settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=40)


def summed(embedding: Embedding, world: Planted, row: int, shrinkage: float = 5.0) -> np.ndarray:
    """Sum over the observations of earlier attempts of the student, one after another."""
    dataset = world.dataset
    counts: dict[int, list[int]] = {}
    for attempt, kc, scored, right in dataset.observations.select(
        "attempt", "kc", "num_scored", "num_correct"
    ).rows():
        if attempt < row and dataset.student[attempt] == dataset.student[row]:
            count = counts.setdefault(kc, [0, 0])
            count[0] += scored
            count[1] += right
    total = np.zeros(embedding.dim)
    for kc, (scored, right) in counts.items():
        share = (right + shrinkage * embedding.kc_mean[kc]) / (scored + shrinkage)
        total += scored * share * embedding.kcs[kc]
    length = np.linalg.norm(total)
    return total / length if length else total


def test_a_new_student_is_the_weighted_sum_of_his_kcs_before_the_attempt(world):
    embedding = planted_embedding(world)
    new = np.flatnonzero(~embedding.students.any(axis=1))
    rows = np.random.default_rng(0).permutation(np.flatnonzero(np.isin(world.dataset.student, new)))[:80]
    found = embedding.student_vectors(world.dataset, rows)
    expected = np.array([summed(embedding, world, int(row)) for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


def test_the_vector_at_an_attempt_does_not_depend_on_which_others_are_asked(world):
    embedding = planted_embedding(world)
    rows = np.arange(world.dataset.num_attempts)
    whole = embedding.student_vectors(world.dataset, rows)
    for part in (rows[::7], rows[::-3], rows[5:6]):
        np.testing.assert_array_equal(embedding.student_vectors(world.dataset, part), whole[part])


def test_answers_from_the_attempt_onwards_do_not_count(world):
    embedding = planted_embedding(world)
    new = np.flatnonzero(~embedding.students.any(axis=1))[0]
    rows = np.flatnonzero(world.dataset.student == new)
    row = int(rows[len(rows) // 2])
    later = pl.col("attempt") >= row
    changed = world.dataset.observations.with_columns(
        num_correct=pl.when(later).then(0).otherwise("num_correct").cast(pl.Int32)
    )
    before = embedding.student_vectors(world.dataset, np.array([row]))
    after = embedding.student_vectors(replace(world.dataset, observations=changed), np.array([row]))
    np.testing.assert_array_equal(before, after)


def test_a_student_of_training_has_the_learned_vector_and_a_first_attempt_zeros(world):
    embedding = planted_embedding(world)
    dataset = world.dataset
    is_known = embedding.students.any(axis=1)
    first = np.searchsorted(dataset.student, np.arange(dataset.num_students))
    found = embedding.student_vectors(dataset, first)
    np.testing.assert_array_equal(found[is_known], embedding.students[is_known])
    assert not found[~is_known].any()


def test_the_map_is_found_where_there_is_one():
    rng = np.random.default_rng(0)
    folded = normalized(rng.normal(size=(2000, 8)))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    learned = normalized(folded @ turn)
    found = apply_fold_map(folded, fit_fold_map(folded, learned))
    assert float((found * learned).sum(axis=1).min()) > 0.999
    assert not apply_fold_map(np.zeros((1, 8), dtype=np.float32), fit_fold_map(folded, learned)).any()


def test_moments_lie_within_the_training_history_and_end_with_it():
    student = np.repeat(np.arange(4, dtype=np.int32), [3, 1, 20, 2])
    rows = np.array([0, 2, 3, *range(4, 24)])
    owner, first, stop = moments(student, rows, 4)
    assert owner.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert first.tolist() == [0, 0, 3, 4, 4, 4, 4]
    assert stop.tolist() == [1, 3, 4, 9, 14, 19, 24]


def test_the_map_is_stored(world, tmp_path):
    embedding = replace(
        planted_embedding(world, dim=4), fold_map=np.arange(20.0).reshape(5, 4), mastery_exponent=0.5
    )
    found = load_embedding(embedding.save(tmp_path))
    np.testing.assert_array_equal(found.fold_map, embedding.fold_map)
    assert found.mastery_exponent == 0.5
    assert load_embedding(planted_embedding(world).save(tmp_path / "other")).fold_map is None


def test_new_students_lie_among_training_students_of_their_group(tmp_path):
    world = planted(tmp_path, num_students=120)
    settings = load_settings("small", home=tmp_path, progress="none")
    options = {"walks_per_node": 30, "backend": "gensim", "is_deterministic": True}
    settings = settings.model_copy(update={"embedding": settings.embedding.model_copy(update=options)})
    split = split_strategies(world.dataset, settings)
    found = embed_dataset(world.dataset, split.train, settings)
    known = np.flatnonzero(found.students.any(axis=1))
    new = np.flatnonzero(~found.students.any(axis=1))
    last = np.searchsorted(world.dataset.student, new, side="right") - 1
    vectors = found.student_vectors(world.dataset, last)
    nearest = np.argsort(-vectors @ found.students[known].T, axis=1)[:, :5]
    assert (world.group[known][nearest] == world.group[new][:, None]).mean() > 0.9
