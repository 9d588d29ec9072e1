"""`core.interactions` and what follows from it equal a plain Python reading of the logs."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_in_memory import Models

IDLE_MILLISECONDS = 30 * 60_000
BUNDLES = {"b1": ["q1", "q2"], "b2": ["q3"], "b3": ["q4", "q5", "q6"]}
KEYS = {"q1": "a", "q2": "b", "q3": "c", "q4": "d", "q5": "a", "q6": "b"}
TAGS = {"q1": "1;2;1", "q2": "1", "q3": "-1", "q4": "3;2", "q5": "10", "q6": "10;1"}
BUNDLE_OF = {item: bundle for bundle, items in BUNDLES.items() for item in items}
QUESTIONS = [
    {
        "source_row": row,
        "question_id": item,
        "bundle_id": BUNDLE_OF[item],
        "explanation_id": "e" + BUNDLE_OF[item][1:],
        "correct_answer": KEYS[item],
        "part": 1,
        "tags": TAGS[item],
        "deployed_at": -1,
    }
    for row, item in enumerate(KEYS, 1)
]
START = 1_500_000_000_000


answers = st.tuples(
    st.sampled_from([*KEYS, "q99"]),
    st.sampled_from(["a", "b", "c", "d", ""]),
    st.sampled_from([0, 1, 5_000, 90_000, IDLE_MILLISECONDS, IDLE_MILLISECONDS + 1, 10**8]),
    st.integers(0, 60_000),
    st.booleans(),
)
logs = st.dictionaries(st.sampled_from(["u1", "u2", "u10"]), st.lists(answers, max_size=12), min_size=1)


def kt1_rows(log: dict[str, list[tuple[Any, ...]]]) -> list[dict[str, Any]]:
    rows = []
    for student, given_answers in log.items():
        now, visit = START, 1
        for row, (item, answer, pause, elapsed, new_visit) in enumerate(given_answers, 1):
            now += pause
            visit += new_visit
            rows.append(
                {
                    "student_id": student,
                    "source_row": row,
                    "timestamp": now,
                    "solving_id": visit,
                    "question_id": item,
                    "user_answer": answer,
                    "elapsed_time": elapsed,
                }
            )
    return rows


def interactions_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Read KT1 rows by the rules of the page on the warehouse, one student after the other."""
    found = []
    by_student: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_student[row["student_id"]].append(row)
    for student, own in by_student.items():
        own.sort(key=lambda row: (row["timestamp"], row["source_row"]))
        times_met: dict[str, int] = defaultdict(int)
        last_met = {row["question_id"]: number for number, row in enumerate(own, 1)}
        session, before = 0, None
        for number, row in enumerate(own, 1):
            item, answer = row["question_id"], row["user_answer"] or None
            times_met[item] += 1
            bundle_milliseconds = row["elapsed_time"] * len(BUNDLES.get(BUNDLE_OF.get(item, ""), [""]))
            if before is None or row["timestamp"] - before["timestamp"] > IDLE_MILLISECONDS:
                session += 1
            lag = None
            if before is not None and before["solving_id"] == row["solving_id"]:
                lag = 0.0
            elif before is not None:
                lag = max(0, row["timestamp"] - bundle_milliseconds - before["timestamp"]) / 1000
            found.append(
                {
                    "student_id": student,
                    "interaction_number": number,
                    "item_id": item,
                    "answered": row["timestamp"],
                    "displayed": row["timestamp"] - bundle_milliseconds,
                    "user_answer": answer,
                    "is_answered": answer is not None,
                    "is_correct": None if answer is None or item not in KEYS else answer == KEYS[item],
                    "elapsed_seconds": row["elapsed_time"] / 1000,
                    "bundle_elapsed_seconds": bundle_milliseconds / 1000,
                    "lag_seconds": lag,
                    "attempt_number": times_met[item],
                    "is_first_attempt": times_met[item] == 1,
                    "is_last_attempt": last_met[item] == number,
                    "session_number": session,
                    "source_row": row["source_row"],
                }
            )
            before = row
    return sorted(found, key=lambda row: (row["student_id"], row["interaction_number"]))


def mastery_of(interactions: list[dict[str, Any]], decay: float) -> dict[tuple[str, str], tuple[int, float]]:
    history: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in interactions:
        if row["is_correct"] is not None:
            for kc in set(TAGS[row["item_id"]].split(";")) - {"-1"}:
                history[row["student_id"], kc].append(row["is_correct"])
    return {
        key: (
            len(known),
            sum(decay**age * right for age, right in enumerate(reversed(known)))
            / sum(decay**age for age in range(len(known))),
        )
        for key, known in history.items()
    }


QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(log=logs)
def test_interactions_and_mastery_equal_the_oracle(models: Models, log: dict[str, Any]) -> None:
    rows = kt1_rows(log)
    wanted = ["core.interactions", "features.kc_mastery", "training.tracing_examples", "core.reconciliation"]
    connection = models.run({"ednet_kt1": rows, "ednet_questions": QUESTIONS}, wanted)
    expected = interactions_of(rows)
    made = connection.sql(
        "SELECT student_id, interaction_number, item_id, epoch_ms(answered_at) AS answered, "
        "epoch_ms(displayed_at) AS displayed, user_answer, is_answered, is_correct, elapsed_seconds, "
        "bundle_elapsed_seconds, lag_seconds, attempt_number, is_first_attempt, is_last_attempt, "
        "session_id % 1000000 AS session_number, source_row FROM core.interactions ORDER BY ALL"
    ).pl()
    assert made.to_dicts() == expected
    mastery = {
        (student, kc): (count, value)
        for student, kc, count, value in connection.sql(
            "SELECT student_id, kc_id, num_opportunities, mastery FROM features.kc_mastery"
        ).fetchall()
    }
    wanted = mastery_of(expected, decay=0.9)
    assert {key: count for key, (count, _) in mastery.items()} == {k: c for k, (c, _) in wanted.items()}
    assert all(value == pytest.approx(wanted[key][1]) for key, (_, value) in mastery.items())
    steps = connection.sql("SELECT COUNT(*) FROM training.tracing_examples").fetchone()
    assert steps == (sum(row["is_correct"] is not None for row in expected),)
    failed = connection.sql("SELECT * FROM core.reconciliation WHERE severity = 'error' AND NOT is_ok")
    assert failed.fetchall() == []


@QUICK
@given(log=logs)
def test_split_is_the_documented_hash(models: Models, log: dict[str, Any]) -> None:
    connection = models.run({"ednet_kt1": kt1_rows(log), "ednet_questions": QUESTIONS}, ["core.students"])
    for student, split in connection.sql("SELECT student_id, split FROM core.students").fetchall():
        share = int(hashlib.md5(f"edpipe:{student}".encode()).hexdigest()[:8], 16) / 2**32
        assert split == ("test" if share < 0.2 else "valid" if share < 0.2 + 0.1 else "train")


kc_rows = st.lists(
    st.tuples(st.sampled_from(["p1", "p2", None]), st.sampled_from(["A", "B", "C"]), st.integers(0, 1)),
    min_size=1,
    max_size=14,
)


@QUICK
@given(rows=kc_rows)
def test_rows_of_one_answer_are_joined_by_the_stated_rule(models: Models, rows: list[Any]) -> None:
    raw = [
        {
            "source_file": "f",
            "student_id": "s",
            "source_row": number,
            "problem_id": problem,
            "kc_id": kc,
            "correct": correct,
        }
        for number, (problem, kc, correct) in enumerate(rows, 1)
    ]
    connection = models.run({"assistments_answers": raw}, ["core.interactions"])
    starts, previous, seen, most = [], None, defaultdict(int), 0
    for problem, kc, correct in rows:
        if problem is None or (problem, correct) != previous:
            seen, most = defaultdict(int), 0
        seen[kc] += 1
        starts.append(seen[kc] > most)
        most = max(most, seen[kc])
        previous = (problem, correct)
    made = connection.sql("SELECT is_first_row FROM core.answer_rows ORDER BY row_number").fetchall()
    assert [start for (start,) in made] == starts
    counted = connection.sql("SELECT COUNT(*), MAX(interaction_number) FROM core.interactions").fetchone()
    assert counted == (sum(starts), sum(starts))


opened = st.sampled_from(["b1", "b2", "e1", "l1"])
actions = st.lists(
    st.tuples(
        st.sampled_from(["enter", "respond", "submit", "quit", "play_audio", "play_video", "pay", "new"]),
        opened,
        st.sampled_from(["q1", "q3"]),
    ),
    max_size=14,
)


@QUICK
@given(log=actions)
def test_contexts_equal_a_state_machine(models: Models, log: list[tuple[str, str, str]]) -> None:
    rows = [
        {
            "student_id": "u1",
            "source_row": number,
            "timestamp": START + number,
            "action_type": kind,
            "item_id": item if kind == "respond" else "p1" if kind == "pay" else context,
            "source": "sprint",
            "platform": "web",
        }
        for number, (kind, context, item) in enumerate(log, 1)
    ]
    connection = models.run({"ednet_kt4": rows, "ednet_questions": QUESTIONS}, ["core.actions"])
    expected, state, number = [], None, 0
    for row in rows:
        kind, item = row["action_type"], row["item_id"]
        if kind == "enter":
            number, state = number + 1, item
            expected.append((number, None))
            continue
        inside = number if state else None
        expected.append((inside, violation_of(kind, item, state)))
        if state == item and kind == ("submit" if item[0] == "b" else "quit"):
            state = None
    made = connection.sql("SELECT context_number, violation FROM core.actions ORDER BY action_number")
    assert made.fetchall() == expected


def violation_of(kind: str, item: str, state: str | None) -> str | None:
    """Say whether an action fits what is open."""
    if kind == "pay":
        return None
    if kind == "new":
        return "unknown_action"
    if state is None:
        return "outside_context"
    fits = {
        "respond": BUNDLE_OF.get(item) == state,
        "submit": item == state and state[0] == "b",
        "quit": item == state and state[0] in "el",
        "play_audio": state[0] in "be" and item[0] in "be" and item[1:] == state[1:],
        "play_video": item == state,
    }
    return None if fits[kind] else "wrong_context"
