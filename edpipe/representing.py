"""The verbs that learn who is alike: embed and cluster."""

from __future__ import annotations

from edpipe import accounts
from edpipe.families.family import Made
from edpipe.operations.runs import recorded
from edpipe.settings import Settings, load_settings


def embed(settings: Settings | None = None, *, dry_run: bool = False) -> Made:
    """Learn vectors of students, problems, sections and KCs from the training attempts, weighted by mastery.

    Each KC's mastery by each student comes from the estimator that foretells held-out steps best, unless
    `settings.embedding.estimator` names one. Equal data and settings give what is there already.

    Parameters
    ----------
    settings
        Default: :func:`edpipe.load_settings`. `settings.strategy.source` names the source,
        `settings.embedding` how.
    dry_run
        Say where it would be; write nothing.

    Returns
    -------
    Made
        The comparison of the estimators, and the folder.

    Raises
    ------
    SettingsError
        If the source has not been ingested.
    TrainingError
        If the source has no strategies, or a part of the split is empty.
    """
    settings = settings or load_settings()
    from edpipe.families.strategy_parts import made_embedding, open_attempts, planned_embedding

    with recorded(settings, "embed", source=settings.strategy.source, is_dry_run=dry_run) as run:
        attempts = open_attempts(settings)
        if dry_run:
            return planned_embedding(settings, attempts)
        made = made_embedding(settings, attempts)[1]
        run.made(lambda: accounts.of_made(made, settings))
    return made


def cluster(settings: Settings | None = None, *, dry_run: bool = False) -> Made:
    """Group students and problems that are interchangeable, from coarse to fine, by their vectors.

    An embedding is made on the way where it is not there. Equal data and settings give what is there already.

    Parameters
    ----------
    settings
        Default: :func:`edpipe.load_settings`. `settings.strategy.source` names the source,
        `settings.clusters` how.
    dry_run
        Say where they would be; write nothing.

    Returns
    -------
    Made
        The rounds of refinement, and the folder.

    Raises
    ------
    SettingsError
        If the source has not been ingested.
    TrainingError
        If the source has no strategies, or a part of the split is empty.
    """
    settings = settings or load_settings()
    from edpipe.families.strategy_parts import (
        made_clusters,
        made_embedding,
        open_attempts,
        planned_clusters,
    )

    with recorded(settings, "cluster", source=settings.strategy.source, is_dry_run=dry_run) as run:
        attempts = open_attempts(settings)
        if dry_run:
            return planned_clusters(settings, attempts)
        embedding, _ = made_embedding(settings, attempts)
        made = made_clusters(settings, attempts, embedding)[1]
        run.made(lambda: accounts.of_made(made, settings))
    return made
