"""Behaviors, sequences and examples equal a plain Python reading of the logs, one student after the other."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_in_memory import Models
from test_interactions_oracle import BUNDLE_OF, BUNDLES, QUESTIONS, interactions_of, kt1_rows
from test_interactions_oracle import logs as answer_logs

START = 1_500_000_000_000
LECTURES = {"l1": 100, "l2": None}
WATCHED_SHARE = 0.8

clicks = st.tuples(
    st.sampled_from(["1", "2", "3", "4"]),
    st.sampled_from([0, 0, 1, 60_000]),
    st.sampled_from(["pv", "buy", None]),
)
click_logs = st.tuples(
    st.dictionaries(st.sampled_from(["u1", "u2", "u10"]), st.lists(clicks, max_size=12), min_size=1),
    st.booleans(),
)
visits = st.tuples(
    st.sampled_from([*BUNDLES, "e1", "e2", *LECTURES]),
    st.sampled_from([0, 5_000, 79_999, 80_000, 200_000]),
    st.booleans(),
)
visit_logs = st.dictionaries(st.sampled_from(["u1", "u2"]), st.lists(visits, max_size=10), min_size=1)

EXAMPLES = """
    SELECT students.student_id, examples.behavior_number, catalog.item_id, examples.history_length,
        examples.is_next_item, examples.is_engaged, examples.is_correct
    FROM training.recommendation_examples AS examples
    JOIN core.students AS students ON examples.student_key = students.student_key
    JOIN core.catalog AS catalog ON examples.catalog_key = catalog.catalog_key
    WHERE examples.source = ? AND examples.log_name = ?
    ORDER BY students.student_id, examples.behavior_number
"""
SEQUENCES = """
    SELECT student_id, num_behaviors, catalog_keys, outcome_keys, acted_milliseconds, earlier_catalog_keys
    FROM features.behavior_sequences WHERE source = ? AND log_name = ? ORDER BY student_id
