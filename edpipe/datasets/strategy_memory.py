"""All that a strategy predictor keeps of its training attempts: strategies, KCs of sections, groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edpipe.datasets.mastery_groups import MasteryGroups, fit_mastery_groups
from edpipe.datasets.strategy import Ints, Places, StrategyDataset
from edpipe.datasets.strategy_history import AnswerHistory, Singles

CHUNK = 4096
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
    groups
        Mastery groups of the students, over the KCs kept here.
    kc_mean
        Mean mastery of each KC. Shape ``(num_kcs,)``.
    shrinkage
        Answers that a prior weighs as in a student's mastery.
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
    groups: MasteryGroups
    kc_mean: Singles
    shrinkage: float

    @property
    def num_strategies(self) -> int:
        """Number of distinct strategies."""
        return len(self.start) - 1

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain values, for a file that needs no code to load."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StrategyMemory:
        """Return what :meth:`to_dict` described."""
        parts: dict[str, Any] = {name: _array(value) for name, value in values.items()}
        for name in ("problems", "sections"):
            parts[name] = StrategyCounts(**{key: _array(part) for key, part in values[name].items()})
        parts["groups"] = MasteryGroups(**{key: _array(part) for key, part in values["groups"].items()})
        return cls(**parts)


def remember(
    dataset: StrategyDataset,
    rows: Places,
    history: AnswerHistory,
    kc_mean: NDArray[np.floating],
    *,
    shrinkage: float,
    seed: int,
) -> StrategyMemory:
    """Sum up training attempts; nothing else of the dataset is looked at, but answers before them.

    Parameters
    ----------
    dataset
        Where the attempts are.
    rows
        Training attempts, at least one.
    history
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
    mean = np.asarray(kc_mean, dtype=np.float32)[known_kcs]
    groups = _groups(dataset, rows, history, known_kcs, mean, seed)
    chances = np.concatenate(
        [
            groups.chances(*(counts[:, known_kcs] for counts in history.before(rows[at : at + CHUNK])))
            for at in range(0, len(rows), CHUNK)
        ]
    )
    known_sections, section = np.unique(dataset.section[rows], return_inverse=True)
    known_problems, first, problem = np.unique(dataset.problem[rows], return_index=True, return_inverse=True)
    _, first_row, strategy = np.unique(dataset.strategy_code[rows], return_index=True, return_inverse=True)
    length = np.diff(flat_start)
    pairs = np.unique(np.repeat(np.arange(len(rows)), length) * len(known_kcs) + flat)
    kc_of_section = section[pairs // len(known_kcs)] * len(known_kcs) + pairs % len(known_kcs)
    met, met_count = np.unique(kc_of_section, return_counts=True)
    return StrategyMemory(
        kc_ids=tuple(dataset.kc_ids[code] for code in known_kcs),
        section_ids=tuple(dataset.section_ids[code] for code in known_sections),
        problem_ids=tuple(dataset.problem_ids[code] for code in known_problems),
        problem_section=section[first].astype(np.int32),
        kcs=np.concatenate([flat[flat_start[row] : flat_start[row + 1]] for row in first_row]).astype(
            np.int32
        ),
        start=np.concatenate([[0], np.cumsum(length[first_row])]),
        problems=StrategyCounts.of(problem, strategy, chances, len(known_problems)),
        sections=StrategyCounts.of(section, strategy, chances, len(known_sections)),
        section_kc_start=np.searchsorted(met // len(known_kcs), np.arange(len(known_sections) + 1)),
        section_kcs=(met % len(known_kcs)).astype(np.int32),
        section_kc_count=met_count.astype(np.int32),
        groups=groups,
        kc_mean=mean,
        shrinkage=shrinkage,
    )


def _groups(
    dataset: StrategyDataset,
    rows: Places,
    history: AnswerHistory,
    kcs: NDArray[np.integer],
    kc_mean: Singles,
    seed: int,
) -> MasteryGroups:
    """Fit the groups to what each student had answered before the last of the attempts."""
    student = dataset.student[rows]
    is_last = np.append(student[1:] != student[:-1], True)
    scored, correct = history.before(rows[is_last])
    return fit_mastery_groups(scored[:, kcs], correct[:, kcs], kc_mean, seed=seed)


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
