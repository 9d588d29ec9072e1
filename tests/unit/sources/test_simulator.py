"""Students who answer on do so by the law of their logs, and what they learn is what the oracle foretells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edpipe.sources.synthetic import StudentSimulator, simulate_students
from edpipe.sources.synthetic.contents import DAY_MILLISECONDS
from edpipe.sources.synthetic.history import Rows
from edpipe.sources.synthetic.learning import draw_answers


@pytest.fixture(scope="module")
def world() -> StudentSimulator:
    return simulate_students(40, 60, seed=5, answers_per_student=30)


def test_answering_on_is_the_law_of_the_logs(world: StudentSimulator) -> None:
    """The log's generator answers the same items at the same times: every answer and state is equal."""
    numbers, steps = len(world.students), 12
    rng = np.random.default_rng(3)
    items = rng.integers(0, 60, (numbers, steps))
    times = 1_600_000_000_000 + 60_000 * np.tile(np.arange(steps), (numbers, 1))
    row = np.repeat(np.arange(numbers), steps)
    rows = Rows(row, row, items.ravel(), times.ravel(), row * 0, np.arange(numbers + 1) * steps)
    made = draw_answers(world.students, rows, world.contents, 0.0, np.random.default_rng(9))
    rng = np.random.default_rng(9)  # the same draws, in the generator's order
    num_kcs = world.contents.kc_numbers.size
    rng.normal(0.0, 0.5, num_kcs)
    rng.normal(0.0, 0.9, (numbers, num_kcs))
    rng.random(items.size)
    draws = rng.random(items.size).reshape(numbers, steps)
    walked = replace(
        world,
        initial=made.initial_mastery,
        mastery=made.initial_mastery.copy(),
        last_met=np.zeros((numbers, num_kcs), dtype=np.int64),
        now=times[:, 0] - 60_000,
    )
    for step in range(steps):
        chances = walked.true_chances()[np.arange(numbers), items[:, step]]
        found = walked.answer(items[:, step], draws[:, step])
        assert (found == made.is_correct.reshape(numbers, steps)[:, step]).all()
        # A minute passes before the answer, in which next to nothing is forgotten.
        assert chances == pytest.approx(made.probability.reshape(numbers, steps)[:, step], abs=1e-4)
    assert (walked.mastery == made.final_mastery).all()
    assert (walked.last_met == made.last_met).all()


def test_the_gain_foretold_is_the_mean_of_what_happens(world: StudentSimulator) -> None:
    chosen = np.zeros(4_000, dtype=np.int64)  # the first student, many times
    copies = world.of(chosen)
    item = int(copies.true_gains()[0].argmax())
    before = copies.true_mastery().mean(axis=1)
    foretold = copies.true_gains()[0, item]
    copies.answer(np.full(4_000, item), np.random.default_rng(1).random(4_000))
    assert (copies.true_mastery().mean(axis=1) - before).mean() == pytest.approx(foretold, rel=0.02)


def test_what_some_students_do_leaves_the_others_and_the_past_as_they_are(world: StudentSimulator) -> None:
    before = world.mastery.copy(), world.now.copy(), world.last_met.copy()
    some = world.of(np.array([7, 3]))
    some.answer(np.array([1, 2]), np.zeros(2))
    for was, now in zip(before, (world.mastery, world.now, world.last_met), strict=True):
        assert (was == now).all()
    assert some.log["student"].unique().to_list() == [0, 1]
    first = world.log.filter(student=7)["item"].to_list()
    assert some.log.filter(student=0)["item"].to_list() == first


def test_time_alone_takes_mastery_back_to_where_it_began(world: StudentSimulator) -> None:
    later = world.of(np.arange(40))
    later.now[:] += 100_000 * DAY_MILLISECONDS
    assert later.true_mastery() == pytest.approx(later.initial, abs=1e-6)
    assert (world.true_mastery() >= world.initial - 1e-12).all()


def test_in_a_world_without_learning_nothing_is_ever_gained() -> None:
    world = simulate_students(6, 40, seed=2, answers_per_student=10, learns=False)
    before = world.true_mastery()
    assert (world.true_gains() == 0).all()
    for item in range(5):
        world.answer(np.full(6, item), np.full(6, 0.1))
    assert (world.true_mastery() == before).all()


def test_who_knows_the_truth_teaches_more_than_chance(world: StudentSimulator) -> None:
    random, draws = np.random.default_rng(6), np.random.default_rng(7).random((20, 40))
    risen = {}
    for name in ("chance", "truth"):
        students = world.of(np.arange(40))
        before = students.true_mastery().mean(axis=1)
        for draw in draws:
            by_truth = students.true_gains().argmax(axis=1)
            students.answer(by_truth if name == "truth" else random.integers(0, 60, 40), draw)
        risen[name] = students.true_mastery().mean(axis=1) - before
    assert risen["chance"].mean() > 0
    assert (risen["truth"] > risen["chance"]).mean() > 0.9


def test_equal_seeds_give_equal_students_and_the_questions_have_their_kcs() -> None:
    first, second = (simulate_students(5, 30, seed=4, answers_per_student=8) for _ in range(2))
    assert first.log.equals(second.log)
    assert (first.mastery == second.mastery).all()
    assert (first.questions["kc_ids"].list.len().to_numpy() == first.members.sum(axis=1)).all()
