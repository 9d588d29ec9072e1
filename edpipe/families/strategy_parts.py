"""What a predictor of strategies learns from: attempts and their split, embedding, clusters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from edpipe.datasets.strategy import StrategyDataset
from edpipe.datasets.strategy_splits import StrategySplit, split_strategies
from edpipe.errors import TrainingError
from edpipe.families.family import Made
from edpipe.families.raw_data import refuse_absent_source
from edpipe.families.strategy_mastery import mastery_of, tracer_of
from edpipe.mastery.embedding import Embedding, load_embedding
from edpipe.mastery.strategy_clusters import StrategyClusters, load_clusters
from edpipe.raw import TUTOR_SOURCES

if TYPE_CHECKING:
    from edpipe.settings import Settings
    from edpipe.training.run import TrainingRun

ESTIMATORS_TITLE = "Estimators of mastery on held-out steps"
ESTIMATORS_CAPTION = (
    "log_loss: mean cost of a held-out step in nats, lower is better, with its 95 % interval over students. "
    "auc: how often a right step is ranked above a wrong one. rmse: root of the mean squared error. "
    "num_steps, num_students: what was judged. seconds: to fit and foretell. is_used: the lowest log loss, "
    "whose mastery weighs the walks."
)
ROUNDS_TITLE = "Rounds of refinement"
ROUNDS_CAPTION = (
    "refined: whose clusters the round split. radius: of the clusters it made. objective: squared distances "
    "plus the squared radius times the clusters. num_…: clusters after it; num_clusters are those of "
    "attempts. symmetry: how alike in order the strategies of a cluster are, in [-1, 1], with its 95 % "
    "interval. rand_index: agreement with the round before, 1 is the same. median_size: attempts in the "
    "median cluster. validation: log likelihood of held-out strategies in nats an attempt, higher is better, "
    "comparable among rounds of one kind. is_best: the clusters that are kept, those of the last round whose "
    "validation gained more than its standard error."
)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Problem attempts of the source in the settings, and which are trained on, validated on, tested."""

    dataset: StrategyDataset
    split: StrategySplit


def open_attempts(settings: Settings) -> Attempts:
    """Read the attempts of ``settings.strategy.source`` and divide them.

    Raises
    ------
    SettingsError
        If nothing of the source has been ingested.
    TrainingError
        If the source has no strategies, or a part of the split is empty.
    """
    from edpipe.datasets.strategy_source import strategy_dataset

    refuse_absent_source(settings, "strategy", settings.strategy.source, among=TUTOR_SOURCES)
    dataset = strategy_dataset(settings)
    return Attempts(dataset, split_strategies(dataset, settings))


def settings_of_run(run: TrainingRun, settings: Settings) -> Settings:
    """Return the settings with source and split as they were when the run was trained."""
    facts = run.data
    strategy = settings.strategy.model_copy(
        update={"source": run.source, "split": facts["split"], "views": facts["views"]}
    )
    split = settings.split.model_copy(
        update={"salt": facts["salt"], "valid": facts["valid_share"], "test": facts["test_share"]}
    )
    return settings.model_copy(update={"strategy": strategy, "split": split})


def attempts_of(run: TrainingRun, settings: Settings) -> Attempts:
    """Read the present attempts of a run's source and divide them as the run did.

    Raises
    ------
    TrainingError
        If the run was not finished.
    """
    if not run.data:
        raise TrainingError(
            "This run does not say what it was trained on.",
            where=str(run.run_dir / "run.json"),
            found="no facts of the data",
            expected="split, embedding and clusters",
            next_step="Run `edpipe train strategy`, which completes the run.",
        )
    return open_attempts(settings_of_run(run, settings))


def parts_of(run: TrainingRun, settings: Settings) -> tuple[Embedding, StrategyClusters | None]:
    """Return the embedding and the clusters that a run was trained with.

    Raises
    ------
    TrainingError
        If their folders are gone.
    """
    embedding = load_embedding(settings.embeddings_dir / run.data["embedding_key"])
    key = run.data["clusters_key"]
    return embedding, load_clusters(settings.clusters_dir / key) if key else None


