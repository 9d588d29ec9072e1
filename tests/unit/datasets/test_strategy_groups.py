"""Groups that follow the same strategies, told by what students did at the same problems before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from strategy_data import planted, planted_embedding

from edpipe.datasets.mastery_groups import Evidence, MasteryGroups
from edpipe.datasets.strategy_groups import (
    ANYBODY,
    NOBODY,
    PROBLEM_PRIOR,
    SECTION_PRIOR,
    Followed,
    refine_groups,
)
from edpipe.datasets.strategy_history import answer_history
from edpipe.datasets.strategy_memory import remember

NUM_STUDENTS, NUM_PROBLEMS, NUM_KCS = 60, 12, 6


def followed(group, *, seed=0, departure=0.2, is_counted=None):
    """Return students who all visit all problems of one section and follow the strategy of their group."""
    random = np.random.default_rng(seed)
    student = np.repeat(np.arange(len(group), dtype=np.int32), NUM_PROBLEMS)
    problem = np.tile(np.arange(NUM_PROBLEMS), len(group))
    usual = (group[student] + problem) % 3
    strategy = np.where(random.random(len(student)) < departure, random.integers(0, 3, len(student)), usual)
    return Followed(
        student=student,
        problem=problem,
        section=np.zeros(len(student), dtype=np.int64),
        at_problem=problem * 3 + strategy,
        in_section=strategy,
        is_counted=np.ones(len(student), dtype=bool) if is_counted is None else is_counted,
    )


def guesses(labels, number, sure=0.9):
    """Return evidence and groups that give students these labels with this chance."""
    nothing = np.zeros((len(labels), number), dtype=np.float32)
    # A group answers its own KC right and the others wrong.
    scored = np.ones_like(nothing)
    correct = np.eye(number, dtype=np.float32)[labels]
    mastery = np.where(np.eye(number), sure, 1 - sure).astype(np.float32)
    groups = MasteryGroups(mastery, np.zeros_like(mastery), np.full(number, 1 / number, dtype=np.float32))
    return Evidence(scored, correct, nothing, nothing), groups


def last_of(counts):
    return np.flatnonzero(np.append(np.diff(counts.student) > 0, True))


def refined(counts, labels, number):
    evidence, groups = guesses(labels, number)
    return refine_groups(groups, evidence, np.full(number, 0.5, dtype=np.float32), counts, last_of(counts))


def test_groups_that_follow_the_same_strategies_are_joined():
    group = np.arange(NUM_STUDENTS) % 3
    # Of each planted group half the students answer unlike the other half.
    labels = group + 3 * (np.arange(NUM_STUDENTS) // 3 % 2)
    groups, counted = refined(followed(group), labels, 6)
    assert groups.num_groups == 3
    assert adjusted_rand_score(group, counted.argmax(axis=1)) == 1


def test_groups_that_follow_unlike_strategies_stay_apart():
    group = np.arange(NUM_STUDENTS) % 3
    groups, _ = refined(followed(group), group, 3)
    assert groups.num_groups == 3


def test_students_who_all_do_the_same_are_one_group():
    group = np.zeros(NUM_STUDENTS, dtype=np.int64)
    groups, counted = refined(followed(group), np.arange(NUM_STUDENTS) % 2, 2)
    assert groups.num_groups == 1
    assert np.allclose(counted, 1)


def test_strategies_put_students_right_whose_answers_say_another_group():
    group = np.arange(NUM_STUDENTS) % 3
    labels = np.where(np.random.default_rng(1).random(NUM_STUDENTS) < 0.2, (group + 1) % 3, group)
    assert adjusted_rand_score(group, labels) < 0.7
    _, counted = refined(followed(group), labels, 3)
    assert adjusted_rand_score(group, counted.argmax(axis=1)) > 0.9


def test_the_chance_of_a_strategy_equals_a_count_by_hand_without_the_attempt_itself():
    group = np.arange(NUM_STUDENTS) % 3
    counts = followed(group, is_counted=np.random.default_rng(2).random(NUM_STUDENTS * NUM_PROBLEMS) < 0.3)
    chances = np.random.default_rng(3).dirichlet(np.ones(2), NUM_STUDENTS).astype(np.float32)
    found = counts.chances(*counts.counts(chances), chances)
    for row in range(0, len(counts.student), 17):
        others = counts.is_counted & (np.arange(len(counts.student)) != row)
        at_problem = others & (counts.problem == counts.problem[row])
        here = at_problem & (counts.at_problem == counts.at_problem[row])
        around = others & (counts.in_section == counts.in_section[row])
        sums = [
            chances[counts.student[some]].sum(axis=0, dtype=float)
            for some in (here, at_problem, around, others)
        ]
        section_share = (around.sum() + NOBODY) / (others.sum() + 1)
        share = (here.sum() + PROBLEM_PRIOR * section_share) / (at_problem.sum() + PROBLEM_PRIOR)
        lift = (sums[2] / section_share + SECTION_PRIOR) / (sums[3] + SECTION_PRIOR)
        alike = (sums[0] + PROBLEM_PRIOR * np.minimum(share * lift, 1)) / (sums[1] + PROBLEM_PRIOR)
        expected = (1 - ANYBODY) * alike + ANYBODY * share
        np.testing.assert_allclose(found[row], expected, rtol=1e-4)


def test_what_nobody_else_did_speaks_for_no_group():
    group = np.arange(NUM_STUDENTS) % 3
    counts = followed(group)
    alone = replace(counts, at_problem=counts.at_problem.copy(), in_section=counts.in_section.copy())
    alone.at_problem[5], alone.in_section[5] = 3 * NUM_PROBLEMS, 3
    chances = np.eye(3, dtype=np.float32)[group]
    found = alone.chances(*alone.counts(chances), chances)
    np.testing.assert_allclose(found[5], found[5, 0], rtol=1e-6)


def test_gains_are_those_of_strictly_earlier_attempts_of_the_student():
    group = np.arange(NUM_STUDENTS) % 3
    counts = followed(group)
    chances = np.eye(3, dtype=np.float32)[group]
    said = np.log(counts.chances(*counts.counts(chances), chances))
    said -= said.mean(axis=1, keepdims=True)
    gains = counts.gains(*counts.counts(chances), chances)
    for row in (0, 1, 11, 12, 40, 700):
        earlier = (counts.student == counts.student[row]) & (np.arange(len(counts.student)) < row)
        np.testing.assert_allclose(gains[row], said[earlier].sum(axis=0), atol=1e-3)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("tutor"), num_students=90, problems_per_student=8)


def test_a_tenth_of_planted_attempts_finds_the_planted_groups(world):
    dataset = world.dataset
    rows = np.sort(np.random.default_rng(0).choice(dataset.num_attempts, dataset.num_attempts // 5, False))
    embedding = planted_embedding(world)
    memory = remember(dataset, rows, answer_history(dataset), embedding.kc_mean, shrinkage=5.0, seed=1)
    met = np.unique(dataset.student[rows])
    assert memory.groups.num_groups == 3
    assert adjusted_rand_score(world.group[met], memory.counted[met].argmax(axis=1)) > 0.8
    np.testing.assert_allclose(memory.counted[met].sum(axis=1), 1, atol=1e-5)
    # What was counted is what the memory holds.
    np.testing.assert_allclose(memory.problems.groups.sum(), len(rows), rtol=1e-5)
