"""What a sampler chooses from, and what a sampler is."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.errors import TrainingError
from edpipe.mastery.embedding import Embedding, Vectors
from edpipe.mastery.strategy_clusters import StrategyClusters


@dataclass(frozen=True, eq=False)
class Pool:
    """Training attempts to choose from, and what is known of them from training alone.

    Attributes
    ----------
    dataset
        All attempts; a sampler looks at those of ``rows`` only.
    rows
        Training attempts, rising. Shape ``(n,)``.
    embedding, clusters
        Made from the same rows; None where the sampler needs none.
    seed
        Seed of every draw.
    """

    dataset: StrategyDataset
    rows: Places
    embedding: Embedding | None = None
    clusters: StrategyClusters | None = None
    seed: int = 7

    def __len__(self) -> int:
        """Return the number of attempts."""
        return len(self.rows)

    @cached_property
    def student(self) -> Places:
        """Student of each attempt. Shape ``(n,)``."""
        return self.dataset.student[self.rows].astype(np.int64)

    @cached_property
    def section(self) -> Places:
        """Section of each attempt. Shape ``(n,)``."""
        return self.dataset.section[self.rows].astype(np.int64)

    @cached_property
    def problem(self) -> Places:
        """Problem of each attempt. Shape ``(n,)``."""
        return self.dataset.problem[self.rows].astype(np.int64)

    @cached_property
    def strategy(self) -> Places:
        """Code of each attempt's strategy, from 0 by first appearance in the pool. Shape ``(n,)``."""
        # The dataset's own codes depend on the order in which other attempts follow strategies.
        _, first, codes = np.unique(
            self.dataset.strategy_code[self.rows], return_index=True, return_inverse=True
        )
        return np.argsort(np.argsort(first))[codes]

    @cached_property
    def cluster(self) -> Places:
        """Cluster of each attempt, from 0 without gaps; those in none are one more. Shape ``(n,)``."""
        return codes_of(self._known_clusters().attempt_cluster[self.rows].astype(np.int64))

    @cached_property
    def student_cluster(self) -> Places:
        """Cluster of each attempt's student, -1 for none. Shape ``(n,)``."""
        return self._known_clusters().student_cluster[self.student].astype(np.int64)

    @cached_property
    def problem_cluster(self) -> Places:
        """Cluster of each attempt's problem, -1 for none. Shape ``(n,)``."""
        return self._known_clusters().problem_cluster[self.problem].astype(np.int64)

    @cached_property
    def vectors(self) -> Vectors:
        """Vectors of student, section and problem side by side. Shape ``(n, 3 · dim)``."""
        known = self.known_embedding()
        parts = (
            known.students[self.student],
            known.sections[self.section],
            known.problems[self.problem],
        )
        return np.concatenate(parts, axis=1)

    def known_embedding(self) -> Embedding:
        """Return the embedding.

        Raises
        ------
        TrainingError
            If there is none.
        """
        if self.embedding is None:
            raise _lacks("an embedding", "edpipe embed")
        return self.embedding

    def random(self, name: str) -> np.random.Generator:
        """Return the random numbers of one sampler; other samplers with the same seed have others."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def _known_clusters(self) -> StrategyClusters:
        if self.clusters is None:
            raise _lacks("strategy clusters", "edpipe cluster")
        return self.clusters


class Sampler(Protocol):
    """A way to choose the attempts to learn from."""

    @property
    def name(self) -> str:
        """Name in settings and tables."""
        ...

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return ``min(budget, n)`` of the pool's rows, rising; equal pools give equal rows.

        Raises
        ------
        ValueError
            If the budget is below 1.
        TrainingError
            If the pool lacks an embedding or clusters that are needed.
        """
        ...


def checked_budget(pool: Pool, budget: int) -> int:
    """Return how many attempts can be taken.

    Raises
    ------
    ValueError
        If the budget is below 1.
    """
    if budget < 1:
        raise ValueError(f"a budget must be at least 1; got {budget}.")
    return min(budget, len(pool))


def budget_of(share: float, num_attempts: int) -> int:
    """Return a share of the attempts as a number, at least 1."""
    return min(num_attempts, max(1, round(share * num_attempts)))


def codes_of(values: NDArray[np.int64], *others: NDArray[np.int64]) -> Places:
    """Return dense codes of values, or of pairs and triples of them, from 0 in rising order."""
    codes: Places = np.unique(values, return_inverse=True)[1].astype(np.int64)
    for other in others:
        dense = np.unique(other, return_inverse=True)[1].astype(np.int64)
        codes = np.unique(codes * (int(dense.max(initial=0)) + 1) + dense, return_inverse=True)[1].astype(
            np.int64
        )
    return codes


def place_in_group(group: NDArray[np.int64], order: NDArray[np.int64]) -> Places:
    """Return the place of each element among those of its group, from 0, if taken in ``order``.

    Parameters
    ----------
    group
        Codes. Shape ``(n,)``.
    order
        A permutation of ``range(n)``. Shape ``(n,)``.
    """
    ordered = order[np.argsort(group[order], kind="stable")]
    sizes = np.bincount(group)
    start = np.cumsum(sizes) - sizes
    place = np.empty(len(group), dtype=np.int64)
    place[ordered] = np.arange(len(group)) - start[group[ordered]]
    return place


def _lacks(what: str, verb: str) -> TrainingError:
    return TrainingError(
        f"The sampler needs {what} of the training attempts.",
        where="setting `strategy.sampler`",
        found="none",
        expected=f"what `{verb}` writes",
        next_step=f"Run `{verb}`, or choose `uniform` or `sections`.",
        state="Nothing was trained.",
    )
