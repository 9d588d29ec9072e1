"""Recommenders: the chance that a student takes up an item, from all that the student did before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.families.family import Evaluated, OnMade
from edpipe.families.raw_data import refuse_absent_source

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun

TITLES = {
    "auc": "AUC",
    "grouped_auc": "AUC in a student",
    "log_loss": "log loss",
    "predicted_over_clicked": "predicted / real",
    "calibration_error": "calibration error",
}
VALIDATION = {
    "auc": "valid AUC",
    "predicted_over_clicked": "valid predicted / real",
    "worst_group_auc": "valid AUC, worst group",
}


class DiffuMINFamily:
    """Models that recommend items."""

    name = "diffumin"
    group = "recommendation"
    titles: Mapping[str, str] = TITLES
    validation: Mapping[str, str] = VALIDATION
    lowest_first = False
    rows = "impressions"
    subject = "student"
    subjects = "students"
    tables: tuple[str, ...] = ("predictions.recommendations",)

    def source(self, settings: Settings) -> str:
        """Return the source whose behaviors are learned from."""
        return settings.recommendation.source

    def train(
        self, settings: Settings, *, resume: bool, dry_run: bool, on_made: OnMade | None
    ) -> TrainingRun:
        """Train the recommender that ``settings.diffumin`` describes, or find it trained."""
        del on_made
        refuse_absent_source(settings, self.group, settings.recommendation.source)
        from edpipe.training.diffumin import train_diffumin

        if dry_run:
            return train_diffumin(settings, dry_run=True)
        from edpipe.datasets.impressions_source import impression_dataset
        from edpipe.families.tracked import train_tracked

        dataset = impression_dataset(settings)
        planned = train_diffumin(settings, dataset=dataset, dry_run=True)
        return train_tracked(
            settings,
            planned,
            lambda log: train_diffumin(settings, dataset=dataset, resume=resume, on_epoch=log),
            resume=resume,
        )

    def evaluate(self, settings: Settings, run: TrainingRun) -> Evaluated:
        """Score the recommender beside its floors on validation and test rows, and register it."""
        from edpipe.families.diffumin_evaluation import evaluated_run
        from edpipe.families.diffumin_registration import register_diffumin, statements

        dataset, evaluation = evaluated_run(settings, run)
        version = register_diffumin(settings, run, dataset, evaluation)
        return Evaluated(run, evaluation, version, statements(run, evaluation))

    def rescore(
        self, settings: Settings, champion: ModelVersion, candidate: ModelVersion
    ) -> dict[str, float]:
        """Measure the champion on the candidate's validation rows."""
        from edpipe.families.diffumin_evaluation import validation_scores_of

        return validation_scores_of(settings, champion, candidate)

    def score(self, settings: Settings, chosen: ModelVersion) -> list[Path]:
        """Write the best items of each student, for ``predictions.recommendations``."""
        from edpipe.families.diffumin_scoring import write_recommendations

        return [write_recommendations(settings, chosen)]
