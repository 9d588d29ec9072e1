"""Judges of partitions: are strategies inside clusters alike, and do clusters foretell held-out ones."""

from __future__ import annotations

import numpy as np

from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.mastery.embedding import Embedding
from edpipe.mastery.refine import Judgment
from edpipe.mastery.refine_validation import held_out_log_likelihoods
from edpipe.mastery.symmetry import Strategies
from edpipe.mastery.symmetry_clusters import cluster_symmetry
from edpipe.setting_groups import ClusterSettings

HELD_OUT = 0.2  # share of the training attempts that judge clusters


class ClusterJudge:
    """Judge clusters of students, of problems or of attempts on the training attempts alone.

    A fifth of the training attempts, drawn at random, is foretold from the others. (The vectors have seen all
    of them, in every round alike.)

    Parameters
    ----------
    dataset, embedding
        Strategies and the vectors of KCs.
    rows
        Training attempts.
    settings
        Number of pairs.
    seed
        Seed of what is held out and of the pairs.
    """

    def __init__(
        self,
        dataset: StrategyDataset,
        embedding: Embedding,
        rows: Places,
        settings: ClusterSettings,
        *,
        seed: int,
    ) -> None:
        kcs, start = dataset.strategies(rows)
        self._strategies = Strategies(kcs, start, embedding.kcs)
        self._code = dataset.strategy_code[rows]
        self._problem = dataset.problem[rows].astype(np.int64)
        self._num_pairs = settings.pairs
        self._seed = seed
        order = np.random.default_rng([seed, 0]).permutation(len(rows))
        self._is_held_out = order < max(1, round(HELD_OUT * len(rows)))

    def of_students(self, students: Ints, problems: Ints) -> Judgment:
        """Judge clusters of students: are pairs alike that worked the same problem.

        Shapes: student and problem cluster of each training attempt, ``(len(rows),)``.
        """
        cell = pair_codes(students, self._problem)
        chains = [[self._problem, cell]]
        return self._judged(students, pair_codes(students, problems), chains, cell)

    def of_problems(self, students: Ints, problems: Ints) -> Judgment:
        """Judge clusters of problems: are pairs alike that are of the same student cluster."""
        cell = pair_codes(students, problems)
        chains = [[problems.astype(np.int64), cell]]
        return self._judged(problems, cell, chains, cell)

    def of_attempts(self, attempts: Ints) -> Judgment:
        """Judge clusters of attempts."""
        cluster = attempts.astype(np.int64)
        chains = [[self._problem, pair_codes(cluster, self._problem)], [cluster]]
        return self._judged(attempts, cluster, chains, cluster)

    def _judged(
        self, clusters: Ints, of_attempts: Places, chains: list[list[Places]], cells: Places
    ) -> Judgment:
        size = np.bincount(of_attempts)
        return Judgment(
            symmetry=cluster_symmetry(
                self._strategies,
                clusters.astype(np.int64),
                num_pairs=self._num_pairs,
                rng=np.random.default_rng([self._seed, 1]),
                cells=cells,
            ),
            log_likelihoods=held_out_log_likelihoods(self._code, self._is_held_out, chains),
            median_size=float(np.median(size[size > 0])),
            num_attempt_clusters=int((size > 0).sum()),
        )


def pair_codes(first: Ints | Places, second: Ints | Places) -> Places:
    """Return one code a pair, from 0 without gaps, in the order of the pairs. Shape as ``first``."""
    wide = int(second.max(initial=0)) + 1
    codes: Places = np.unique(first.astype(np.int64) * wide + second, return_inverse=True)[1]
    return codes
