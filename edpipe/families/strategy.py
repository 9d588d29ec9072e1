"""Prediction of strategies: the KCs in order that a student will use on a problem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.families.family import Evaluated, OnMade
from edpipe.families.raw_data import refuse_changed_data

if TYPE_CHECKING:
    from edpipe.datasets.predicted import PredictedStrategies
    from edpipe.datasets.strategy import Places
    from edpipe.settings import Settings
    from edpipe.tracking.registry import ModelVersion
    from edpipe.training.run import TrainingRun

TITLES = {
    "exact_match": "exact match",
    "jaccard": "Jaccard",
    "edit_similarity": "edit similarity",
    "lcs_f1": "LCS-F1",
    "next_kc_accuracy": "next KC",
    "departure_recall": "departures",
    "log_likelihood": "log likelihood a token",
}
VALIDATION = {
    "log_loss": "valid log loss a token",
    "exact_match": "valid exact match",
    "calibration_error": "valid calibration error",
    "worst_group_exact_match": "valid exact match, worst group",
}


class StrategyFamily:
    """Models that predict strategies."""

    name = "strategy"
    group = "strategy"
    titles: Mapping[str, str] = TITLES
    validation: Mapping[str, str] = VALIDATION
    lowest_first = False
    rows = "problem attempts"
    subject = "student"
    subjects = "students"
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
        """Train the predictor that ``settings.strategy`` describes, or find it trained."""
        from edpipe.families import strategy_training
        from edpipe.families.strategy_parts import open_attempts

        attempts = open_attempts(settings)
        if dry_run:
            return strategy_training.planned(settings, attempts, on_made=on_made)
        return strategy_training.trained(settings, attempts, resume=resume, on_made=on_made)

    def evaluate(self, settings: Settings, run: TrainingRun) -> Evaluated:
        """Score the predictor beside the baselines on validation and test attempts, and register it."""
        from edpipe.evaluation.strategy.evaluate import evaluate_strategies
        from edpipe.families.strategy_curve import draw_curve
        from edpipe.families.strategy_parts import attempts_of, parts_of
        from edpipe.families.strategy_registration import register_strategy, statements
        from edpipe.families.strategy_training import sampled_rows
        from edpipe.prediction.strategy import load_predictor, predict_strategies

        attempts = attempts_of(run, settings)
        refuse_changed_data(run, attempts.dataset.fingerprint)
        embedding, clusters = parts_of(run, settings)
        kind = str(run.config["kind"])

        def predictions(rows: Places) -> dict[str, PredictedStrategies]:
            predictor = load_predictor(run.run_dir)
            return {kind: predict_strategies(predictor, attempts.dataset, embedding, rows)}

        evaluation = evaluate_strategies(
            settings,
            run.run_dir,
            dataset=attempts.dataset,
            split=attempts.split,
            predict=predictions,
            data_fingerprint=run.fingerprint,
            sampled=sampled_rows(run.run_dir),
            embedding=embedding,
            clusters=clusters,
        )
        draw_curve(settings, run, attempts, embedding, clusters)
        version = register_strategy(settings, run, attempts, evaluation)
        return Evaluated(run, evaluation, version, statements(run.run_dir, kind))

    def rescore(
        self, settings: Settings, champion: ModelVersion, candidate: ModelVersion
    ) -> dict[str, float]:
        """Measure the champion on the candidate's validation attempts."""
        from edpipe.families.strategy_scoring import validation_scores_of
        from edpipe.training.run import read_run

        run = read_run(settings.runs_dir / candidate.run_key)
        return validation_scores_of(settings, read_run(settings.runs_dir / champion.run_key), run)

    def score(self, settings: Settings, chosen: ModelVersion) -> list[Path]:
        """Write strategies, clusters and their profiles."""
        from edpipe.families.strategy_scoring import write_tables

        return write_tables(settings, chosen)
