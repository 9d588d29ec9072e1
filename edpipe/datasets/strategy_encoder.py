"""Problem attempts as tensors, in the codes of what a predictor remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.datasets.strategy_examples import Asked, Candidates, choose_examples, strategy_preferences
from edpipe.datasets.strategy_history import RunningCounts, Singles, answer_history
from edpipe.datasets.strategy_memory import (
    UNSEEN,
    Histories,
    StrategyMemory,
    number_strategies,
)
from edpipe.datasets.strategy_names import problem_names
from edpipe.mastery.embedding import Embedding, normalized
from models.strategy import StrategyBatch
from models.strategy.tokens import EOS, FIRST_KC, PAD, UNK


@dataclass(frozen=True, eq=False)
class StrategyEncoder:
    """Turn attempts into batches. Build it with :meth:`of`.

    Nothing of an attempt but its student, section, problem and number reaches what predicts it; its own
    strategy stands in ``tokens`` only.

    Attributes
    ----------
    dataset, embedding, memory
        Attempts, vectors of the same codes, and what training left behind.
    histories
        What students have done before each attempt.
    num_examples
        Strategies that may be copied from.
    tokens
        Token of each KC of the dataset. Shape ``(dataset.num_kcs,)``.
    problems, sections
        Codes in the memory of those of the dataset. Shapes ``(num_problems,)`` and ``(num_sections,)``.
    own
        Strategy in the memory of attempts that the memory was made of; else ``UNSEEN``.
        Shape ``(num_attempts,)``.
    own_chances
        Chances of the groups with which attempts of a student were counted.
        Shape ``(num_students, num_groups)``.
    gains
        What strategies followed before each attempt say of the student's group.
        Shape ``(num_attempts, num_groups)``.
    preferences
        Mean preference of each group for each strategy. Shape ``(num_strategies, num_groups)``.
    candidates
        Strategies to choose examples from at each problem of the dataset.
    """

    dataset: StrategyDataset
    embedding: Embedding
    memory: StrategyMemory
    histories: Histories
    num_examples: int
    tokens: Places
    problems: Ints
    sections: Ints
    own: Ints
    own_chances: Singles
    gains: Singles
    preferences: Singles
    candidates: Candidates

    @classmethod
    def of(
        cls,
        dataset: StrategyDataset,
        embedding: Embedding,
        memory: StrategyMemory,
        *,
        num_examples: int,
        answers: RunningCounts | None = None,
        train_rows: Places | None = None,
    ) -> StrategyEncoder:
        """Look up the ids of ``dataset`` in ``memory`` once.

        Parameters
        ----------
        dataset, embedding, memory
            Attempts, vectors of the same codes, and what training left behind.
        num_examples
            Strategies that may be copied from, at least 1.
        answers
            Answers before each attempt, where they have been counted already.
        train_rows
            The attempts that ``memory`` was made of, in the same order. In training they must not find
            themselves among their own examples.
        """
        kc_codes = _codes(memory.kc_ids, dataset.kc_ids)
        sections = _codes(memory.section_ids, dataset.section_ids)
        histories = Histories.of(
            dataset,
            answers or answer_history(dataset),
            _codes(dataset.kc_ids, memory.kc_ids).astype(np.int64),
            sections,
            memory.section_uses,
        )
        own = np.full(dataset.num_attempts, UNSEEN, dtype=np.int32)
        own_chances = np.zeros((dataset.num_students, memory.groups.num_groups), dtype=np.float32)
        if train_rows is not None:
            if memory.counted is None:
                raise ValueError("train_rows are those of a memory just made, not of one read from a file.")
            own[train_rows] = number_strategies(dataset, train_rows)[1]
            own_chances = memory.counted
        problems = _codes(memory.problem_ids, dataset.problem_ids)
        followed = memory.followed(
            dataset, problems, sections, _numbers(memory, dataset, kc_codes), train_rows
        )
        names = problem_names(dataset.problem_ids, dataset.section_ids, dataset.problem_section)
        return cls(
            dataset=dataset,
            embedding=embedding,
            memory=memory,
            histories=histories,
            num_examples=num_examples,
            tokens=np.where(kc_codes == UNSEEN, UNK, kc_codes + FIRST_KC).astype(np.int64),
            problems=problems,
            sections=sections,
            own=own,
            own_chances=own_chances,
            gains=followed.gains(memory.problems.group_counts, memory.sections.group_counts, own_chances),
            preferences=strategy_preferences(memory),
            candidates=Candidates.of(
                memory, names, problems, sections[dataset.problem_section], 2 * num_examples
            ),
        )

    @property
    def num_tokens(self) -> int:
        """Number of tokens: the memory's KCs and the special ones."""
        return len(self.memory.kc_ids) + FIRST_KC

    def encode(self, rows: Places, *, is_new: NDArray[np.bool_] | None = None) -> StrategyBatch:
        """Return attempts as a batch.

        Parameters
        ----------
        rows
            Attempts. Shape ``(n,)``.
        is_new
            Whether to show the student as one whom the embedding has not met; by default only those whom
            it has not. Shape ``(n,)``.
        """
        dataset, memory = self.dataset, self.memory
        evidence, answers = self.histories.before(rows)
        chances = memory.groups.chances(evidence, self.gains[rows])
        # A student's own answers, shrunken to what is expected of students alike.
        prior = chances @ memory.groups.mastery
        mastery = (evidence.correct + memory.shrinkage * prior) / (evidence.scored + memory.shrinkage)
        asked = Asked(
            self.problems[dataset.problem[rows]],
            self.sections[dataset.section[rows]],
            dataset.problem[rows],
            self.own[rows],
            chances,
            self.own_chances[dataset.student[rows]],
        )
        examples, features = choose_examples(
            memory, self.candidates, self.preferences, asked, self.num_examples
        )
        return StrategyBatch(
            student_vectors=torch.from_numpy(self._students(rows, answers, is_new)),
            section_vectors=torch.from_numpy(self.embedding.sections[dataset.section[rows]]),
            problem_vectors=torch.from_numpy(self.embedding.problems[dataset.problem[rows]]),
            tokens=torch.from_numpy(self._strategies(rows)),
            allowed=torch.from_numpy(self._allowed(asked)),
            examples=torch.from_numpy(_padded(memory, examples)),
            example_features=torch.from_numpy(features),
            student_mastery=torch.from_numpy(mastery.astype(np.float32)),
        )

    def _students(self, rows: Places, answers: Singles, is_new: NDArray[np.bool_] | None) -> Singles:
        """Return vectors of the students, as :meth:`Embedding.student_vectors` does one by one."""
        found = self.embedding.students[self.dataset.student[rows]].astype(np.float32)
        is_folded = ~found.any(axis=1)
        if is_new is not None:
            is_folded |= is_new
        if is_folded.any():
            scored, correct = answers[:, is_folded]
            shrinkage = self.memory.shrinkage
            share = (correct + shrinkage * self.embedding.kc_mean) / (scored + shrinkage)
            found[is_folded] = normalized((scored * share) @ self.embedding.kcs)
        return found

    def _strategies(self, rows: Places) -> Places:
        """Return the tokens of the true strategies, ended and padded."""
        flat, start = self.dataset.strategies(rows)
        return _rectangle(self.tokens[flat], start)

    def _allowed(self, asked: Asked) -> NDArray[np.bool_]:
        """Return which tokens may be emitted: KCs met in the section; all where it is unknown."""
        memory = self.memory
        allowed = np.zeros((len(asked.own), self.num_tokens), dtype=bool)
        allowed[:, EOS] = True
        _allow(
            asked.section,
            asked.own,
            memory.section_kc_start,
            memory.section_kcs,
            memory.section_kc_count,
            memory.sections.total,
            memory.kcs,
            memory.start,
            allowed[:, FIRST_KC:],
        )
        return allowed


