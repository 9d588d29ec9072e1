"""The most frequent strategy of the problem, the section, of alike students, or of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.evaluation.strategy.baselines.base import ModeTable, checked_training, copied, mode_table

# Codes from 0 of attempts, or -1; the second is how many codes there are.
Keys = Callable[[StrategyDataset, Places], tuple[Places, int]]


@dataclass(slots=True)
class ModeBaseline:
    """Copy the most frequent strategy of the first key that training knows.

    Confidence is the share of the key's training attempts that follow it.

    Attributes
    ----------
    name
        Name in tables.
    levels
        From fine to coarse; where no level knows the attempt, the empty strategy is foretold.
    """

    name: str
    levels: tuple[Keys, ...]
    _tables: list[ModeTable] = field(default_factory=list)

    def fit(self, dataset: StrategyDataset, rows: Places) -> Self:
        """Count the strategies of each level."""
        strategy = dataset.strategy_code[checked_training(rows)]
        keys = [level(dataset, rows) for level in self.levels]
        self._tables = [mode_table(key, strategy, rows, num_keys) for key, num_keys in keys]
        return self

    def predict(self, dataset: StrategyDataset, rows: Places) -> PredictedStrategies:
        """Look each attempt up."""
        example = np.full(len(rows), -1, dtype=np.int64)
        confidence = np.zeros(len(rows))
        for level, table in zip(self.levels, self._tables, strict=True):
            key, _ = level(dataset, rows)
            found = np.where(key >= 0, table.example[key], -1)
            is_new = (example < 0) & (found >= 0)
            example[is_new] = found[is_new]
            confidence[is_new] = table.share[key[is_new]]
        return copied(dataset, rows, example, confidence)


def everything(dataset: StrategyDataset, rows: Places) -> tuple[Places, int]:
    """Give every attempt the same key."""
    del dataset
    return np.zeros(len(rows), dtype=np.int64), 1


def by_section(dataset: StrategyDataset, rows: Places) -> tuple[Places, int]:
    """Give each section a key."""
    return dataset.section[rows].astype(np.int64), dataset.num_sections


def by_problem(dataset: StrategyDataset, rows: Places) -> tuple[Places, int]:
    """Give each problem a key."""
    return dataset.problem[rows].astype(np.int64), dataset.num_problems


def with_group(group: Keys, other: Keys) -> Keys:
    """Give each pair of a group and another key a key; -1 where either has none."""

    def paired(dataset: StrategyDataset, rows: Places) -> tuple[Places, int]:
        first, num_first = group(dataset, rows)
        second, num_second = other(dataset, rows)
        both = np.where((first >= 0) & (second >= 0), first * num_second + second, -1)
        return both, num_first * num_second

    return paired


def global_mode() -> ModeBaseline:
    """Return the most frequent strategy of all."""
    return ModeBaseline("global_mode", (everything,))


def section_mode() -> ModeBaseline:
    """Return the most frequent strategy of the section, else of all."""
    return ModeBaseline("section_mode", (by_section, everything))


def problem_mode() -> ModeBaseline:
    """Return the most frequent strategy of the problem; nothing for a problem new to training."""
    return ModeBaseline("problem_mode", (by_problem,))


def lookup(name: str = "lookup") -> ModeBaseline:
    """Return the most frequent strategy of the problem, else of the section: the baseline to beat."""
    return ModeBaseline(name, (by_problem, by_section, everything))


def group_lookup(name: str, group: Keys) -> ModeBaseline:
    """Return the lookup within groups of students: same group and problem, else the problem, and so on."""
    return ModeBaseline(
        name,
        (with_group(group, by_problem), by_problem, with_group(group, by_section), by_section, everything),
    )
