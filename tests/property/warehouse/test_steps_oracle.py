"""`core.steps` and what follows from it equal a plain Python reading of tutor logs."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_in_memory import Models

NOTE = "DO NOT TRACK ME"
CELLS = ["a", "b", "b~~a", f"a~~{NOTE}", NOTE, None]
QUICK = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
OUTCOMES = {
    "CORRECT": "correct",
    "OK": "correct",
    "INCORRECT": "incorrect",
    "JIT": "incorrect",
    "BUG": "incorrect",
    "ERROR": "incorrect",
    "HINT": "hint",
    "INITIAL_HINT": "hint",
    "HINT_LEVEL_CHANGE": "hint",
}


step_rows = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2"]),
        st.sampled_from(["A", "B"]),
        st.sampled_from(["p", "q"]),
        st.sampled_from([1, 2]),
        st.sampled_from(["x", "y", "z"]),
        st.one_of(st.none(), st.integers(1, 30)),
        st.sampled_from(["correct", "incorrect", "hint", None]),
        st.sampled_from(CELLS),
        st.sampled_from(["train", "test"]),
    ),
    max_size=25,
)


def raw_steps(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [
        {
            "source_file": f"d_{split}.txt",
            "dataset": "d",
            "split": split,
            "source_row": number,
            "published_row": number,
            "student_id": student,
            "problem_hierarchy": section,
            "problem_name": problem,
            "problem_view": view,
            "step_name": step,
            "kc_models": ["KTracedSkills"],
            "kc_cells": [cell],
            "opportunity_cells": [cell and "1"],
            "first_transaction_milliseconds": second and second * 1000,
            "first_attempt": first_attempt,
        }
        for number, (student, section, problem, view, step, second, first_attempt, cell, split) in enumerate(
            rows, 1
        )
    ]


def place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Order of steps: by time, those without behind, then by Row."""
    time = row["first_transaction_milliseconds"]
    return time is None, time or 0, row["published_row"]


def steps_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge rows of one step, order the steps of each student, and find the attempts."""
    copies: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        key = ("student_id", "problem_hierarchy", "problem_name", "problem_view", "step_name")
        copies[tuple(row[name] for name in key)].append(row)
    by_student: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for key, own in copies.items():
        first = min(own, key=lambda row: (row["first_attempt"] is None, *place(row)))
        kcs = sorted({kc for row in own if row["kc_cells"][0] for kc in row["kc_cells"][0].split("~~")})
        by_student[key[0]].append((place(first), key, first, kcs, own))
    found = []
    for _, own_steps in sorted(by_student.items()):
        counts: dict[tuple[Any, ...], int] = defaultdict(int)
        previous = None
        for number, (_, key, first, kcs, own) in enumerate(sorted(own_steps, key=lambda item: item[0]), 1):
            attempt = key[:4]
            counts[attempt] += 1
            told = first["first_attempt"]
            found.append(
                {
                    "attempt": attempt,
                    "step_name": key[4],
                    "interaction_number": number,
                    "step_number": counts[attempt],
                    "first_attempt": told,
                    "is_correct": None if told is None else told == "correct",
                    "kc_ids": [f"d/{kc}" for kc in kcs],
                    "num_rows": len(own),
                    "is_reentry": counts[attempt] > 1 and attempt != previous,
                    "published_split": min(row["split"] for row in own),
                }
            )
            previous = attempt
    return found


def edges_of(steps: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Count each KC of each attempt, and the student's attempts that began before."""
    attempts: dict[tuple[Any, ...], dict[str, list[bool | None]]] = {}
    for step in steps:
        own = attempts.setdefault(step["attempt"], defaultdict(list))
        for kc in step["kc_ids"]:
            if NOTE not in kc:
                own[kc].append(step["is_correct"])
    known: dict[tuple[str, str], list[bool]] = defaultdict(list)
    found = []
    for attempt, kcs in attempts.items():
        for kc, answers in kcs.items():
            before = known[attempt[0], kc]
            scored = [answer for answer in answers if answer is not None]
            found.append((attempt, kc, len(answers), len(scored), sum(scored), len(before), sum(before)))
        for kc, answers in kcs.items():
            known[attempt[0], kc].extend(answer for answer in answers if answer is not None)
    return sorted(found)


ATTEMPT = "SUBSTR(student_id, 3) AS student, SPLIT_PART(problem_id, '/', 2), SPLIT_PART(problem_id, '/', 3)"