def _codes(known: Sequence[str], ids: Sequence[str]) -> Ints:
    """Return the place of each of ``ids`` among ``known``, ``UNSEEN`` where it is not there."""
    code = {name: place for place, name in enumerate(known)}
    return np.array([code.get(name, UNSEEN) for name in ids], dtype=np.int32)


def _numbers(memory: StrategyMemory, dataset: StrategyDataset, kc_codes: Ints) -> Ints:
    """Return the number in the memory of each attempt's strategy, ``UNSEEN`` for others."""
    kcs, start = memory.kcs, memory.start
    known = {kcs[start[one] : start[one + 1]].tobytes(): one for one in range(memory.num_strategies)}
    _, first = np.unique(dataset.strategy_code, return_index=True)
    flat, begin = dataset.strategies(first)
    flat = kc_codes[flat]
    numbers = [known.get(flat[begin[one] : begin[one + 1]].tobytes(), UNSEEN) for one in range(len(first))]
    return np.array(numbers, dtype=np.int32)[dataset.strategy_code]


def _rectangle(tokens: Places, start: Places) -> Places:
    """Return ragged strategies with their end, padded on the right. Shape ``(n, length)``."""
    length = np.diff(start)
    place = np.arange(int(length.max(initial=0)) + 1)
    filled = np.append(tokens, PAD)[np.minimum(start[:-1, None] + place, len(tokens))]
    filled = np.where(place < length[:, None], filled, PAD)
    return np.where(place == length[:, None], EOS, filled).astype(np.int64)


def _padded(memory: StrategyMemory, examples: Ints) -> Places:
    """Return the tokens of examples. Shape ``(n, num_examples, length)``."""
    flat = examples.ravel()
    begin, end = memory.start[flat], memory.start[flat + 1]
    length = np.where(flat == UNSEEN, 0, end - begin)
    place = np.arange(int(length.max(initial=0)) + 1)
    index = np.minimum(begin[:, None] + place, len(memory.kcs) - 1)
    tokens = np.where(place < length[:, None], memory.kcs[index] + FIRST_KC, PAD)
    tokens = np.where((place == length[:, None]) & (flat != UNSEEN)[:, None], EOS, tokens)
    return tokens.reshape(*examples.shape, -1).astype(np.int64)


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]  # numba's types vary by version
def _allow(
    section: Any,
    own: Any,
    start: Any,
    kcs: Any,
    counts: Any,
    totals: Any,
    strategy_kcs: Any,
    strategy_start: Any,
    allowed: Any,
) -> None:
    """Mark the KCs that another attempt of the section holds; all where there is no other."""
    mine = np.zeros(allowed.shape[1], dtype=np.bool_)
    for row in range(len(section)):
        left_out = 1 if own[row] >= 0 else 0
        if section[row] < 0 or totals[section[row]] <= left_out:
            allowed[row, :] = True
            continue
        mine[:] = False
        if left_out:
            for place in range(strategy_start[own[row]], strategy_start[own[row] + 1]):
                mine[strategy_kcs[place]] = True
        for entry in range(start[section[row]], start[section[row] + 1]):
            if counts[entry] > (1 if mine[kcs[entry]] else 0):
                allowed[row, kcs[entry]] = True
