"""The learning curve of a run: the same predictor from other budgets, and by the plain sampler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.samplers import Pool
from edpipe.datasets.strategy import Places
from edpipe.evaluation.results import EVALUATION_FOLDER
from edpipe.evaluation.strategy.groups import mastery_groups
from edpipe.evaluation.strategy.learning_curve import CURVE_FILE, Learner, Lesson, learning_curve
from edpipe.prediction.strategy import predict_strategies
from edpipe.progress import track
from edpipe.training.strategy import train_predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from edpipe.families.strategy_parts import Attempts
    from edpipe.mastery.embedding import Embedding
    from edpipe.mastery.strategy_clusters import StrategyClusters
    from edpipe.settings import Settings
    from edpipe.training.run import TrainingRun

BESIDE = "uniform"


def draw_curve(
    settings: Settings,
    run: TrainingRun,
    attempts: Attempts,
    embedding: Embedding,
    clusters: StrategyClusters | None,
) -> Path | None:
    """Measure the run's predictor at the budgets of the settings, and keep it beside the evaluation.

    The sampler of the run stands beside uniform sampling; points that are there are not measured again.
    None where ``settings.strategy.curve_budgets`` names no budget.
    """
    budgets = settings.strategy.curve_budgets
    if not budgets:
        return None
    dataset, split = attempts.dataset, attempts.split
    samplers = list(dict.fromkeys([str(run.data["sampler"]), BESIDE]))
    seeds = range(settings.seed, settings.seed + settings.strategy.curve_seeds)
    file = run.run_dir / EVALUATION_FOLDER / CURVE_FILE
    with track(
        "Learning curve",
        total=len(samplers) * len(budgets) * len(seeds),
        unit="trainings",
        mode=settings.progress,
    ) as work:
        learning_curve(
            Pool(dataset, split.train, embedding, clusters, settings.seed),
            split.test,
            {str(run.config["kind"]): _learner(settings, attempts, embedding)},
            settings,
            samplers=samplers,
            budgets=budgets,
            seeds=seeds,
            groups=mastery_groups(dataset, split.train),
            seconds_embedding=_seconds(embedding),
            seconds_clusters=0.0 if clusters is None else _seconds(clusters),
            num_draws=settings.strategy.bootstrap,
            file=file,
            on_point=lambda _: work.advance(),
        )
    return file


def _learner(settings: Settings, attempts: Attempts, embedding: Embedding) -> Learner:
    def learn(lesson: Lesson) -> Callable[[Places], PredictedStrategies]:
        predictor = train_predictor(
            attempts.dataset,
            embedding,
            lesson.rows,
            attempts.split.valid,
            settings.model_copy(update={"seed": lesson.seed, "progress": "none"}),
        )
        return lambda rows: predict_strategies(predictor, attempts.dataset, embedding, rows)

    return learn


def _seconds(made: Embedding | StrategyClusters) -> float:
    """Return what an embedding or clusters cost, as their manifest says."""
    seconds = made.manifest.get("seconds", 0.0)
    return float(seconds["total"] if isinstance(seconds, dict) else seconds)
