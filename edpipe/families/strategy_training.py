"""Train a predictor of strategies: embedding, clusters and the sampled attempts come first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edpipe.datasets.samplers import NEEDS_CLUSTERS, Pool, budget_of, make_sampler
from edpipe.datasets.strategy import Places
from edpipe.datasets.strategy_lengths import single_step_share
from edpipe.families.strategy_parts import (
    Attempts,
    made_clusters,
    made_embedding,
    planned_clusters,
    planned_embedding,
)
from edpipe.families.tracked import OnEpoch, train_tracked
from edpipe.prediction.known import Known
from edpipe.training.run import TrainingRun, read_run
from edpipe.training.strategy import plan_predictor, predictor_config, train_predictor

if TYPE_CHECKING:
    from edpipe.families.family import OnMade
    from edpipe.mastery.embedding import Embedding
    from edpipe.mastery.strategy_clusters import StrategyClusters
    from edpipe.settings import Settings

SAMPLED_FILE = "sampled.npy"
KNOWN_FOLDER = "known"
# Settings of the sampler, which are told with a run.
SAMPLING = ("sampler", "budget", "cluster_exponent", "learners")


def trained(settings: Settings, attempts: Attempts, *, resume: bool, on_made: OnMade | None) -> TrainingRun:
    """Train on the sampled attempts, or find the finished run of the same data and settings.

    Embedding and clusters are made where they are not there; ``on_made`` is told of them when they are safe.
    """
    embedding, told = made_embedding(settings, attempts)
    if on_made is not None:
        on_made(told)
    clusters = None
    if needs_clusters(settings):
        clusters, told = made_clusters(settings, attempts, embedding)
        if on_made is not None:
            on_made(told)
    sampled = sample(settings, attempts, embedding, clusters)
    dataset, valid = attempts.dataset, attempts.split.valid
    plan = plan_predictor(dataset, embedding, sampled, valid, settings)
    was_there = resume and (plan.run_dir / "run.json").exists()

    def train(log: OnEpoch | None) -> TrainingRun:
        train_predictor(
            dataset, embedding, sampled, valid, settings, plan.run_dir, resume=resume, on_epoch=log
        )
        return read_run(plan.run_dir)

    run = train_tracked(settings, plan, train, resume=resume)
    run = replace(
        run, data=_facts(settings, attempts, embedding, clusters, len(sampled)), is_new=not was_there
    )
    if not was_there or not read_run(plan.run_dir).data:
        _keep(run, attempts, sampled)
    return run


def planned(settings: Settings, attempts: Attempts, *, on_made: OnMade | None) -> TrainingRun:
    """Return the run that would be made; nothing is written.

    It has no key where the embedding or the clusters, which decide it, are not there yet.
    """
    parts = [planned_embedding(settings, attempts)]
    if needs_clusters(settings):
        parts.append(planned_clusters(settings, attempts))
    for part in parts:
        if on_made is not None:
            on_made(part)
    if not any(part.is_new for part in parts):
        embedding, _ = made_embedding(settings, attempts)
        clusters = made_clusters(settings, attempts, embedding)[0] if needs_clusters(settings) else None
        sampled = sample(settings, attempts, embedding, clusters)
        return plan_predictor(attempts.dataset, embedding, sampled, attempts.split.valid, settings)
    used, _ = attempts.dataset.strategies(attempts.split.train)
    config = predictor_config(settings.strategy, len(np.unique(used)), settings.embedding.dim)
    return TrainingRun(
        run_dir=settings.runs_dir,
        run_key="",
        config=config.to_dict(),
        options={},
        fingerprint=attempts.dataset.fingerprint,
        source=attempts.dataset.source,
        steps="",
        model="strategy",
    )


def needs_clusters(settings: Settings) -> bool:
    """Tell whether the sampler of the settings chooses by clusters."""
    return settings.strategy.sampler in NEEDS_CLUSTERS


def sample(
    settings: Settings, attempts: Attempts, embedding: Embedding, clusters: StrategyClusters | None
) -> Places:
    """Return the training attempts to learn from, rising."""
    rows = attempts.split.train
    pool = Pool(attempts.dataset, rows, embedding, clusters, settings.seed)
    sampler = make_sampler(settings.strategy.sampler, settings)
    return sampler.sample(pool, budget_of(settings.strategy.budget, len(rows)))


def sampled_rows(run_dir: Path) -> Places:
    """Return the training attempts that a run learned from, rising."""
    found: Places = np.load(run_dir / SAMPLED_FILE)
    return found


def _facts(
    settings: Settings,
    attempts: Attempts,
    embedding: Embedding,
    clusters: StrategyClusters | None,
    num_sampled: int,
) -> dict[str, Any]:
    """Return what, with the data's fingerprint, says which attempts and vectors a run is about."""
    split = attempts.split
    return {
        "split": split.kind,
        "views": settings.strategy.views,
        "salt": settings.split.salt,
        "valid_share": settings.split.valid,
        "test_share": settings.split.test,
        "embedding_key": str(embedding.manifest["key"]),
        "clusters_key": "" if clusters is None else str(clusters.manifest["key"]),
        **{name: getattr(settings.strategy, name) for name in SAMPLING},
        "num_train": len(split.train),
        "num_sampled": num_sampled,
        "num_valid": len(split.valid),
        "num_test": len(split.test),
        "single_step_share": single_step_share(attempts.dataset, split.rows),
    }


def _keep(run: TrainingRun, attempts: Attempts, sampled: Places) -> None:
    """Write beside the checkpoint what it was learned from, and at last the facts into ``run.json``."""
    Known.of(attempts.dataset).save(run.run_dir / KNOWN_FOLDER)
    scratch = run.run_dir / f".{SAMPLED_FILE}"
    with scratch.open("wb") as file:
        np.save(file, sampled)
    scratch.replace(run.run_dir / SAMPLED_FILE)
    run.save()
