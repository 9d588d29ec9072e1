"""The lookup by problem names: problems of the section with like names vote for a new one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.datasets.strategy_memory import UNSEEN, StrategyCounts, number_strategies
from edpipe.datasets.strategy_names import NamedCounts, ProblemNames, problem_names
from edpipe.evaluation.strategy.baselines.base import ModeTable, checked_training, copied, mode_table


@dataclass(slots=True)
class NamedLookup:
    """Let the training attempts of the section vote, those at problems with like names more.

    Votes are :func:`~edpipe.datasets.strategy_names.name_weights`, 1 at the problem itself; a section new to
    training gets the most frequent strategy of all. Confidence is the winner's share of the votes, and equal
    votes go to the strategy seen first in training.
    """

    name: str = "named_lookup"
    _known: tuple[ProblemNames, StrategyCounts] | None = None
    _example: Places = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _usual: ModeTable = field(default_factory=lambda: ModeTable(np.empty(0, dtype=np.int64), np.empty(0)))

    def fit(self, dataset: StrategyDataset, rows: Places) -> Self:
        """Count the strategies of each problem."""
        known, problem = np.unique(dataset.problem[checked_training(rows)], return_inverse=True)
        first, strategy = number_strategies(dataset, rows)
        everybody = np.ones((len(rows), 1), dtype=np.float32)  # one mastery group
        counts = StrategyCounts.of(problem, strategy, everybody, len(known))
        self._known = (_names(dataset, known.astype(np.int64)), counts)
        self._example = rows[first]
        self._usual = mode_table(np.zeros_like(rows), strategy, rows, 1)
        return self

    def predict(self, dataset: StrategyDataset, rows: Places) -> PredictedStrategies:
        """Count the votes for each problem once."""
        if self._known is None:
            raise ValueError("the baseline must be fitted before it predicts.")
        asked, place = np.unique(dataset.problem[rows], return_inverse=True)
        votes = NamedCounts.of(_names(dataset, asked.astype(np.int64)), *self._known, num_kept=1)
        winner = votes.strategy[place, 0]
        is_known = winner != UNSEEN
        example = np.where(is_known, self._example[winner], self._usual.example[0])
        share = votes.weight[place, 0] / np.where(is_known, votes.total[place], 1)
        return copied(dataset, rows, example, np.where(is_known, share, self._usual.share[0]))


def _names(dataset: StrategyDataset, problems: Places) -> ProblemNames:
    """Return names and sections of chosen problems, none with a code of its own."""
    section = dataset.problem_section[problems]
    ids = [dataset.problem_ids[code] for code in problems]
    alone: Ints = np.full(len(problems), UNSEEN, dtype=np.int32)
    return ProblemNames(problem_names(ids, dataset.section_ids, section), section, alone)
