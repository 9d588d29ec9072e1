"""Prediction of strategies: the KCs in order that a student will use on a problem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.families.family import Evaluated, OnMade

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun

TITLES = {
    "exact_match": "exact match",
    "jaccard": "Jaccard",
    "edit_similarity": "edit similarity",
    "lcs_f1": "LCS-F1",
    "next_kc_accuracy": "next KC",
    "log_likelihood": "log likelihood a token",
}
VALIDATION = {
    "log_loss": "valid log loss a token",
    "exact_match": "valid exact match",
    "worst_group_exact_match": "valid exact match, worst group",
}


class StrategyFamily:
    """Models that predict strategies."""

    name = "strategy"
    titles: Mapping[str, str] = TITLES
    validation: Mapping[str, str] = VALIDATION
    rows = "problem attempts"
    tables: tuple[str, ...] = (
        "predictions.strategies",
        "predictions.strategy_clusters",
        "predictions.cluster_profiles",
    )

    def source(self, settings: Settings) -> str:
        """Return the source whose strategies are predicted."""
        return settings.strategy.source

    def train(
        self, settings: Settings, *, resume: bool, dry_run: bool, on_made: OnMade | None
    ) -> TrainingRun:
        """Train."""
        raise NotImplementedError

    def evaluate(self, settings: Settings, run: TrainingRun) -> Evaluated:
        """Evaluate."""
        raise NotImplementedError

    def rescore(
        self, settings: Settings, champion: ModelVersion, candidate: ModelVersion
    ) -> dict[str, float]:
        """Rescore."""
        raise NotImplementedError

    def score(self, settings: Settings, chosen: ModelVersion) -> list[Path]:
        """Score."""
        raise NotImplementedError
