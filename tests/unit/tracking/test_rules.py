"""Each rule of a promotion by itself, on numbers whose verdict is plain."""

from __future__ import annotations

import dataclasses
import time

import pandas as pd
import polars as pl
import pytest

from edpipe.setting_groups_registry import PromotionSettings
from edpipe.tracking.contest import CONTESTS, contest_of
from edpipe.tracking.latency import fixed_batch, least_seconds
from edpipe.tracking.registry import ModelVersion
from edpipe.tracking.rules import LATENCY, MACHINE, TAKEN_BACK, Match, verdicts

RULES = ("better", "worst_group", "calibration", "latency", "not_taken_back")
# A champion of each family, and what is better: deciding score, worst group, calibration.
CHAMPIONS = {
    "tracing": ({"log_loss": 0.60, "auc": 0.7, "calibration_error": 0.02, "worst_group_log_loss": 0.68}, -1),
    "strategy": (
        {
            "log_loss": 0.60,
            "exact_match": 0.5,
            "calibration_error": 0.02,
            "worst_group_exact_match": 0.40,
        },
        -1,
    ),
    "tsdiff": ({"crps": 0.30, "coverage_90": 0.90, "worst_group_crps": 0.45}, -1),
    "diffumin": (
        {"auc": 0.70, "log_loss": 0.5, "predicted_over_clicked": 1.0, "worst_group_auc": 0.60},
        1,
    ),
}
IS_GROUP_HIGHER = {"tracing": False, "strategy": True, "tsdiff": False, "diffumin": True}


def version(name: str, number: int, milliseconds: float | None = 10.0, **tags: str) -> ModelVersion:
    timed = {} if milliseconds is None else {LATENCY: str(milliseconds), MACHINE: "cpu A"}
    return ModelVersion(name, number, "id", f"key{number}", "source", {**timed, **tags})


def match_of(
    name: str, *, milliseconds: float | None = 10.0, bounds=None, tags=None, **changes: float
) -> Match:
    """Pit a candidate that is better, but for the changes, against the champion of a family."""
    old, sign = CHAMPIONS[name]
    deciding = contest_of(name).deciding
    new = {**old, deciding: old[deciding] + sign * 0.05, **changes}
    return Match(
        version(name, 2, milliseconds, **(tags or {})),
        version(name, 1),
        {metric: value for metric, value in new.items() if value is not None},
        old,
        bounds or PromotionSettings(),
    )


def outcomes(match: Match) -> dict[str, str]:
    return {one.rule: one.outcome for one in verdicts(match)}


@pytest.mark.parametrize("name", CONTESTS)
def test_every_family_is_asked_the_same_rules_and_a_better_version_passes_all(name):
    told = verdicts(match_of(name))
    assert tuple(one.rule for one in told) == RULES
    assert {one.outcome for one in told} == {"passed"}
    assert all(one.reason.endswith(".") for one in told)


@pytest.mark.parametrize("name", CONTESTS)
@pytest.mark.parametrize("step", [0.0, -0.05, float("nan")])
def test_a_tie_a_worse_score_and_no_number_do_not_win(name, step):
    old, sign = CHAMPIONS[name]
    deciding = contest_of(name).deciding
    found = outcomes(match_of(name, **{deciding: old[deciding] + sign * step}))
    assert found["better"] == "failed"


@pytest.mark.parametrize("name", CONTESTS)
@pytest.mark.parametrize(
    ("lost", "outcome"), [(-0.2, "passed"), (0.0, "passed"), (0.009, "passed"), (0.011, "failed")]
)
def test_the_worst_group_may_lose_one_hundredth_of_its_score(name, lost, outcome):
    metric = contest_of(name).worst_metric
    old = CHAMPIONS[name][0][metric]
    changed = old * (1 - lost if IS_GROUP_HIGHER[name] else 1 + lost)
    assert outcomes(match_of(name, **{metric: changed}))["worst_group"] == outcome


def test_the_tolerance_is_a_setting():
    bounds = PromotionSettings(worst_group_tolerance=0.2)
    assert outcomes(match_of("tracing", worst_group_log_loss=0.8, bounds=bounds))["worst_group"] == "passed"


