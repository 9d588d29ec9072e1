"""Mastery groups come from the start of a history, and are scored on the rest."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from unit.evaluation.simulated_answers import simulate

from edpipe.evaluation.bootstrap import score
from edpipe.evaluation.equity import gap, mastery_groups, scored_rows


def test_groups_are_thirds_ordered_by_the_share_right_at_the_start():
    answers, _ = simulate(60)
    groups = mastery_groups(answers)
    assert groups.group_by("group").len().sort("group")["len"].to_list() == [20, 20, 20]
    bounds = {name: part["ability"] for (name,), part in groups.group_by("group")}
    assert bounds["low"].max() <= bounds["middle"].min()
    assert bounds["middle"].max() <= bounds["high"].min()


def test_the_share_is_of_the_first_answers_by_hand():
    answers = pl.DataFrame(
        {
            "student_key": [1] * 5,
            "interaction_number": [2, 4, 5, 9, 11],
            "is_correct": [True, False, True, True, True],
        }
    )
    few = mastery_groups(answers, num_first=3).row(0, named=True)
    assert (few["ability"], few["first_scored"]) == (0.5, 5)  # half of five answers is two
    assert mastery_groups(answers, num_first=1)["first_scored"].item() == 4


def test_groups_do_not_depend_on_answers_that_are_scored():
    answers, _ = simulate(30)
    groups = mastery_groups(answers, num_first=10)
    scored = answers.join(groups, on="student_key").select(
        pl.col("interaction_number") >= pl.col("first_scored")
    )
    flipped = answers.with_columns(
        is_correct=pl.when(scored.to_series()).then(~pl.col("is_correct")).otherwise("is_correct")
    )
    assert mastery_groups(flipped, num_first=10).equals(groups)


def test_row_order_does_not_matter():
    answers, _ = simulate(30)
    assert mastery_groups(answers.sample(fraction=1, shuffle=True, seed=2)).equals(mastery_groups(answers))


def test_students_with_one_answer_have_no_group():
    answers = pl.DataFrame({"student_key": [4], "interaction_number": [1], "is_correct": [True]})
    assert len(mastery_groups(answers)) == 0
    assert len(mastery_groups(answers.clear())) == 0


def test_scored_rows_leave_out_the_start():
    answers, _ = simulate(30)
    groups = mastery_groups(answers, num_first=10)
    parts = [scored_rows(answers, groups, group) for group in ("low", "middle", "high")]
    assert sum(len(part) for part in parts) == len(answers) - 10 * 30
    assert min(part["interaction_number"].min() for part in parts) == 11


def test_gap_is_the_largest_minus_the_smallest_value():
    random = np.random.default_rng(1)
    scores = {}
    for group, share in (("low", 0.2), ("middle", 0.4), ("high", 0.8)):
        predicted_right = random.random(3000) < share
        scores[group] = score(
            np.arange(3000) // 10,
            np.zeros(3000, dtype=bool),
            np.where(predicted_right, 0.9, 0.1),
            num_draws=50,
            seed=1,
        )
    value, draws = gap(scores, "false_positive_rate")
    assert value == pytest.approx(0.6, abs=0.03)
    assert draws.shape == (50,)
    assert draws.std() > 0