@QUICK
@given(rows=step_rows)
def test_steps_strategies_and_edges_equal_the_oracle(models: Models, rows: list[Any]) -> None:
    raw = raw_steps(rows)
    wanted = [
        "training.strategy_examples",
        "features.mastery_edges",
        "core.interactions",
        "core.kcs",
        "core.tutor_checks",
    ]
    connection = models.run({"kddcup_steps": raw}, wanted)
    expected = steps_of(raw)
    made = connection.sql(
        f"SELECT {ATTEMPT}, steps.problem_view, SPLIT_PART(item_id, '/', 4), interaction_number, "
        "step_number, first_attempt, is_correct, kc_ids, num_rows, is_reentry, steps.published_split "
        "FROM core.steps JOIN core.problem_steps USING (item_key) "
        "JOIN core.tutor_students USING (student_key) "
        "ORDER BY student, interaction_number"
    ).fetchall()
    assert made == [(*step.pop("attempt"), *step.values()) for step in steps_of(raw)]
    strategies = {
        row[:4]: row[4:]
        for row in connection.sql(
            f"SELECT {ATTEMPT}, problem_view, kc_ids, attempts.num_steps, num_tagged_steps, len(step_sizes) "
            "FROM core.problem_attempts AS attempts LEFT JOIN features.strategies USING (attempt_key)"
        ).fetchall()
    }
    wanted_strategies: dict[Any, Any] = {}
    for step in expected:
        kcs, steps, tagged = wanted_strategies.get(step["attempt"], ([], 0, 0))
        own = [kc for kc in step["kc_ids"] if NOTE not in kc]
        wanted_strategies[step["attempt"]] = (kcs + own, steps + 1, tagged + bool(own))
    assert strategies == {
        attempt: (kcs or None, steps, tagged, tagged or None)
        for attempt, (kcs, steps, tagged) in wanted_strategies.items()
    }
    edges = connection.sql(
        f"SELECT {ATTEMPT}, problem_view, kc_id, edges.num_steps, edges.num_scored, edges.num_correct, "
        "prior_scored, prior_correct FROM features.mastery_edges AS edges "
        "JOIN core.problem_attempts USING (attempt_key) JOIN core.kcs USING (kc_key)"
    ).fetchall()
    assert sorted((edge[:4], *edge[4:]) for edge in edges) == edges_of(expected)
    examples = connection.sql("SELECT COUNT(*) FROM training.strategy_examples").fetchone()
    assert examples == (sum(bool(kcs) for kcs, _, _ in wanted_strategies.values()),)
    interactions = connection.sql(
        "SELECT student_id, interaction_number, is_correct FROM core.interactions ORDER BY ALL"
    ).fetchall()
    assert interactions == sorted(
        (f"d/{step['attempt'][0]}", step["interaction_number"], step["is_correct"]) for step in expected
    )
    failed = connection.sql(
        "SELECT * FROM core.tutor_checks WHERE severity = 'error' AND observed <> expected"
    )
    assert failed.fetchall() == []


@QUICK
@given(rows=step_rows, seed=st.integers(0, 1000))
def test_order_in_the_file_changes_nothing_where_times_tell_it(
    models: Models, rows: list[Any], seed: int
) -> None:
    timed = [(*row[:5], number, *row[6:]) for number, row in enumerate(rows, 1)]
    shuffled = random.Random(seed).sample(timed, len(timed))
    answer = (
        f"SELECT {ATTEMPT}, problem_view, attempt_number, kc_ids, step_sizes, strategy_id, "
        "attempts.num_correct FROM core.problem_attempts AS attempts "
        "LEFT JOIN features.strategies USING (attempt_key) ORDER BY ALL"
    )
    found = [
        models.run({"kddcup_steps": raw_steps(order)}, ["features.strategies", "core.problem_attempts"])
        .sql(answer)
        .fetchall()
        for order in (timed, shuffled)
    ]
    assert found[0] == found[1]


transactions = st.lists(
    st.tuples(
        st.sampled_from(["x", "y", None]),
        st.sampled_from([1, 2, None]),
        st.one_of(st.none(), st.integers(1, 9)),
        st.one_of(st.none(), st.integers(1, 3)),
        st.sampled_from([*OUTCOMES, "STUDY", "PERHAPS", None]),
        st.sampled_from([True, False, None]),
        st.sampled_from(["a", "b~~a", None]),
    ),
    max_size=25,
)


@QUICK
@given(rows=transactions)
def test_transactions_are_rolled_up_by_the_rules_of_datashop(models: Models, rows: list[Any]) -> None:
    raw = [
        {
            "source_file": "m.csv",
            "dataset": "m",
            "source_row": number,
            "student_id": "s",
            "problem_name": "p",
            "problem_view": view,
            "step_name": step,
            "milliseconds": second and second * 1000,
            "attempt_at_step": attempt,
            "outcome": outcome,
            "is_autofilled": is_autofilled,
            "kc_models": ["MATHia"],
            "kc_cells": [cell],
        }
        for number, (step, view, second, attempt, outcome, is_autofilled, cell) in enumerate(rows, 1)
    ]
    connection = models.run({"mathia_transactions": raw}, ["core.tutor_checks"])
    actions: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for number, (step, view, second, attempt, outcome, is_autofilled, cell) in enumerate(rows):
        if step and outcome in OUTCOMES and not is_autofilled:
            when = (second is None, second or 0, attempt is None, attempt or 0, number)
            actions[step, view or 1].append((when, OUTCOMES[outcome], cell))
    expected = []
    for (step, view), own in actions.items():
        outcomes = [outcome for _, outcome, _ in sorted(own)]
        kcs = sorted({f"m/{kc}" for _, _, cell in own if cell for kc in cell.split("~~")})
        counters = [outcomes.count(word) for word in ("incorrect", "hint", "correct")]
        expected.append((step, view, outcomes[0], *counters, kcs, len(own)))
    made = connection.sql(
        "SELECT SPLIT_PART(item_id, '/', 4), problem_view, first_attempt, incorrects, hints, corrects, "
        "kc_ids, num_source_rows FROM core.steps JOIN core.problem_steps USING (item_key)"
    ).fetchall()
    assert sorted(made) == sorted(expected)
    failed = connection.sql(
        "SELECT * FROM core.tutor_checks WHERE severity = 'error' AND observed <> expected"
    )
    assert failed.fetchall() == []
