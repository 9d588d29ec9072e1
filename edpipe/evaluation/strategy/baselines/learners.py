"""Copying from learners who are alike: by cluster, by mastery group, or by nearness of vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.evaluation.strategy.baselines.base import checked_training, copied
from edpipe.evaluation.strategy.baselines.modes import (
    Keys,
    ModeBaseline,
    by_problem,
    group_lookup,
    lookup,
)
from edpipe.mastery.embedding import Embedding, Vectors, normalized
from edpipe.mastery.strategy_clusters import NONE, StrategyClusters

# Vectors of the students of attempts as known before each begins.
StudentVectors = Callable[[StrategyDataset, Places], Vectors]


def student_clusters_of(
    dataset: StrategyDataset, rows: Places, embedding: Embedding, clusters: StrategyClusters
) -> Places:
    """Return the student cluster of each attempt; a student new to training gets the nearest one.

    Nearest is by the vector known before the attempt; -1 where nothing is known yet. Shape ``(n,)``.
    """
    label = clusters.student_cluster[dataset.student[rows]].astype(np.int64)
    is_new = np.flatnonzero(label == NONE)
    known = np.flatnonzero(clusters.student_cluster != NONE)
    if not len(is_new) or not len(known):
        return label
    centers = np.zeros((int(clusters.student_cluster.max()) + 1, embedding.dim))
    np.add.at(centers, clusters.student_cluster[known], embedding.students[known])
    vectors = embedding.student_vectors(dataset, rows[is_new])
    nearest = (vectors @ normalized(centers).T).argmax(axis=1)
    label[is_new] = np.where(vectors.any(axis=1), nearest, NONE)
    return label


def cluster_lookup(embedding: Embedding, clusters: StrategyClusters) -> ModeBaseline:
    """Return the lookup within student clusters."""

    def key(dataset: StrategyDataset, rows: Places) -> tuple[Places, int]:
        label = student_clusters_of(dataset, rows, embedding, clusters)
        return label, int(clusters.student_cluster.max(initial=0)) + 1

    return group_lookup("cluster_lookup", key)


def mastery_lookup(groups: Keys) -> ModeBaseline:
    """Return the lookup within mastery groups."""
    return group_lookup("mastery_lookup", groups)


@dataclass(slots=True)
class NeighborBaseline:
    r"""Let the training attempts at the problem vote, those of alike students more.

    The vote of an attempt is :math:`\exp(\cos / t)` of the student vectors; a problem new to training is
    looked up as by ``lookup``. Confidence is the winner's share of the votes.

    Attributes
    ----------
    embedding
        Gives the vectors.
    temperature
        :math:`t > 0`; small values let only the nearest vote.
    """

    embedding: Embedding
    temperature: float = 0.1
    name: str = "neighbors"
    _order: Places = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _start: Places = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _fallback: ModeBaseline = field(default_factory=lookup)

    def fit(self, dataset: StrategyDataset, rows: Places) -> Self:
        """Sort the training attempts by problem."""
        problem, num_problems = by_problem(dataset, checked_training(rows))
        self._order = rows[np.argsort(problem, kind="stable")]
        counts = np.bincount(problem, minlength=num_problems)
        self._start = np.concatenate([[0], np.cumsum(counts)])
        self._fallback = lookup().fit(dataset, rows)
        return self

    def predict(self, dataset: StrategyDataset, rows: Places) -> PredictedStrategies:
        """Count the votes of each attempt's problem."""
        vectors = self.embedding.student_vectors(dataset, rows)
        example = np.full(len(rows), -1, dtype=np.int64)
        confidence = np.zeros(len(rows))
        problem = dataset.problem[rows]
        for one in np.unique(problem):
            voters = self._order[self._start[one] : self._start[one + 1]]
            if len(voters):
                asked = np.flatnonzero(problem == one)
                found = self._vote(dataset, voters, vectors[asked])
                example[asked], confidence[asked] = found
        is_new = example < 0
        if is_new.any():
            other = self._fallback.predict(dataset, rows[is_new])
            return _merged(rows, is_new, copied(dataset, rows, example, confidence), other)
        return copied(dataset, rows, example, confidence)

    def _vote(
        self, dataset: StrategyDataset, voters: Places, vectors: Vectors
    ) -> tuple[Places, NDArray[np.float64]]:
        _, first, strategy = np.unique(dataset.strategy_code[voters], return_index=True, return_inverse=True)
        likeness = vectors @ self.embedding.students[dataset.student[voters]].T
        weight = np.exp((likeness - 1) / self.temperature, dtype=np.float64)
        votes = weight @ np.eye(len(first))[strategy]  # (asked, strategies)
        # Equal votes go to the strategy seen first in training.
        order = np.argsort(voters[first], kind="stable")
        winner = order[votes[:, order].argmax(axis=1)]
        share = votes[np.arange(len(votes)), winner] / votes.sum(axis=1)
        return voters[first[winner]], share


def _merged(
    rows: Places, is_second: NDArray[np.bool_], first: PredictedStrategies, second: PredictedStrategies
) -> PredictedStrategies:
    """Return the first predictions, with the second ones in the marked places."""
    length, confidence = np.diff(first.start), first.confidence.copy()
    length[is_second], confidence[is_second] = np.diff(second.start), second.confidence
    start = np.concatenate([[0], np.cumsum(length)])
    kcs = np.empty(int(start[-1]), dtype=np.int32)
    is_second_kc = np.repeat(is_second, length)
    kcs[is_second_kc], kcs[~is_second_kc] = second.kcs, first.kcs
    return PredictedStrategies(
        rows, kcs, start, confidence, first.log_likelihood, first.next_correct, first.next_asked
    )
