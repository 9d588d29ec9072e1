"""Strategies of earlier attempts that may be followed again, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from edpipe.datasets.strategy import Ints, Places
from edpipe.datasets.strategy_history import Singles
from edpipe.datasets.strategy_memory import UNSEEN, StrategyCounts, StrategyMemory

# Attempts that the section's shares weigh as at a problem, and the shares of all as among students alike.
PROBLEM_PRIOR = 1.0
ALIKE_PRIOR = 2.0
# A strategy that nobody followed weighs as this part of an attempt.
NOBODY = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Attempts in the codes of a memory; ``UNSEEN`` is what it does not know.

    Attributes
    ----------
    problem, section
        Shape ``(n,)``.
    own
        Strategy of an attempt that is itself in the memory and must not find itself; else ``UNSEEN``.
        Shape ``(n,)``.
    chances
        Chances of the mastery groups before the attempt. Shape ``(n, num_groups)``.
    own_chances
        Chances with which an attempt was counted in the memory; not read where ``own`` is ``UNSEEN``.
        Shape ``(n, num_groups)``.
    """

    problem: Ints
    section: Ints
    own: Ints
    chances: Singles
    own_chances: Singles


def strategy_preferences(memory: StrategyMemory) -> Singles:
    """Return the mean preference of each group for the KCs of each strategy.

    Shape ``(num_strategies, num_groups)``.
    """
    sums = np.add.reduceat(memory.groups.preference[:, memory.kcs], memory.start[:-1], axis=1)
    means: Singles = (sums / np.diff(memory.start)).T.astype(np.float32)
    return means


def choose_examples(
    memory: StrategyMemory, preferences: Singles, asked: Asked, num_examples: int
) -> tuple[Ints, Singles]:
    """Return the strategies most frequent at the problem, then in its section, without the attempt itself.

    Parameters
    ----------
    memory
        Training attempts.
    preferences
        What :func:`strategy_preferences` says of them.
    asked
        For whom.
    num_examples
        Most examples.

    Returns
    -------
    tuple
        Numbers of strategies, ``UNSEEN`` where there are fewer, ``(n, num_examples)``; and their features in
        the order of ``EXAMPLE_FEATURES``, 0 where there is no example,
        ``(n, num_examples, len(EXAMPLE_FEATURES))``.
    """
    chosen = np.full((len(asked.own), num_examples), UNSEEN, dtype=np.int32)
    at_problem = np.full(chosen.shape, UNSEEN, dtype=np.int64)
    in_section = np.full(chosen.shape, UNSEEN, dtype=np.int64)
    problems, sections = memory.problems, memory.sections
    _choose(
        asked.problem,
        asked.section,
        asked.own,
        problems.start,
        problems.strategy,
        problems.count,
        sections.start,
        sections.strategy,
        sections.count,
        chosen,
        at_problem,
        in_section,
    )
    is_own = (chosen == asked.own[:, None]) & (chosen != UNSEEN)
    left_out = asked.own != UNSEEN
    here = _counts(problems, at_problem, asked.problem, is_own, left_out, asked)
    around = _counts(sections, in_section, asked.section, is_own, left_out, asked)
    section_share = (around.count + NOBODY) / (around.total + 1)
    section_alike = (around.alike + ALIKE_PRIOR * section_share) / (around.total_alike + ALIKE_PRIOR)
    problem_share = (here.count + PROBLEM_PRIOR * section_share) / (here.total + PROBLEM_PRIOR)
    # What is known of students alike elsewhere in the section counts here until there are attempts.
    expected = np.minimum(problem_share * section_alike / section_share, 1.0)
    problem_alike = (here.alike + ALIKE_PRIOR * expected) / (here.total_alike + ALIKE_PRIOR)
    total = np.broadcast_to(here.total, chosen.shape)
    features = np.stack(
        [
            np.log(problem_share),
            np.log(section_share),
            np.log(problem_alike),
            np.log(section_alike),
            here.count > 0,
            np.log1p(total),
            np.einsum("neg,ng->ne", preferences[chosen], asked.chances),
        ],
        axis=-1,
    )
    return chosen, (features * (chosen != UNSEEN)[..., None]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """Counts of the examples and their owners, the attempt itself left out."""

    count: Singles  # (n, num_examples)
    alike: Singles  # (n, num_examples)
    total: Singles  # (n, 1)
    total_alike: Singles  # (n, 1)


def _counts(
    counts: StrategyCounts, entry: Places, owner: Ints, is_own: Any, left_out: Any, asked: Asked
) -> _Counts:
    is_there, is_known = entry != UNSEEN, owner != UNSEEN
    chances = asked.chances
    # The attempt itself weighs 1, and among students alike as much as it was counted like this student.
    own_alike = (chances * asked.own_chances).sum(axis=1, keepdims=True)
    count = np.where(is_there, counts.count[entry] - is_own, 0)
    alike = np.einsum("neg,ng->ne", counts.groups[entry], chances) - is_own * own_alike
    total = np.where(is_known, counts.total[owner] - left_out, 0)[:, None]
    total_alike = np.einsum("ng,ng->n", counts.total_groups[owner], chances)[:, None]
    total_alike = np.where(is_known[:, None], total_alike - left_out[:, None] * own_alike, 0)
    return _Counts(
        count.astype(np.float32),
        np.where(is_there, alike, 0).clip(0).astype(np.float32),
        total.astype(np.float32),
        total_alike.clip(0).astype(np.float32),
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def _choose(
    problem: Any,
    section: Any,
    own: Any,
    problem_start: Any,
    problem_strategy: Any,
    problem_count: Any,
    section_start: Any,
    section_strategy: Any,
    section_count: Any,
    chosen: Any,
    at_problem: Any,
    in_section: Any,
) -> None:
    """Fill in the chosen strategies and where their counts stand."""
    for row in range(len(problem)):
        filled = 0
        if problem[row] >= 0:
            first, end = problem_start[problem[row]], problem_start[problem[row] + 1]
            filled = _from_problem(
                first, end, problem_strategy, problem_count, own[row], chosen[row], at_problem[row]
            )
        if section[row] >= 0:
            first, end = section_start[section[row]], section_start[section[row] + 1]
            _from_section(
                first, end, section_strategy, section_count, own[row], filled, chosen[row], in_section[row]
            )


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def _from_problem(
    first: int, end: int, strategies: Any, counts: Any, own: int, chosen: Any, entries: Any
) -> int:
    """Take the problem's strategies; return how many."""
    filled = 0
    for entry in range(first, end):
        if filled == len(chosen):
            break
        if counts[entry] > 1 or strategies[entry] != own:
            chosen[filled] = strategies[entry]
            entries[filled] = entry
            filled += 1
    return filled


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def _from_section(
    first: int, end: int, strategies: Any, counts: Any, own: int, taken: int, chosen: Any, entries: Any
) -> None:
    """Look up the problem's strategies in the section, and fill what is empty with others of it."""
    filled, missing = taken, taken
    for entry in range(first, end):
        if filled == len(chosen) and missing == 0:
            break
        place = -1
        for other in range(taken):
            if chosen[other] == strategies[entry]:
                place = other
        if place >= 0:
            entries[place] = entry
            missing -= 1
        elif filled < len(chosen) and (counts[entry] > 1 or strategies[entry] != own):
            chosen[filled] = strategies[entry]
            entries[filled] = entry
            filled += 1
