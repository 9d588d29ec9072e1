"""Planted drift is found, and none is found where there is none: answers of students of known abilities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from edpipe.evaluation.drift.compare import compare
from edpipe.evaluation.drift.snapshot import Snapshot

START = datetime(2026, 1, 5, tzinfo=UTC)
KINDS = {"seconds": "number", "part": "category", "is_correct": "category"}
STUDENTS = 150
ITEMS = 60


def answers(
    seed: int,
    *,
    week: int = 0,
    weeks: int = 2,
    harder: float = 0.0,
    slower: float = 1.0,
    new: float = 0.0,
    volume=40,
) -> pl.DataFrame:
    """Draw answers by a Rasch model whose chances the scores know, but for what has become harder."""
    rng = np.random.default_rng(seed)
    ability, pace = rng.normal(size=STUDENTS), rng.normal(3, 0.5, size=STUDENTS)
    student = np.repeat(np.arange(STUDENTS), rng.poisson(volume, STUDENTS))
    item = rng.integers(0, ITEMS, len(student))
    item = np.where(rng.random(len(student)) < new, item + ITEMS, item)
    logit = ability[student] - np.linspace(-1, 1, ITEMS)[item % ITEMS]
    chance = 1 / (1 + np.exp(-logit))
    correct = rng.random(len(student)) < 1 / (1 + np.exp(-(logit - harder)))
    at = [
        START + timedelta(weeks=week, seconds=float(s))
        for s in rng.uniform(0, weeks * 7 * 86400, len(student))
    ]
    return pl.DataFrame(
        {
            "at": pl.Series(at, dtype=pl.Datetime("us", "UTC")),
            "student": student,
            "item": [f"i{number}" for number in item],
            "kcs": [[f"k{number % 7 + 7 * (number >= ITEMS)}"] for number in item],
            "seconds": slower * np.exp(rng.normal(pace[student], 0.3)),
            "part": item % 7 + 1,
            "is_correct": correct,
            "score": chance,
            "observed": correct.astype(float),
        }
    )


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return Snapshot.of(answers(1000), KINDS)


def alarms(snapshot: Snapshot, rows: pl.DataFrame) -> set[tuple[str, str]]:
    found = compare(snapshot, rows).filter(pl.col("verdict").is_in(["some", "strong"]))
    return {(row["kind"], row["name"]) for row in found.to_dicts()}


@pytest.mark.parametrize("volume", [40, 4])
def test_no_drift_is_hardly_ever_flagged(snapshot, volume):
    seeds = range(40)
    false = [
        bool(alarms(snapshot, answers(seed, week=2, volume=volume)) - {("volume", "median day")})
        for seed in seeds
    ]
    assert sum(false) <= 2


def test_the_verdicts_of_chance_are_needed_for_few_students(snapshot):
    few = answers(3, week=2).filter(pl.col("student") < 6)
    table = compare(snapshot, few)
    assert "chance" in table["verdict"].to_list()


def test_new_items_are_flagged_with_their_share(snapshot):
    table = compare(snapshot, answers(7, week=2, new=0.3))
    row = table.filter(kind="unseen", name="items").row(0, named=True)
    assert row["verdict"] == "strong"
    assert row["value"] == pytest.approx(0.3, abs=0.02)
    assert table.filter(kind="unseen", name="KCs")["verdict"].item() == "strong"


def test_shifted_difficulty_is_flagged_by_the_weeks_calibration_and_not_by_other_inputs(snapshot):
    found = alarms(snapshot, answers(8, week=2, harder=0.8))
    assert {kind for kind, _ in found} >= {"calibration"}
    assert ("input", "seconds") not in found
    weeks = compare(snapshot, answers(8, week=2, harder=0.8)).filter(kind="calibration")
    assert weeks.height == 2
    assert (weeks["value"] < -0.1).all()
    assert (weeks["high"] < 0).all()


def test_slower_answers_are_flagged_as_an_input(snapshot):
    assert ("input", "seconds") in alarms(snapshot, answers(9, week=2, slower=2.0))


def test_a_changed_rate_of_activity_is_flagged(snapshot):
    assert ("volume", "median day") in alarms(snapshot, answers(10, week=2, volume=10))
    assert ("volume", "median day") not in alarms(snapshot, answers(10, week=2, volume=30))


def test_one_day_beside_the_rest_is_stable_but_for_its_hours():
    rows = answers(11, weeks=3).with_columns(hour=pl.col("at").dt.hour())
    last = rows["at"].dt.date() == rows["at"].dt.date().max()
    snapshot = Snapshot.of(rows.filter(~last), {**KINDS, "hour": "category"})
    assert alarms(snapshot, rows.filter(last)) - {("volume", "median day")} == set()
    night = rows.filter(last).with_columns(hour=pl.lit(3, dtype=pl.Int8))
    assert ("input", "hour") in alarms(snapshot, night)


def test_a_week_of_few_rows_that_are_all_alike_is_not_sure(snapshot):
    rows = (
        answers(12, week=2)
        .head(8)
        .with_columns(student=pl.int_range(pl.len()), score=pl.lit(0.9), observed=pl.lit(1.0))
    )
    weeks = compare(snapshot, rows).filter(kind="calibration")
    assert (weeks["low"] < 0).all()
    assert set(weeks["verdict"]) == {"chance"}
