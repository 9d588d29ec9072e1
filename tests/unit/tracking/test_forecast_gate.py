"""Who becomes champion of the forecasters: a lower CRPS, with intervals that hold what they say."""

from __future__ import annotations

import pytest

from edpipe.tracking import promotion
from edpipe.tracking.registry import ModelVersion


def version(number: int, crps: float, coverage: float, *, aliases: tuple[str, ...] = ()) -> ModelVersion:
    tags = {
        "valid.crps": str(crps),
        "valid.coverage_90": str(coverage),
        "data.fingerprint": "f",
        "data.split": "s",
    }
    return ModelVersion("tsdiff", number, "id", f"key{number}", "source", tags, aliases)


@pytest.fixture
def decide(monkeypatch, settings):
    def run(*known: ModelVersion) -> promotion.Promotion:
        monkeypatch.setattr(promotion, "versions", lambda *_: list(known))
        monkeypatch.setattr(promotion, "get_version", lambda *_: known[-1])
        return promotion.promote(settings, "tsdiff", dry_run=True)

    return run


@pytest.mark.parametrize(
    ("champion", "candidate", "wins"),
    [
        ((0.30, 0.90), (0.25, 0.92), True),
        ((0.30, 0.90), (0.31, 0.90), False),
        ((0.30, 0.90), (0.25, 0.80), False),
        ((0.30, 0.90), (0.25, 0.97), False),
        ((0.30, 0.70), (0.25, 0.80), True),
        ((0.30, 0.80), (0.25, 0.70), False),
        ((0.30, 0.90), (float("nan"), 0.90), False),
        ((0.30, 0.90), (0.25, float("nan")), False),
    ],
)
def test_a_lower_crps_wins_where_intervals_are_right_or_less_wrong(champion, candidate, wins, decide):
    decided = decide(version(1, *champion, aliases=("champion",)), version(2, *candidate))
    assert decided.is_promoted is wins
    assert ("it takes over" in decided.reason) is wins


def test_the_reason_names_the_share_that_is_outside(decide):
    decided = decide(version(1, 0.3, 0.9, aliases=("champion",)), version(2, 0.25, 0.8))
    assert "but the champion stays." in decided.reason
    assert "inside the 90 % interval is 0.800, outside of 0.87 to 0.93." in decided.reason


def test_a_first_champion_is_taken_and_told_apart(decide):
    assert decide(version(1, 0.3, 0.9)).reason == "Version 1 is the first champion."
    told = decide(version(1, 0.3, 0.8))
    assert told.is_promoted
    assert "outside of 0.87 to 0.93" in told.reason
