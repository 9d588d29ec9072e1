"""All that a strategy predictor keeps of its training attempts: strategies, KCs of sections, groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from edpipe.datasets.mastery_groups import Evidence, MasteryGroups, fit_mastery_groups
from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.datasets.strategy_groups import Followed, GroupCounts, refine_groups
from edpipe.datasets.strategy_history import RunningCounts, Singles, use_history, visit_history

UNSEEN = -1


@dataclass(frozen=True, eq=False)
class StrategyCounts:
    """How often each strategy was followed at each problem, or in each section.

    Attributes
    ----------
    start
        Entries of owner ``o`` are ``start[o]`` up to ``start[o + 1]``, the most frequent first.
    strategy
        Number of the strategy. Shape ``(num_entries,)``.
    count
        Attempts that followed it. Shape ``(num_entries,)``.
    groups
        The same, each attempt divided among mastery groups by their chances.
        Shape ``(num_entries, num_groups)``.
    total, total_groups
        Sums of each owner. Shapes ``(num_owners,)`` and ``(num_owners, num_groups)``.
    """

    start: Places
    strategy: Ints
    count: Ints
    groups: Singles
    total: Ints
    total_groups: Singles

    @classmethod
    def of(
        cls, owner: NDArray[np.integer], strategy: NDArray[np.integer], chances: Singles, num_owners: int
    ) -> StrategyCounts:
        """Count attempts, of which ``owner``, ``strategy`` and chances of the groups are given."""
        width = int(strategy.max(initial=0)) + 1
        pair, place = np.unique(owner.astype(np.int64) * width + strategy, return_inverse=True)
        count = np.bincount(place, minlength=len(pair))
        of_owner = pair // width
        # Most frequent first; of equals the strategy met first in the dataset.
        order = np.lexsort((pair % width, -count, of_owner))
        groups = _sums(place, chances, len(pair))[order]
        return cls(
            start=np.searchsorted(of_owner[order], np.arange(num_owners + 1)).astype(np.int64),
            strategy=(pair % width)[order].astype(np.int32),
            count=count[order].astype(np.int32),
            groups=groups,
            total=np.bincount(owner, minlength=num_owners).astype(np.int32),
            total_groups=_sums(owner, chances, num_owners),
        )

    @property
    def group_counts(self) -> GroupCounts:
        """What each group did."""
        return GroupCounts(self.groups, self.total_groups)

    def entries(
        self, owner: NDArray[np.integer], strategy: NDArray[np.integer], num_strategies: int
    ) -> Places:
        """Return where the counts of owners and strategies stand, ``UNSEEN`` where they do not.

        ``owner`` has shape ``(n,)``, ``strategy`` and what is returned ``(n, num_kept)``.
        """
        length = np.diff(self.start)
        known = np.repeat(np.arange(len(length)), length) * num_strategies + self.strategy
        order = np.argsort(known)
        wanted = owner.astype(np.int64)[:, None] * num_strategies + strategy
        place = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
        found = order[place]
        is_there = (owner[:, None] != UNSEEN) & (strategy != UNSEEN) & (known[found] == wanted)
        entries: Places = np.where(is_there, found, UNSEEN)
        return entries


@dataclass(frozen=True, eq=False)
class StrategyMemory:
    """Training attempts, summed up; every code counts in the order of the ids kept here.

    Attributes
    ----------
    kc_ids, section_ids, problem_ids
        Published ids that training met. A KC's code is its token less ``FIRST_KC``.
    problem_section
        Section of each problem. Shape ``(num_problems,)``.
    kcs, start
        KC codes of the distinct strategies side by side; strategy ``i`` is ``kcs[start[i]:start[i + 1]]``.
    problems, sections
        Who followed which strategy how often.
    section_kc_start, section_kcs, section_kc_count
        KCs met in section ``s`` are ``section_kcs[section_kc_start[s]:section_kc_start[s + 1]]``, with the
        number of attempts that hold each.
    section_uses
        How often an attempt in a section uses a KC, on average. Shape ``(num_sections, num_kcs)``.
    groups
        Mastery groups of the students, over the KCs kept here.
    kc_mean
        Mean mastery of each KC. Shape ``(num_kcs,)``.
    shrinkage
        Answers that a prior weighs as in a student's mastery.
    counted
        Chances of the groups with which attempts of each student of the training dataset were counted, 0
        for students without any; None once it was read from a file. Shape ``(num_students, num_groups)``.
    """

    kc_ids: tuple[str, ...]
    section_ids: tuple[str, ...]
    problem_ids: tuple[str, ...]
    problem_section: Ints
    kcs: Ints
    start: Places
    problems: StrategyCounts
    sections: StrategyCounts
    section_kc_start: Places
    section_kcs: Ints
    section_kc_count: Ints
    section_uses: Singles
    groups: MasteryGroups
    kc_mean: Singles
    shrinkage: float
    counted: Singles | None = None

    @property
    def num_strategies(self) -> int:
        """Number of distinct strategies."""
        return len(self.start) - 1

    def followed(
        self,
        dataset: StrategyDataset,
        problems: Ints,
        sections: Ints,
        strategy: Ints,
        counted_rows: Places | None = None,
    ) -> Followed:
        """Return where the attempts of a dataset stand in the counts.

        Parameters
        ----------
        dataset
            Attempts.
        problems, sections
            Codes here of those of the dataset. Shapes ``(num_problems,)`` and ``(num_sections,)``.
        strategy
            Number here of each attempt's strategy. Shape ``(num_attempts,)``.
        counted_rows
            Attempts that were counted, if they are in the dataset.
        """
        is_counted = np.zeros(dataset.num_attempts, dtype=bool)
        if counted_rows is not None:
            is_counted[counted_rows] = True
        problem, section = problems[dataset.problem], sections[dataset.section]
        at_problem, in_section = (
            counts.entries(owner, strategy[:, None], self.num_strategies)[:, 0]
            for counts, owner in ((self.problems, problem), (self.sections, section))
        )
        return Followed(dataset.student, problem, section, at_problem, in_section, is_counted)

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain values, for a file that needs no code to load."""
        return {
            field.name: _plain(getattr(self, field.name)) for field in fields(self) if field.name != "counted"
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StrategyMemory:
        """Return what :meth:`to_dict` described."""
        parts: dict[str, Any] = {name: _array(value) for name, value in values.items()}
        for name in ("problems", "sections"):
            parts[name] = StrategyCounts(**{key: _array(part) for key, part in values[name].items()})
        parts["groups"] = MasteryGroups(**{key: _array(part) for key, part in values["groups"].items()})
        return cls(**parts)


@dataclass(frozen=True, eq=False)
class Histories:
    """What students have done before each attempt, in the codes of a memory.

    Attributes
    ----------
    answers, uses, visits
        Running counts in the codes of a dataset, of sections in those of the memory.
    kcs
        KC of the dataset of each KC of the memory, ``UNSEEN`` where it has none. Shape ``(num_kcs,)``.
    section_uses
        How often an attempt in a section uses a KC. Shape ``(num_sections, num_kcs)``.
    """

    answers: RunningCounts
    uses: RunningCounts
    visits: RunningCounts
    kcs: Places
    section_uses: Singles

    @classmethod
    def of(
        cls,
        dataset: StrategyDataset,
        answers: RunningCounts,
        kcs: Places,
        sections: Ints,
        section_uses: Singles,
    ) -> Histories:
        """Count uses and visits in the sections that have a code; the others say nothing of preference."""
        return cls(
            answers,
            use_history(dataset, sections),
            visit_history(dataset, sections, len(section_uses)),
            kcs,
            section_uses,
        )

    def before(self, rows: Places) -> tuple[Evidence, Singles]:
        """Return the evidence before each attempt, and counts of answers in the dataset's own codes.

        The counts are of shape ``(2, n, dataset.num_kcs)``: scored, right.
        """
        answers = self.answers.before(rows)
        is_known = self.kcs >= 0
        scored, correct, used = (
            np.where(is_known, counts[:, self.kcs], np.float32(0))
            for counts in (*answers, self.uses.before(rows)[0])
        )
        return Evidence(scored, correct, used, self.visits.before(rows)[0] @ self.section_uses), answers


def remember(
    dataset: StrategyDataset,
    rows: Places,
    answers: RunningCounts,
    kc_mean: NDArray[np.floating],
    *,
    shrinkage: float,
    seed: int,
) -> StrategyMemory:
    """Sum up training attempts; of others nothing is looked at but what came before a training attempt.

    Parameters
    ----------
    dataset
        Where the attempts are.
    rows
        Training attempts, rising, at least one.
    answers
        Answers before each attempt.
    kc_mean
        Mean mastery of each KC of the dataset. Shape ``(dataset.num_kcs,)``.
    shrinkage
        Answers that a prior weighs as in a student's mastery.
    seed
        Seed of the groups.
    """
    used, flat_start = dataset.strategies(rows)
    known_kcs, flat = np.unique(used, return_inverse=True)
    known_sections, section = np.unique(dataset.section[rows], return_inverse=True)
    known_problems, first, problem = np.unique(dataset.problem[rows], return_index=True, return_inverse=True)
    first_row, strategy = number_strategies(dataset, rows)
    length = np.diff(flat_start)
    section_codes = np.full(dataset.num_sections, UNSEEN, dtype=np.int32)
    section_codes[known_sections] = np.arange(len(known_sections))
    section_uses = _section_uses(dataset, rows, known_kcs, section_codes, len(known_sections))
    histories = Histories.of(dataset, answers, known_kcs.astype(np.int64), section_codes, section_uses)
    mean = np.asarray(kc_mean, dtype=np.float32)[known_kcs]
    last = last_rows(dataset, rows)
    evidence = histories.before(last)[0]
    pairs = np.unique(np.repeat(np.arange(len(rows)), length) * len(known_kcs) + flat)
    kc_of_section = section[pairs // len(known_kcs)] * len(known_kcs) + pairs % len(known_kcs)
    met, met_count = np.unique(kc_of_section, return_counts=True)
    nobody = np.ones((len(rows), 1), dtype=np.float32)
    memory = StrategyMemory(
        kc_ids=tuple(dataset.kc_ids[code] for code in known_kcs),
        section_ids=tuple(dataset.section_ids[code] for code in known_sections),
        problem_ids=tuple(dataset.problem_ids[code] for code in known_problems),
        problem_section=section[first].astype(np.int32),
        kcs=np.concatenate([flat[flat_start[row] : flat_start[row + 1]] for row in first_row]).astype(
            np.int32
        ),
        start=np.concatenate([[0], np.cumsum(length[first_row])]),
        problems=StrategyCounts.of(problem, strategy, nobody, len(known_problems)),
        sections=StrategyCounts.of(section, strategy, nobody, len(known_sections)),
        section_kc_start=np.searchsorted(met // len(known_kcs), np.arange(len(known_sections) + 1)),
        section_kcs=(met % len(known_kcs)).astype(np.int32),
        section_kc_count=met_count.astype(np.int32),
        section_uses=section_uses,
        groups=fit_mastery_groups(evidence, mean, seed=seed),
        kc_mean=mean,
        shrinkage=shrinkage,
    )
    problem_codes = np.full(dataset.num_problems, UNSEEN, dtype=np.int32)
    problem_codes[known_problems] = np.arange(len(known_problems))
    numbers = np.full(int(dataset.strategy_code.max()) + 1, UNSEEN, dtype=np.int32)
    numbers[dataset.strategy_code[rows]] = strategy
    followed = memory.followed(dataset, problem_codes, section_codes, numbers[dataset.strategy_code], rows)
    groups, counted = refine_groups(memory.groups, evidence, mean, followed, last)
    chances = counted[dataset.student[rows]]
    return replace(
        memory,
        problems=StrategyCounts.of(problem, strategy, chances, len(known_problems)),
        sections=StrategyCounts.of(section, strategy, chances, len(known_sections)),
        groups=groups,
        counted=counted,
    )


def number_strategies(dataset: StrategyDataset, rows: Places) -> tuple[Places, Places]:
    """Give the strategies of attempts numbers in the order in which they appear there.

    Other attempts of the dataset do not matter.

    Returns
    -------
    tuple
        Where in ``rows`` each strategy appears first, ``(num_strategies,)``, and the number of each attempt's
        strategy, ``(len(rows),)``.
    """
    _, first, code = np.unique(dataset.strategy_code[rows], return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return first[order], number[code]


def last_rows(dataset: StrategyDataset, rows: Places) -> Places:
    """Return the last of the attempts of each student; ``rows`` rise."""
    student = dataset.student[rows]
    last: Places = rows[np.append(student[1:] != student[:-1], True)]
    return last


def _section_uses(
    dataset: StrategyDataset, rows: Places, kcs: NDArray[np.integer], sections: Ints, num_sections: int
) -> Singles:
    """Return how many steps of a training attempt in each section use each KC, on average."""
    code = np.full(dataset.num_kcs, UNSEEN, dtype=np.int64)
    code[kcs] = np.arange(len(kcs))
    is_row = np.zeros(dataset.num_attempts, dtype=bool)
    is_row[rows] = True
    seen = dataset.observations.filter(pl.Series(is_row[dataset.observations["attempt"].to_numpy()]))
    kc = code[seen["kc"].to_numpy()]
    section = sections[dataset.section[seen["attempt"].to_numpy()]]
    is_known = kc != UNSEEN
    place = section[is_known].astype(np.int64) * len(kcs) + kc[is_known]
    total = np.bincount(
        place, weights=seen["num_steps"].to_numpy()[is_known], minlength=num_sections * len(kcs)
    ).reshape(num_sections, len(kcs))
    number = np.bincount(sections[dataset.section[rows]], minlength=num_sections)[:, None]
    uses: Singles = (total / np.maximum(number, 1)).astype(np.float32)
    return uses


def _sums(place: NDArray[np.integer], values: Singles, number: int) -> Singles:
    """Add up rows of ``values`` that go to the same place. Shape ``(number, width)``."""
    columns = [np.bincount(place, weights=column, minlength=number) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _plain(value: Any) -> Any:
    if isinstance(value, StrategyCounts | MasteryGroups):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    return list(value) if isinstance(value, tuple) else value


def _array(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.numpy()
    return tuple(value) if isinstance(value, list) else value
