"""Forecasts of activity by diffusion models of series."""

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
    "crps": "CRPS",
    "coverage_50": "inside 50 %",
    "coverage_80": "inside 80 %",
    "coverage_90": "inside 90 %",
    "normalized_deviation": "normalized deviation",
    "mase": "MASE",
}
VALIDATION = {
    "crps": "valid CRPS",
    "coverage_90": "valid steps inside 90 %",
    "worst_group_crps": "valid CRPS, worst group",
}


class TSDiffFamily:
    """Models that forecast series."""

    name = "tsdiff"
    group = "tsdiff"
    titles: Mapping[str, str] = TITLES
    validation: Mapping[str, str] = VALIDATION
    lowest_first = True
    rows = "steps"
    subject = "series"
    subjects = "series"
    tables: tuple[str, ...] = ("predictions.activity_forecasts",)

    def source(self, settings: Settings) -> str:
        """Return the source whose activity is forecast."""
        return settings.tsdiff.source

    def train(
        self, settings: Settings, *, resume: bool, dry_run: bool, on_made: OnMade | None
    ) -> TrainingRun:
        """Train the forecaster that ``settings.tsdiff`` describes, or find it trained."""
        del on_made
        if not settings.tsdiff.file:
            refuse_absent_source(settings, self.name, settings.tsdiff.source)
        from edpipe.datasets.series_source import sourced_task
        from edpipe.families.tracked import train_tracked
        from edpipe.training.tsdiff import train_tsdiff

        sourced = sourced_task(settings)
        planned = train_tsdiff(settings, sourced=sourced, dry_run=True)
        if dry_run:
            return planned
        return train_tracked(
            settings,
            planned,
            lambda log: train_tsdiff(settings, sourced=sourced, resume=resume, on_epoch=log),
            resume=resume,
        )

    def evaluate(self, settings: Settings, run: TrainingRun) -> Evaluated:
        """Score the forecaster beside the baselines on validation and test windows, and register it."""
        from edpipe.families.tsdiff_evaluation import came_too_late, evaluated_run
        from edpipe.families.tsdiff_registration import register_tsdiff, statements

        sourced, evaluation = evaluated_run(settings, run)
        version = register_tsdiff(settings, run, sourced, evaluation)
        words = (*statements(run, evaluation), *came_too_late(settings, evaluation))
        return Evaluated(run, evaluation, version, words)

    def rescore(
        self, settings: Settings, champion: ModelVersion, candidate: ModelVersion
    ) -> dict[str, float]:
        """Measure the champion on the candidate's validation windows."""
        from edpipe.families.tsdiff_evaluation import validation_scores_of

        return validation_scores_of(settings, champion, candidate)

    def score(self, settings: Settings, chosen: ModelVersion) -> list[Path]:
        """Write forecasts from the end of each series, for ``predictions.activity_forecasts``."""
        from edpipe.families.tsdiff_scoring import write_forecasts

        return [write_forecasts(settings, chosen)]
