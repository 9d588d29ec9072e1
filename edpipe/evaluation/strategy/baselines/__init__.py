"""Baselines that every table of strategy predictors shows, each fitted on training attempts only."""

from __future__ import annotations

from edpipe.evaluation.strategy.baselines.base import StrategyBaseline
from edpipe.evaluation.strategy.baselines.learners import NeighborBaseline, cluster_lookup, mastery_lookup
from edpipe.evaluation.strategy.baselines.markov import MarkovBaseline
from edpipe.evaluation.strategy.baselines.modes import (
    Keys,
    ModeBaseline,
    global_mode,
    lookup,
    problem_mode,
    section_mode,
)
from edpipe.evaluation.strategy.baselines.names import NamedLookup
from edpipe.mastery.embedding import Embedding
from edpipe.mastery.strategy_clusters import StrategyClusters

__all__ = [
    "MarkovBaseline",
    "ModeBaseline",
    "NamedLookup",
    "NeighborBaseline",
    "StrategyBaseline",
    "cluster_lookup",
    "global_mode",
    "lookup",
    "mastery_lookup",
    "problem_mode",
    "section_mode",
    "strategy_baselines",
]


def strategy_baselines(
    *,
    embedding: Embedding | None = None,
    clusters: StrategyClusters | None = None,
    groups: Keys | None = None,
) -> list[StrategyBaseline]:
    """Return fresh baselines, simplest first; those that need what is not given are left out.

    Parameters
    ----------
    embedding, clusters
        Made from the training attempts.
    groups
        Mastery group of each attempt, from 0, -1 where unknown.
    """
    found: list[StrategyBaseline] = [
        global_mode(),
        section_mode(),
        MarkovBaseline(1),
        MarkovBaseline(2),
        problem_mode(),
        lookup(),
        NamedLookup(),
    ]
    if groups is not None:
        found.append(mastery_lookup(groups))
    if embedding is not None and clusters is not None:
        found.append(cluster_lookup(embedding, clusters))
    if embedding is not None:
        found.append(NeighborBaseline(embedding))
    return found
