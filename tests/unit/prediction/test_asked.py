"""Questions about students and problems become attempts, and embeddings follow the ids to other codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from strategy_data import planted, planted_embedding

from edpipe.datasets.strategy_history import answer_history
from edpipe.errors import ContractError, TrainingError
from edpipe.prediction.asked import asked_attempts
from edpipe.prediction.known import Known, recoded


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = planted(tmp_path_factory.mktemp("tutor"), num_students=20)
    return made.dataset, planted_embedding(made)


def same(first, second) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("students", "problems", "sections", "kcs", "kc_mean")
    ) and first.mastery.equals(second.mastery)


def test_what_is_known_comes_back_from_its_folder(world, tmp_path):
    known = Known.of(world[0])
    with pytest.raises(TrainingError, match="edpipe train strategy"):
        Known.load(tmp_path)
    again = Known.load(known.save(tmp_path))
    assert again.student_ids == known.student_ids
    assert again.kc_ids == known.kc_ids
    assert np.array_equal(again.problem_section, known.problem_section)
    assert again.answers.equals(known.answers)
    assert again.attempts.equals(known.attempts)


def test_recoding_to_the_same_dataset_changes_nothing(world):
    dataset, embedding = world
    assert same(recoded(embedding, Known.of(dataset), dataset), embedding)


def test_recoding_follows_the_ids_and_back_again(world):
    dataset, embedding = world
    turned = replace(
        dataset,
        **{
            name: getattr(dataset, name)[::-1]
            for name in ("student_ids", "section_ids", "problem_ids", "kc_ids")
        },
        problem_section=(dataset.num_sections - 1 - dataset.problem_section[::-1]).astype(np.int32),
    )
    there = recoded(embedding, Known.of(dataset), turned)
    assert np.array_equal(there.students, embedding.students[::-1])
    assert np.array_equal(there.kc_mean, embedding.kc_mean[::-1])
    assert same(recoded(there, replace(Known.of(turned)), dataset), embedding)


def test_what_is_new_has_no_vector_but_a_new_problem_lies_where_its_section_does(world):
    dataset, embedding = world
    grown = replace(
        dataset,
        student_ids=(*dataset.student_ids, "new"),
        problem_ids=(*dataset.problem_ids, "new"),
        problem_section=np.append(dataset.problem_section, 1).astype(np.int32),
        kc_ids=(*dataset.kc_ids, "new"),
    )
    found = recoded(embedding, Known.of(dataset), grown)
    assert not found.students[-1].any()
    assert not found.kcs[-1].any()
    assert np.array_equal(found.problems[-1], embedding.sections[1])
    assert found.kc_mean[-1] == pytest.approx(embedding.kc_mean.mean())
    assert np.array_equal(found.students[:-1], embedding.students)


def test_questions_come_after_everything_that_the_student_answered(world):
    dataset, _ = world
    asked = asked_attempts(
        Known.of(dataset),
        pl.DataFrame(
            {
                "student_id": [
                    dataset.student_ids[3],
                    "nobody",
                    dataset.student_ids[1],
                    dataset.student_ids[3],
                ],
                "problem_id": [
                    dataset.problem_ids[5],
                    dataset.problem_ids[5],
                    "nothing",
                    dataset.problem_ids[0],
                ],
                "section_id": [None, None, dataset.section_ids[2], None],
            }
        ),
    )
    found = asked.dataset
    assert [found.student_ids[found.student[row]] for row in asked.rows] == [
        dataset.student_ids[1],
        dataset.student_ids[3],
        dataset.student_ids[3],
        "nobody",
    ]
    assert asked.order.tolist() == [2, 0, 3, 1]
    assert found.section_ids[found.section[asked.rows[0]]] == dataset.section_ids[2]
    assert found.section[asked.rows[1]] == dataset.problem_section[5]
    scored, correct = answer_history(found).before(asked.rows)
    of_student = dataset.observations.filter(
        pl.Series(dataset.student[dataset.observations["attempt"].to_numpy()] == 3)
    )
    assert scored[1].sum() == scored[2].sum() == of_student["num_scored"].sum()
    assert correct[1].sum() == of_student["num_correct"].sum()
    assert scored[3].sum() == 0
    assert np.diff(found.strategy_start).sum() == 0
    # Each attempt that was done stands before the questions, in its section.
    before = found.section[: asked.rows[0]][found.student[: asked.rows[0]] == 1]
    assert before.tolist() == dataset.section[dataset.student == 1].tolist()


def test_a_problem_without_a_known_section_is_in_one_that_is_new(world):
    dataset, _ = world
    asked = asked_attempts(Known.of(dataset), pl.DataFrame({"student_id": ["a"], "problem_id": ["b"]}))
    assert asked.dataset.section[asked.rows[0]] == dataset.num_sections


@pytest.mark.parametrize(
    "questions",
    [{"student_id": ["a"]}, {"student_id": ["a"], "problem_id": [None]}],
    ids=["no problem", "a null"],
)
def test_questions_without_a_student_or_problem_are_refused(world, questions):
    frame = pl.DataFrame(questions, schema_overrides={"problem_id": pl.String})
    with pytest.raises(ContractError, match="problem"):
        asked_attempts(Known.of(world[0]), frame.select(list(questions)))