@pytest.mark.parametrize("name", CONTESTS)
def test_unknown_groups_stand_in_nobodys_way_and_the_reason_says_so(name):
    (told,) = [
        one
        for one in verdicts(match_of(name, **{contest_of(name).worst_metric: None}))
        if one.rule == "worst_group"
    ]
    assert told.outcome == "unknown"
    assert contest_of(name).groups_title in told.reason


@pytest.mark.parametrize(
    ("name", "metric", "value", "outcome"),
    [
        ("tracing", "calibration_error", 0.05, "passed"),
        ("tracing", "calibration_error", 0.051, "failed"),
        ("strategy", "calibration_error", 0.2, "failed"),
        ("tsdiff", "coverage_90", 0.87, "passed"),
        ("tsdiff", "coverage_90", 0.869, "failed"),
        ("tsdiff", "coverage_90", 0.94, "failed"),
        ("diffumin", "predicted_over_clicked", 1.1, "passed"),
        ("diffumin", "predicted_over_clicked", 0.89, "failed"),
        ("diffumin", "predicted_over_clicked", float("nan"), "failed"),
    ],
)
def test_calibration_must_lie_in_the_band(name, metric, value, outcome):
    assert outcomes(match_of(name, **{metric: value}))["calibration"] == outcome


def test_a_calibration_outside_of_the_band_is_taken_where_the_champions_is_farther():
    match = match_of("tracing", calibration_error=0.08)
    off = dataclasses.replace(match, old={**match.old, "calibration_error": 0.09})
    assert outcomes(off)["calibration"] == "passed"


@pytest.mark.parametrize(
    ("milliseconds", "bounds", "outcome"),
    [
        (20.0, {}, "passed"),
        (20.1, {}, "failed"),
        (20.1, {"latency_factor": 3}, "passed"),
        (8.0, {"max_latency_ms": 7}, "failed"),
        (6.0, {"max_latency_ms": 7}, "passed"),
        (None, {"max_latency_ms": 7}, "unknown"),
    ],
)
def test_latency_is_bounded_beside_the_champion_and_in_milliseconds(milliseconds, bounds, outcome):
    match = match_of("tracing", milliseconds=milliseconds, bounds=PromotionSettings(**bounds))
    assert outcomes(match)["latency"] == outcome


def test_times_of_two_machines_are_not_compared_but_the_bound_holds():
    tags = {MACHINE: "cpu B"}
    assert outcomes(match_of("tracing", milliseconds=900.0, tags=tags))["latency"] == "unknown"
    bounds = PromotionSettings(max_latency_ms=100)
    assert outcomes(match_of("tracing", milliseconds=900.0, tags=tags, bounds=bounds))["latency"] == "failed"


def test_what_was_taken_back_stays_back():
    match = match_of("tracing", tags={TAKEN_BACK: "Wrong for part 7."})
    (told,) = [one for one in verdicts(match) if one.outcome == "failed"]
    assert told.rule == "not_taken_back"
    assert "Wrong for part 7." in told.reason


def test_the_worst_group_is_the_worst_of_those_that_are_large_enough():
    metrics = pl.DataFrame(
        {
            "subset": ["all", "mastery:low", "mastery:middle", "mastery:high", "mastery:gap"],
            "metric": ["log_loss"] * 5,
            "value": [0.6, 0.9, 0.7, 0.5, 2.0],
            "num_interactions": [500, 30, 200, 270, 500],
        }
    )
    contest = contest_of("tracing")
    assert contest.worst_group(metrics, least_rows=100) == ("mastery:middle", 0.7)
    assert contest.worst_group(metrics, least_rows=1) == ("mastery:low", 0.9)
    assert contest.worst_group(metrics, least_rows=1000) is None


def test_the_fixed_batch_asks_for_each_subject_by_a_name_of_its_own():
    batch = fixed_batch(pd.DataFrame({"student_id": ["a", "a"], "item_id": ["1", "2"]}), num_subjects=3)
    assert batch["student_id"].to_list() == ["a 0", "a 0", "a 1", "a 1", "a 2", "a 2"]
    assert batch["item_id"].to_list() == ["1", "2"] * 3


def test_time_that_others_take_does_not_count():
    assert least_seconds(lambda: time.sleep(0.05)) < 0.02
    assert least_seconds(lambda: sum(range(400_000))) > 0.001
