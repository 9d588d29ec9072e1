import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from edpipe.datasets.mastery_groups import Evidence, fit_mastery_groups
from edpipe.datasets.strategy_history import RunningCounts


def students(number=90, num_kcs=20, *, answers=6, uses=8, seed=0, num_groups=3):
    """Students of planted groups that differ in what they answer right and in what they use."""
    random = np.random.default_rng(seed)
    group = np.arange(number) % num_groups
    mastery = random.choice([0.25, 0.85], size=(num_groups, num_kcs))
    rate = random.choice([0.6, 1.5], size=(num_groups, num_kcs))
    scored = random.poisson(answers, size=(number, num_kcs))
    correct = random.binomial(scored, mastery[group])
    expected = np.full((number, num_kcs), float(uses))
    used = random.poisson(expected * rate[group])
    parts = (part.astype(np.float32) for part in (scored, correct, used, expected))
    return Evidence(*parts), group, mastery


def test_planted_groups_are_found_with_their_number_and_mastery():
    evidence, group, mastery = students()
    found = fit_mastery_groups(evidence, np.full(20, 0.5), seed=1)
    assert found.num_groups == 3
    labels = found.chances(evidence).argmax(axis=1)
    assert adjusted_rand_score(group, labels) > 0.95
    for number in range(3):
        (label,) = np.unique(labels[group == number])
        assert np.abs(found.mastery[label] - mastery[number]).mean() < 0.08


@pytest.mark.parametrize("channel", ["answers", "uses"])
def test_answers_alone_and_uses_alone_tell_the_groups(channel):
    evidence, group, _ = students(answers=12, uses=25)
    nothing = np.zeros_like(evidence.scored)
    if channel == "answers":
        evidence = Evidence(evidence.scored, evidence.correct, nothing, nothing)
    else:
        evidence = Evidence(nothing, nothing, evidence.used, evidence.expected)
    found = fit_mastery_groups(evidence, np.full(20, 0.5), seed=1)
    assert adjusted_rand_score(group, found.chances(evidence).argmax(axis=1)) > 0.9


def test_students_who_do_not_differ_are_one_group():
    evidence, _, _ = students(num_groups=1)
    assert fit_mastery_groups(evidence, np.full(20, 0.5), seed=1).num_groups == 1


def test_without_evidence_there_is_one_group_with_the_mean():
    nothing = np.zeros((5, 3), dtype=np.float32)
    found = fit_mastery_groups(
        Evidence(nothing, nothing, nothing, nothing), np.array([0.2, 0.5, 1.0]), seed=1
    )
    assert found.num_groups == 1
    np.testing.assert_allclose(found.mastery, [[0.2, 0.5, 0.98]], rtol=1e-6)
    assert (found.preference == 0).all()


def test_a_student_without_evidence_is_in_each_group_by_its_share():
    evidence, _, _ = students()
    found = fit_mastery_groups(evidence, np.full(20, 0.5), seed=1)
    nothing = np.zeros((1, 20), dtype=np.float32)
    chances = found.chances(Evidence(nothing, nothing, nothing, nothing))
    np.testing.assert_allclose(chances[0], found.share, rtol=1e-5)
    np.testing.assert_allclose(found.chances(evidence).sum(axis=1), 1, rtol=1e-5)


def test_equal_seeds_find_equal_groups():
    evidence, _, _ = students()
    first, second = (fit_mastery_groups(evidence, np.full(20, 0.5), seed=4) for _ in range(2))
    assert np.array_equal(first.mastery, second.mastery)


def test_running_counts_equal_a_slow_count_of_what_lies_strictly_before():
    random = np.random.default_rng(3)
    student = np.sort(random.integers(0, 6, size=80)).astype(np.int32)
    attempt = np.repeat(np.arange(80, dtype=np.int32), 2)
    code = random.integers(0, 5, size=160).astype(np.int32)
    keep = np.ones(160, dtype=bool)
    keep[1::2] = code[1::2] != code[::2]
    attempt, code = attempt[keep], code[keep]
    values = [random.integers(0, 4, size=len(code)).astype(np.int32) for _ in range(2)]
    counts = RunningCounts.of(student, attempt, code, values, 5)
    rows = random.permutation(80)
    found = counts.before(rows)
    for place, row in enumerate(rows):
        earlier = (student[attempt] == student[row]) & (attempt < row)
        for number in range(5):
            for column in range(2):
                expected = values[column][earlier & (code == number)].sum()
                assert found[column, place, number] == expected
