"""Who becomes champion of the recommenders: a higher AUC, with about as many clicks as come."""

from __future__ import annotations

import pytest

from edpipe.tracking import promotion
from edpipe.tracking.registry import ModelVersion


def version(number: int, auc: float, ratio: float, *, aliases: tuple[str, ...] = ()) -> ModelVersion:
    tags = {
        "valid.auc": str(auc),
        "valid.log_loss": "0.5",
        "valid.predicted_over_clicked": str(ratio),
        "data.fingerprint": "f",
        "data.split": "s",
    }
    return ModelVersion("diffumin", number, "id", f"key{number}", "source", tags, aliases)


@pytest.fixture
def decide(monkeypatch, settings):
    def run(*known: ModelVersion) -> promotion.Promotion:
        monkeypatch.setattr(promotion, "versions", lambda *_: list(known))
        monkeypatch.setattr(promotion, "get_version", lambda *_: known[-1])
        return promotion.promote(settings, "diffumin", dry_run=True)

    return run


@pytest.mark.parametrize(
    ("champion", "candidate", "wins"),
    [
        ((0.70, 1.0), (0.75, 1.05), True),
        ((0.70, 1.0), (0.69, 1.0), False),
        ((0.70, 1.0), (0.70, 1.0), False),
        ((0.70, 1.0), (0.75, 1.2), False),
        ((0.70, 1.0), (0.75, 0.8), False),
        ((0.70, 1.4), (0.75, 1.2), True),
        ((0.70, 1.0), (float("nan"), 1.0), False),
        ((0.70, 1.0), (0.75, float("nan")), False),
    ],
)
def test_a_higher_auc_wins_where_clicks_are_about_as_many_as_come(champion, candidate, wins, decide):
    decided = decide(version(1, *champion, aliases=("champion",)), version(2, *candidate))
    assert decided.is_promoted is wins
    assert ("it takes over" in decided.reason) is wins


def test_a_first_champion_that_is_off_is_taken_and_told_apart(decide):
    decided = decide(version(1, 0.7, 0.8))
    assert decided.is_promoted
    assert "predicted clicks for each real one is 0.800, outside of 0.9 to 1.1" in decided.reason
