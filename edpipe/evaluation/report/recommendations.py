"""Everything about recommendations: sections, and what to read first."""

from __future__ import annotations

from dataclasses import replace

from edpipe.evaluation.report.calibration import calibration_figure
from edpipe.evaluation.report.curve import training_figure
from edpipe.evaluation.report.page import Section
from edpipe.evaluation.report.recommend_channels import alarms, channel_figure, channel_words
from edpipe.evaluation.report.recommend_example import example_figure, example_words
from edpipe.evaluation.report.recommend_history import history_figure
from edpipe.evaluation.report.recommend_run import RecommendRun
from edpipe.evaluation.report.recommend_scores import enough, recommend_scores

CALIBRATION, CALIBRATION_TITLE = "recommend-calibration", "Calibration of recommendations"
INTERESTS, INTERESTS_TITLE = "interests", "Interests"
CURVES = {
    "Loss": {"train_loss": "1", "valid_loss": "2"},
    "AUC on validation impressions": {"valid_auc": "3"},
}


def recommendations(run: RecommendRun) -> list[Section]:
    """Return the sections on recommendations; one that says what is missing where none was evaluated."""
    scored = recommend_scores(run)
    if run.recommender is None:
        return [scored]
    lift = history_figure(run)
    if lift is not None:
        scored = replace(scored, figures=[lift, *scored.figures])
    return [scored, _calibration(run), _interests(run)]


def recommend_warnings(run: RecommendRun) -> list[str]:
    """Return what to read first about the recommender."""
    warnings = run.trained.evaluation.warnings if run.trained.evaluation else ()
    return [*enough(run), *alarms(run), *warnings]


def _calibration(run: RecommendRun) -> Section:
    figures, words = [], ["The calibration of recommendations was not measured."]
    evaluation = run.trained.evaluation
    if evaluation is not None and len(evaluation.calibration):
        words = []
        reading = (
            "Impressions are put in bins by predicted chance (across); the height is the share that was "
            "taken up. On the dashed line chances mean what they say; below it the model foretells more than "
            "comes. Larger dots hold more impressions."
        )
        figures.append(
            calibration_figure(
                "recommend-chances",
                "Chances and what came",
                reading,
                evaluation.calibration,
                run.trained.models,
                run.trained.learned,
                "impressions",
                label="Observed against predicted share of clicks, one panel per model",
            )
        )
    if run.trained.curves is not None:
        figure = training_figure(
            "recommend-training", "Training of the recommender", run.trained.curves, CURVES
        )
        figures += [figure] if figure else []
    return Section(CALIBRATION, CALIBRATION_TITLE, words=words, figures=figures)


def _interests(run: RecommendRun) -> Section:
    figures = [figure for figure in (channel_figure(run), example_figure(run)) if figure is not None]
    return Section(
        INTERESTS, INTERESTS_TITLE, words=[*channel_words(run), *example_words(run)], figures=figures
    )
