"""Chains of KCs: the next one from the last one or two, in the section if it is known there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.evaluation.strategy.baselines.base import checked_training

END = -1
START = -2
ALL_SECTIONS = -1

# Section (or all) and the last KCs, to the KC or end that followed and how often.
Counts = dict[tuple[int, ...], dict[int, int]]


@dataclass(slots=True)
class MarkovBaseline:
    r"""Foretell a strategy greedily by a chain of KCs.

    Contexts are tried from long to short in the section, then from long to short in all sections.
    Probabilities are interpolated: with :math:`n` transitions out of a context and :math:`d` kinds of them,
    :math:`p = (n_k + d\,p') / (n + d)` where :math:`p'` is that of the next context (Witten and Bell's
    rule), down to equal chances of all KCs and the end.

    Attributes
    ----------
    order
        KCs that a context holds, at least 1.
    max_length
        Most KCs foretold; by default the longest strategy in training.
    """

    order: int = 1
    max_length: int = 0
    _counts: Counts = field(default_factory=dict)
    _num_kcs: int = 0

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"markov_{self.order}"

    def fit(self, dataset: StrategyDataset, rows: Places) -> Self:
        """Count transitions."""
        self._counts, self._num_kcs = {}, dataset.num_kcs
        longest = 0
        for row in checked_training(rows):
            section, strategy = int(dataset.section[row]), dataset.strategy(int(row)).tolist()
            longest = max(longest, len(strategy))
            history = [START] * self.order
            for kc in [*strategy, END]:
                for context in self._contexts(section, history):
                    counts = self._counts.setdefault(context, {})
                    counts[kc] = counts.get(kc, 0) + 1
                history = [*history[1:], kc]
        self.max_length = self.max_length or longest
        return self

    def predict(self, dataset: StrategyDataset, rows: Places) -> PredictedStrategies:
        """Follow the most frequent transition until the end; score the true one beside it."""
        said = {int(section): self._greedy(int(section)) for section in np.unique(dataset.section[rows])}
        kcs: list[int] = []
        start = [0]
        columns = np.zeros((4, len(rows)))
        for place, row in enumerate(rows):
            section = int(dataset.section[row])
            strategy, confidence = said[section]
            kcs += strategy
            start.append(len(kcs))
            true = dataset.strategy(int(row))
            columns[:, place] = (confidence, *self._score(section, true), len(true) + 1)
        return PredictedStrategies(
            rows=rows,
            kcs=np.array(kcs, dtype=np.int32),
            start=np.array(start, dtype=np.int64),
            confidence=columns[0],
            log_likelihood=columns[1],
            next_correct=columns[2].astype(np.int32),
            next_asked=columns[3].astype(np.int32),
        )

    def _greedy(self, section: int) -> tuple[list[int], float]:
        strategy: list[int] = []
        history = [START] * self.order
        log_probability = 0.0
        while True:
            kc = END if len(strategy) == self.max_length else self._next(section, history)
            log_probability += np.log(self._probability(section, history, kc))
            if kc == END:
                return strategy, float(np.exp(log_probability))
            strategy.append(kc)
            history = [*history[1:], kc]

    def _score(self, section: int, true: Ints) -> tuple[float, int]:
        """Return the log likelihood of a strategy and how many of its KCs and end were foretold."""
        history = [START] * self.order
        total, num_correct = 0.0, 0
        for kc in [*true.tolist(), END]:
            total += float(np.log(self._probability(section, history, kc)))
            num_correct += self._next(section, history) == kc
            history = [*history[1:], kc]
        return total, num_correct

    def _next(self, section: int, history: list[int]) -> int:
        """Return what most often followed the longest context known; of equals what was seen first."""
        for context in self._contexts(section, history):
            if context in self._counts:
                counts = self._counts[context]
                return max(counts, key=counts.__getitem__)
        return END

    def _probability(self, section: int, history: list[int], kc: int) -> float:
        probability = 1 / (self._num_kcs + 1)
        for context in reversed(self._contexts(section, history)):
            counts = self._counts.get(context, {})
            total, kinds = sum(counts.values()), len(counts)
            if total:
                probability = (counts.get(kc, 0) + kinds * probability) / (total + kinds)
        return probability

    def _contexts(self, section: int, history: list[int]) -> list[tuple[int, ...]]:
        """Return contexts from the most special to the most general; the empty one only over all."""
        lasts = [tuple(history[-length:]) for length in range(self.order, 0, -1)]
        in_section = [(section, *last) for last in lasts]
        return [*in_section, *((ALL_SECTIONS, *last) for last in lasts), (ALL_SECTIONS,)]
