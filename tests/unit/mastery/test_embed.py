"""Embeddings: what they are made of, what they may not see, and how they are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from strategy_data import Planted, planted

from edpipe.datasets.strategy import StrategyDataset
from edpipe.datasets.strategy_splits import split_strategies
from edpipe.errors import TrainingError
from edpipe.mastery.embed import embed, embed_dataset, section_vectors
from edpipe.mastery.embedding import KINDS, Embedding, load_embedding
from edpipe.settings import Settings, load_settings


def with_embedding(settings: Settings, **values: object) -> Settings:
    chosen = {"dim": 16, "walks_per_node": 4, "backend": "gensim", "is_deterministic": True, **values}
    return settings.model_copy(update={"embedding": settings.embedding.model_copy(update=chosen)})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"), num_students=40)


def same(one: Embedding, other: Embedding) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in (*KINDS, "kc_mean"))
    return arrays and one.mastery.equals(other.mastery)


def changed_outside(dataset: StrategyDataset, rows: np.ndarray) -> StrategyDataset:
    """Turn every answer outside the rows, and let those attempts use other KCs."""
    outside = ~np.isin(np.arange(dataset.num_attempts), rows)
    kcs = dataset.kcs.copy()
    for attempt in np.flatnonzero(outside):
        first, end = dataset.strategy_start[attempt : attempt + 2]
        kcs[first:end] = (kcs[first:end] + 1) % dataset.num_kcs
    is_outside = pl.Series(outside[dataset.observations["attempt"].to_numpy()])
    return replace(
        dataset,
        kcs=kcs,
        observations=dataset.observations.with_columns(
            num_correct=pl.when(is_outside)
            .then(pl.col("num_scored") - pl.col("num_correct"))
            .otherwise("num_correct"),
            num_steps=pl.when(is_outside).then(pl.col("num_steps") + 3).otherwise("num_steps"),
            kc=pl.when(is_outside).then((pl.col("kc") + 1) % dataset.num_kcs).otherwise("kc").cast(pl.Int32),
            prior_scored=pl.lit(0, pl.Int32),
            prior_correct=pl.lit(0, pl.Int32),
        ),
    )


@pytest.mark.parametrize("kind", ["students", "published", "problems", "both"])
def test_attempts_outside_training_do_not_change_a_bit(world, settings, kind):
    chosen = with_embedding(settings)
    rows = split_strategies(world.dataset, chosen, kind=kind).train
    other = changed_outside(world.dataset, rows)
    assert other.fingerprint != world.dataset.fingerprint
    assert same(embed_dataset(world.dataset, rows, chosen), embed_dataset(other, rows, chosen))


def test_vectors_have_length_one_and_zeros_stand_for_what_training_never_met(world, settings):
    chosen = with_embedding(settings)
    rows = split_strategies(world.dataset, chosen).train
    found = embed_dataset(world.dataset, rows, chosen)
    met = np.isin(np.arange(world.dataset.num_students), world.dataset.student[rows])
    length = np.linalg.norm(found.students, axis=1)
    np.testing.assert_allclose(length, met, atol=1e-6)
    for name in KINDS:
        vectors = getattr(found, name)
        assert vectors.dtype == np.float32
        assert vectors.shape == (getattr(world.dataset, f"num_{name}"), 16)


def test_a_new_problem_lies_where_its_section_lies(world, settings):
    chosen = with_embedding(settings)
    rows = split_strategies(world.dataset, chosen, kind="problems").train
    found = embed_dataset(world.dataset, rows, chosen)
    new = np.setdiff1d(world.dataset.problem, world.dataset.problem[rows])
    assert len(new)
    np.testing.assert_array_equal(found.problems[new], found.sections[world.dataset.problem_section[new]])


def test_a_section_is_the_mean_of_its_problems():
    problems = np.array([[1, 0], [0, 1], [0, -1], [0, 0]], dtype=np.float32)
    found = section_vectors(problems, np.array([0, 0, 1, 2], dtype=np.int32), 4)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[half, half], [0, -1], [0, 0], [0, 0]], atol=1e-6)


def test_equal_seeds_give_equal_vectors_and_others_differ(world, settings):
    chosen = with_embedding(settings)
    rows = split_strategies(world.dataset, chosen).train
    first = embed_dataset(world.dataset, rows, chosen)
    assert same(first, embed_dataset(world.dataset, rows, chosen))
    other = embed_dataset(world.dataset, rows, chosen.model_copy(update={"seed": 8}))
    assert not np.array_equal(first.students, other.students)


def test_an_embedding_is_stored_under_its_key_and_found_again(world, settings, monkeypatch):
    chosen = with_embedding(settings)
    split = split_strategies(world.dataset, chosen)
    made = embed(chosen, world.dataset, split)
    folder = chosen.embeddings_dir / made.manifest["key"]
    assert same(load_embedding(folder), made)
    monkeypatch.setattr("edpipe.mastery.embed.embed_dataset", None)
    assert same(embed(chosen, world.dataset, split), made)
    assert [path.name for path in chosen.embeddings_dir.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    "change",
    [{"embedding": {"dim": 8}}, {"seed": 8}, {"split": "problems"}],
    ids=lambda change: next(iter(change)),
)
def test_another_setting_seed_or_split_has_another_key(world, settings, change):
    chosen = with_embedding(settings)
    first = embed(chosen, world.dataset, split_strategies(world.dataset, chosen)).manifest["key"]
    other = with_embedding(chosen, **change.get("embedding", {})).model_copy(
        update={"seed": change.get("seed", chosen.seed)}
    )
    split = split_strategies(world.dataset, other, kind=change.get("split"))
    assert embed(other, world.dataset, split).manifest["key"] != first


def test_the_manifest_says_what_it_was_made_from_and_how(world, settings):
    chosen = with_embedding(settings)
    manifest = embed(chosen, world.dataset, split_strategies(world.dataset, chosen)).manifest
    assert manifest["fingerprint"] == world.dataset.fingerprint
    assert manifest["settings"] == chosen.embedding.model_dump(mode="json")
    assert manifest["seed"] == chosen.seed
    assert manifest["estimator"] == "mean"
    assert manifest["seconds"]["total"] > 0
    assert manifest["peak_memory_bytes"] > 1e6


def test_with_exponent_zero_right_and_wrong_do_not_matter(world, settings):
    rows = split_strategies(world.dataset, settings).train
    wrong = replace(
        world.dataset,
        observations=world.dataset.observations.with_columns(
            num_correct=pl.col("num_scored") - pl.col("num_correct")
        ),
    )
    for exponent, is_same in ((0.0, True), (1.0, False)):
        chosen = with_embedding(settings, mastery_exponent=exponent)
        both = [embed_dataset(dataset, rows, chosen) for dataset in (world.dataset, wrong)]
        assert (
            all(np.array_equal(getattr(both[0], name), getattr(both[1], name)) for name in KINDS) == is_same
        )


def test_without_training_attempts_there_is_nothing_to_learn(world, settings):
    with pytest.raises(TrainingError, match="no training attempt"):
        embed_dataset(world.dataset, np.array([], dtype=np.int64), with_embedding(settings))


def test_an_estimator_that_needs_steps_is_refused_without_them(world, settings):
    rows = split_strategies(world.dataset, settings).train
    with pytest.raises(TrainingError, match="needs the answers to single steps"):
        embed_dataset(world.dataset, rows, with_embedding(settings, estimator="bkt"))


def test_students_with_equal_histories_have_nearly_equal_vectors(tmp_path: Path):
    world = planted(tmp_path, num_students=40)
    settings = load_settings("small", home=tmp_path, progress="none")
    twin_rows, dataset = with_twin(world.dataset, settings)
    found = embed_dataset(
        dataset, twin_rows, with_embedding(settings, dim=128, walks_per_node=50, walk_length=80)
    )
    met = found.students[found.students.any(axis=1)]
    assert float(found.students[-1] @ found.students[dataset.student[twin_rows[0]]]) > 0.95
    assert float(np.median(met @ met[0])) < 0.9


def with_twin(dataset: StrategyDataset, settings: Settings) -> tuple[np.ndarray, StrategyDataset]:
    """Add a student who did what the first training student did."""
    rows = split_strategies(dataset, settings, views="all").train
    model = dataset.student[rows[0]]
    mine = np.flatnonzero(dataset.student == model)
    first, end = mine[0], mine[-1] + 1
    twin = dataset.attempts[first:end].with_columns(
        student=pl.lit(dataset.num_students, pl.Int32), attempt_key=pl.col("attempt_key") + 1_000_000
    )
    observed = dataset.observations.filter(pl.col("attempt").is_between(first, end, closed="left"))
    moved = observed.with_columns(attempt=(pl.col("attempt") + dataset.num_attempts - first).cast(pl.Int32))
    steps = dataset.step_start[first : end + 1]
    starts = dataset.kc_start[steps[0] : steps[-1] + 1]
    whole = replace(
        dataset,
        attempts=pl.concat([dataset.attempts, twin]),
        observations=pl.concat([dataset.observations, moved]),
        step_start=np.concatenate([dataset.step_start, dataset.step_start[-1] + np.diff(steps).cumsum()]),
        kc_start=np.concatenate([dataset.kc_start, dataset.kc_start[-1] + np.diff(starts).cumsum()]),
        kcs=np.concatenate([dataset.kcs, dataset.kcs[starts[0] : starts[-1]]]),
        student_ids=(*dataset.student_ids, "twin"),
    )
    return np.concatenate([rows, np.arange(dataset.num_attempts, whole.num_attempts)]), whole
