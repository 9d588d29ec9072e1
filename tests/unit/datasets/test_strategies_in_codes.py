"""Problem attempts in dense codes, and how they are divided."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from strategy_data import planted

from edpipe.datasets.strategy import StrategyDataset, only, strategy_dataset_of
from edpipe.datasets.strategy_splits import SPLIT_KINDS, split_strategies
from edpipe.errors import TrainingError
from edpipe.settings import Settings

EXAMPLE = {
    "student_id": "s",
    "section_key": 3,
    "section_id": "u",
    "problem_view": 1,
    "started_at": None,
    "split": "train",
    "published_split": None,
}


def two_attempts() -> StrategyDataset:
    examples = pl.DataFrame(
        [
            {
                **EXAMPLE,
                "attempt_key": 20,
                "student_key": 5,
                "problem_key": 9,
                "problem_id": "later",
                "attempt_number": 2,
                "kc_keys": [40, 10, 30],
                "step_sizes": [1, 2],
            },
            {
                **EXAMPLE,
                "attempt_key": 10,
                "student_key": 5,
                "problem_key": 7,
                "problem_id": "first",
                "attempt_number": 1,
                "kc_keys": [10],
                "step_sizes": [1],
            },
        ],
        schema_overrides={"started_at": pl.Datetime("us", "UTC"), "published_split": pl.String},
    )
    names = (
        "attempt_key",
        "kc_key",
        "num_steps",
        "num_scored",
        "num_correct",
        "prior_scored",
        "prior_correct",
    )
    edges = pl.DataFrame(
        [(20, 40, 1, 1, 0, 0, 0), (20, 10, 1, 1, 1, 1, 1), (10, 10, 1, 1, 1, 0, 0), (99, 77, 1, 0, 0, 0, 0)],
        schema=list(names),
        orient="row",
    )
    return strategy_dataset_of("kddcup", examples, edges, kc_names={10: "ten", 40: "forty"})


def test_codes_follow_keys_and_rows_follow_the_order_of_the_student():
    dataset = two_attempts()
    assert dataset.attempts["attempt_key"].to_list() == [10, 20]
    assert dataset.problem_ids == ("first", "later")
    assert dataset.kc_ids == ("ten", "30", "forty", "77")
    assert [dataset.strategy(row).tolist() for row in range(2)] == [[0], [2, 0, 1]]


def test_steps_keep_their_kcs_together():
    dataset = two_attempts()
    steps = [
        dataset.kcs[dataset.kc_start[step] : dataset.kc_start[step + 1]].tolist()
        for step in range(dataset.step_start[1], dataset.step_start[2])
    ]
    assert steps == [[2], [0, 1]]


def test_observations_of_attempts_without_a_strategy_are_passed_over():
    observations = two_attempts().observations
    assert observations["attempt"].to_list() == [0, 1, 1]
    assert observations["prior_correct"].to_list() == [0, 1, 0]


def test_strategies_of_chosen_rows_stand_side_by_side():
    kcs, start = two_attempts().strategies(np.array([1, 0, 1]))
    assert [kcs[start[i] : start[i + 1]].tolist() for i in range(3)] == [[2, 0, 1], [0], [2, 0, 1]]


def test_equal_strategies_have_equal_codes(tmp_path: Path):
    dataset = planted(tmp_path).dataset
    texts = [tuple(dataset.strategy(row).tolist()) for row in range(dataset.num_attempts)]
    by_code = dict(zip(dataset.strategy_code.tolist(), texts, strict=True))
    assert [by_code[code] for code in dataset.strategy_code.tolist()] == texts
    assert len(by_code) == len(set(texts))


def test_fingerprint_tells_equal_data_from_other(tmp_path: Path):
    one, same, other = (planted(tmp_path / str(seed), seed=seed % 10).dataset for seed in (7, 17, 8))
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint


def test_no_attempt_is_an_error_that_names_the_source():
    nothing = pl.DataFrame(schema={"attempt_key": pl.Int64})
    with pytest.raises(TrainingError, match="kddcup"):
        strategy_dataset_of("kddcup", nothing, nothing)


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_parts_do_not_overlap_and_hold_first_views(tmp_path: Path, settings: Settings, kind):
    dataset = planted(tmp_path, num_students=90).dataset
    split = split_strategies(dataset, settings, kind=kind)
    rows = np.concatenate([split.train, split.valid, split.test])
    assert len(np.unique(rows)) == len(rows)
    assert (dataset.attempts["problem_view"].to_numpy()[rows] == 1).all()


def test_new_students_and_new_problems_are_new(tmp_path: Path, settings: Settings):
    dataset = planted(tmp_path, num_students=90).dataset
    for kind, columns in (
        ("students", [dataset.student]),
        ("problems", [dataset.problem]),
        ("both", [dataset.student, dataset.problem]),
    ):
        split = split_strategies(dataset, settings, kind=kind)
        for column in columns:
            assert not np.isin(column[split.test], column[split.train]).any()
            assert not np.isin(column[split.valid], column[split.train]).any()


def test_problems_are_divided_by_the_hash_of_their_id(tmp_path: Path, settings: Settings):
    dataset = planted(tmp_path, num_students=90).dataset
    split = split_strategies(dataset, settings, kind="problems")
    for row in split.test[:50]:
        word = f"{settings.split.salt}:{dataset.problem_ids[dataset.problem[row]]}"
        assert int(hashlib.md5(word.encode()).hexdigest()[:8], 16) / 2**32 < settings.split.test


def test_the_published_test_is_the_test_and_validation_is_drawn_like_it(tmp_path: Path, settings: Settings):
    dataset = planted(tmp_path, num_students=90).dataset
    split = split_strategies(dataset, settings, kind="published")
    word = dataset.attempts["published_split"].to_numpy()
    assert set(word[split.test]) == {"test"}
    assert set(word[split.train]) | set(word[split.valid]) == {"train"}
    groups = dataset.attempts[split.valid].group_by("student", "section").agg(pl.col("problem").n_unique())
    assert set(groups["problem"]) == {1}


def test_later_attempts_are_tested_in_a_split_by_time(tmp_path: Path, settings: Settings):
    dataset = planted(tmp_path).dataset
    split = split_strategies(dataset, settings, kind="time")
    number = dataset.attempts["attempt_number"].to_numpy()
    for student in range(10):
        trained = number[split.train][dataset.student[split.train] == student]
        tested = number[split.test][dataset.student[split.test] == student]
        assert trained.max() < tested.min()


def test_an_empty_part_is_an_error_with_the_counts(settings: Settings):
    with pytest.raises(TrainingError, match="valid 0"):
        split_strategies(two_attempts(), settings, kind="students")


def test_a_part_of_the_attempts_holds_these_alone_in_the_same_codes(tmp_path: Path) -> None:
    dataset = planted(tmp_path, num_students=6).dataset
    rows = np.arange(dataset.num_attempts)[1::3]
    part = only(dataset, rows)
    assert part.num_attempts == len(rows)
    assert part.student.tolist() == dataset.student[rows].tolist()
    for place, row in enumerate(rows):
        assert part.strategy(place).tolist() == dataset.strategy(int(row)).tolist()
        steps = [np.diff(one.step_start)[at] for one, at in ((part, place), (dataset, row))]
        assert steps[0] == steps[1]
    seen = dataset.observations.filter(pl.col("attempt").is_in(rows.tolist()))
    assert part.observations.drop("attempt").equals(seen.drop("attempt"))
    assert (rows[part.observations["attempt"].to_numpy()] == seen["attempt"].to_numpy()).all()
    everything = only(dataset, np.arange(dataset.num_attempts))
    assert everything.fingerprint == dataset.fingerprint