def planned_embedding(settings: Settings, attempts: Attempts) -> Made:
    """Say where the embedding is or would be."""
    folder = _embedding_folder(settings, attempts, tracer_of(settings, attempts))
    is_there = (folder / "embedding.json").exists()
    told = f"{'Would keep' if is_there else 'Would make'} the embedding of {_counts(attempts)}, in {folder}"
    return Made(ESTIMATORS_TITLE, pl.DataFrame(), (told,), folder, is_new=not is_there)


def made_embedding(settings: Settings, attempts: Attempts) -> tuple[Embedding, Made]:
    """Return the embedding of the training attempts, made where it is not there, and what to tell of it."""
    from edpipe.mastery.embed import embed

    tracer = tracer_of(settings, attempts)
    folder = _embedding_folder(settings, attempts, tracer)
    is_there = (folder / "embedding.json").exists()
    embedding = embed(
        settings,
        attempts.dataset,
        attempts.split,
        mastery_of=mastery_of(settings, attempts, tracer),
        tracer_key=_key_of(tracer),
    )
    facts = embedding.manifest
    words: tuple[str, ...] = (
        f"{_again(is_there, 'Embedded')}: {_counts(attempts)}, {embedding.dim} numbers each, "
        f"mastery by {facts.get('estimator', 'unknown')}.",
        f"Embedding: {folder}",
    )
    if tracer is None and attempts.split.kind == "students" and settings.embedding.estimator == "best":
        words += (
            f"No tracer is compared: `edpipe train tracing --source {attempts.dataset.source}` makes one.",
        )
    estimators = pl.DataFrame(facts.get("estimators", []), infer_schema_length=None)
    return embedding, Made(
        ESTIMATORS_TITLE, estimators, words, folder, is_new=not is_there, caption=ESTIMATORS_CAPTION
    )


def planned_clusters(settings: Settings, attempts: Attempts) -> Made:
    """Say where the clusters are, or that they would be made; their vectors name them."""
    from edpipe.mastery.cluster_store import clusters_folder

    first = planned_embedding(settings, attempts)
    if first.is_new:
        told = f"Would make clusters of {_counts(attempts)}, after the embedding."
        return Made(ROUNDS_TITLE, pl.DataFrame(), (told,), settings.clusters_dir, is_new=True)
    folder = clusters_folder(settings, attempts.dataset, load_embedding(first.folder), attempts.split)
    is_there = (folder / "clusters.json").exists()
    told = f"{'Would keep' if is_there else 'Would make'} clusters of {_counts(attempts)}, in {folder}"
    return Made(ROUNDS_TITLE, pl.DataFrame(), (told,), folder, is_new=not is_there)


def made_clusters(
    settings: Settings, attempts: Attempts, embedding: Embedding
) -> tuple[StrategyClusters, Made]:
    """Return the clusters of the training attempts, made where they are not there, and what to tell."""
    from edpipe.mastery.cluster_store import cluster, clusters_folder

    folder = clusters_folder(settings, attempts.dataset, embedding, attempts.split)
    is_there = (folder / "clusters.json").exists()
    clusters = cluster(settings, attempts.dataset, embedding, attempts.split)
    words = (
        f"{_again(is_there, 'Clustered')}: {_counts(attempts)}, in {clusters.num_clusters:,} clusters.",
        f"Clusters: {folder}",
    )
    return clusters, Made(
        ROUNDS_TITLE, clusters.rounds, words, folder, is_new=not is_there, caption=ROUNDS_CAPTION
    )


def _embedding_folder(settings: Settings, attempts: Attempts, tracer: Path | None) -> Path:
    from edpipe.mastery.embed import embedding_folder

    return embedding_folder(
        settings, attempts.dataset, attempts.split, has_estimators=True, tracer_key=_key_of(tracer)
    )


def _key_of(tracer: Path | None) -> str:
    return "" if tracer is None else tracer.name


def _counts(attempts: Attempts) -> str:
    dataset, rows = attempts.dataset, attempts.split.train
    students, problems, kcs = (
        len(np.unique(codes))
        for codes in (dataset.student[rows], dataset.problem[rows], dataset.strategies(rows)[0])
    )
    return (
        f"{len(rows):,} training attempts of {students:,} students at {problems:,} problems with {kcs:,} KCs"
    )


def _again(is_there: bool, verb: str) -> str:
    return f"{verb} before" if is_there else verb