"""
CATALOG = "SELECT catalog_key, item_id FROM core.catalog"
OUTCOMES = "SELECT outcome_key, outcome FROM core.outcomes"
WANTED = ["training.recommendation_examples", "features.behavior_sequences", "core.behavior_checks"]


def check(connection: Any, source: str, log_name: str, expected: dict[str, list[dict[str, Any]]]) -> None:
    """Compare examples and sequences with the behaviors of each student in order."""
    examples, sequences = [], []
    for student, own in sorted(expected.items()):
        met: set[str] = set()
        for place, row in enumerate(own):
            start = place
            while start > 0 and _asked_with(own[start - 1], own[start]):
                start -= 1
            examples.append(
                (
                    student,
                    place + 1,
                    row["item"],
                    start,
                    row["item"] not in met,
                    row["engaged"],
                    row["correct"],
                )
            )
            met.add(row["item"])
        if own:
            sequences.append((student, [(row["item"], row["outcome"], row["time"] or 0) for row in own]))
    assert connection.execute(EXAMPLES, [source, log_name]).fetchall() == examples
    items = dict(connection.execute(CATALOG).fetchall())
    words = {0: None, **dict(connection.execute(OUTCOMES).fetchall())}
    found = []
    for student, count, keys, outcomes, times, earlier in connection.execute(
        SEQUENCES, [source, log_name]
    ).fetchall():
        assert (count, earlier) == (len(keys), [])
        rows = zip(keys, outcomes, times, strict=True)
        found.append((student, [(items[key], words[outcome], time) for key, outcome, time in rows]))
    assert found == sequences
    bad = "SELECT * FROM core.behavior_checks WHERE severity = 'error' AND observed IS DISTINCT FROM expected"
    assert connection.execute(bad).fetchall() == []


def _asked_with(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    same_time = earlier["time"] is not None and earlier["time"] == later["time"]
    return same_time or (earlier["visit"] is not None and earlier["visit"] == later["visit"])


def behavior(item: str, time: int | None, outcome: str | None, **more: Any) -> dict[str, Any]:
    found = {"item": item, "time": time, "outcome": outcome, "visit": None, "engaged": None, "correct": None}
    return {**found, **more}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(click_logs)
def test_clicks_are_in_order_of_time_and_file(models: Models, made: tuple[dict[str, Any], bool]) -> None:
    log, has_times = made
    raw, expected = [], defaultdict(list)
    for student, own in log.items():
        now = START
        for item, pause, outcome in own:
            now += pause
            time = now if has_times else None
            raw.append(
                {
                    "source_file": "f.csv",
                    "dataset": "f",
                    "source_row": len(raw) + 1,
                    "student_id": f"f:{student}",
                    "item_id": f"f:{item}",
                    "outcome": outcome,
                    "milliseconds": time,
                }
            )
            expected[f"f:{student}"].append(behavior(f"f:{item}", time, outcome))
    # The order of the shards is not that of the rows.
    check(models.run({"clicks_behaviors": raw[::-1]}, WANTED), "clicks", "clicks", expected)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer_logs)
def test_answers_of_one_visit_do_not_know_each_other(models: Models, log: dict[str, Any]) -> None:
    rows = kt1_rows(log)
    visit_of = {(row["student_id"], row["source_row"]): row["solving_id"] for row in rows}
    expected = defaultdict(list)
    for row in interactions_of(rows):
        word = {True: "correct", False: "incorrect", None: None if row["is_answered"] else "unanswered"}
        expected[row["student_id"]].append(
            behavior(
                row["item_id"],
                row["answered"],
                word[row["is_correct"]],
                visit=visit_of[row["student_id"], row["source_row"]],
                correct=row["is_correct"],
            )
        )
    connection = models.run({"ednet_kt1": rows, "ednet_questions": QUESTIONS}, WANTED)
    check(connection, "ednet", "answers", expected)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(visit_logs)
def test_visits_say_whether_they_were_finished_or_watched(models: Models, log: dict[str, Any]) -> None:
    raw, expected = [], defaultdict(list)
    for student, own in log.items():
        now, row_number = START, 0
        for item, stays, is_closed in own:
            closing = "submit" if item[0] == "b" else "quit"
            actions = [("enter", now)] + ([(closing, now + stays)] if is_closed else [])
            for action, when in actions:
                row_number += 1
                raw.append(
                    {
                        "student_id": student,
                        "source_row": row_number,
                        "timestamp": when,
                        "action_type": action,
                        "item_id": item,
                        "source": "sprint",
                        "platform": "web",
                    }
                )
            expected[student].append(visit(item, now, stays if is_closed else None))
            now += stays
    lectures = [
        {"source_row": row, "lecture_id": name, "part": 1, "tags": "9", "deployed_at": -1}
        | {"video_length": -1 if seconds is None else seconds * 1_000}
        for row, (name, seconds) in enumerate(LECTURES.items(), 1)
    ]
    given_rows = {"ednet_kt3": raw, "ednet_questions": QUESTIONS, "ednet_lectures": lectures}
    check(models.run(given_rows, WANTED), "ednet", "visits", expected)


def visit(item: str, now: int, stays: int | None) -> dict[str, Any]:
    """Return the behavior that a visit is, by the rules of the page on clicks."""
    if item[0] == "b":
        return behavior(item, now, "unfinished" if stays is None else "finished", engaged=stays is not None)
    if item[0] == "e":
        return behavior(item, now, "read")
    length = LECTURES[item]
    if length is None or stays is None:
        return behavior(item, now, None)
    is_watched = stays / 1_000 >= WATCHED_SHARE * length
    return behavior(item, now, "watched" if is_watched else "left", engaged=is_watched)


def test_only_the_latest_ten_thousand_are_listed_and_what_was_met_before_is_known(models: Models) -> None:
    met = ["a", "b", "a", "b", "c", *(["b", "d"] * 5_000)]
    raw = [
        {"source_file": "f", "dataset": "f", "source_row": row, "student_id": "f:u", "item_id": item}
        | {"milliseconds": START + row}
        for row, item in enumerate(met, 1)
    ]
    connection = models.run({"clicks_behaviors": raw}, ["features.behavior_sequences"])
    count, kept, keys, times, earlier = connection.execute(
        "SELECT num_behaviors, num_kept, catalog_keys, acted_milliseconds, earlier_catalog_keys "
        "FROM features.behavior_sequences"
    ).fetchone()
    items = dict(connection.execute(CATALOG).fetchall())
    assert (count, kept) == (10_005, 10_000)
    assert [items[key] for key in keys] == ["b", "d"] * 5_000
    assert times == list(range(START + 6, START + 10_006))
    assert [items[key] for key in earlier] == ["a", "b", "c"]


def test_bundles_and_explanations_are_things_of_their_own(models: Models) -> None:
    connection = models.run({"ednet_questions": QUESTIONS}, ["core.catalog"])
    found = connection.execute(
        "SELECT item_id, item_type, category_ids FROM core.catalog WHERE log_name = 'visits' ORDER BY item_id"
    ).fetchall()
    assert found[:2] == [("b1", "bundle", ["1", "2"]), ("b2", "bundle", [])]
    assert {name for name, _, _ in found} == {*BUNDLES, *("e" + bundle[1:] for bundle in BUNDLE_OF.values())}
