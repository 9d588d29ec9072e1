"""Strategies of earlier attempts that may be followed again, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places
from edpipe.datasets.strategy_history import Singles
from edpipe.datasets.strategy_memory import UNSEEN, StrategyCounts, StrategyMemory
from edpipe.datasets.strategy_names import SHARE_DIGITS, NamedCounts, ProblemNames, problem_names

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
    place
        Row of the problem in :class:`Candidates`. Shape ``(n,)``.
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
    place: Ints
    own: Ints
    chances: Singles
    own_chances: Singles


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Strategies that may be offered at each problem of a dataset, and where their counts stand.

    Attributes
    ----------
    named
        The strategies and their weights.
    at_problem, in_section
        Entries of the memory's counts, ``UNSEEN`` where there is none. Shape ``(num_problems, num_kept)``.
    """

    named: NamedCounts
    at_problem: Places
    in_section: Places

    @classmethod
    def of(
        cls, memory: StrategyMemory, names: tuple[str, ...], problems: Ints, sections: Ints, num_kept: int
    ) -> Candidates:
        """Choose for problems of a dataset.

        Parameters
        ----------
        memory
            Training attempts.
        names, problems, sections
            Name of each problem of the dataset, its code in the memory and that of its section.
        num_kept
            Most strategies a problem.
        """
        known = problem_names(memory.problem_ids, memory.section_ids, memory.problem_section)
        named = NamedCounts.of(
            ProblemNames(names, sections, problems),
            ProblemNames(known, memory.problem_section, problems[:0]),
            memory.problems,
            num_kept,
        )
        return cls(
            named,
            memory.problems.entries(problems, named.strategy, memory.num_strategies),
            memory.sections.entries(sections, named.strategy, memory.num_strategies),
        )


def strategy_preferences(memory: StrategyMemory) -> Singles:
    """Return the mean preference of each group for the KCs of each strategy.

    Shape ``(num_strategies, num_groups)``.
    """
    sums = np.add.reduceat(memory.groups.preference[:, memory.kcs], memory.start[:-1], axis=1)
    means: Singles = (sums / np.diff(memory.start)).T.astype(np.float32)
    return means


def choose_examples(
    memory: StrategyMemory, candidates: Candidates, preferences: Singles, asked: Asked, num_examples: int
) -> tuple[Ints, Singles]:
    """Return the strategies that weigh most by the names of their problems, without the attempt itself.

    Parameters
    ----------
    memory
        Training attempts.
    candidates
        Strategies to choose from, at least one more than ``num_examples`` where there are as many.
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
    problems, sections, named = memory.problems, memory.sections, candidates.named
    places = _chosen(memory, candidates, asked, num_examples)
    row = asked.place[:, None]
    chosen = np.where(places == UNSEEN, UNSEEN, named.strategy[row, places])
    is_there = chosen != UNSEEN
    is_own = (chosen == asked.own[:, None]) & is_there
    left_out = asked.own != UNSEEN
    at_problem, in_section = (
        np.where(is_there, entries[row, places], UNSEEN)
        for entries in (candidates.at_problem, candidates.in_section)
    )
    here = _counts(problems, at_problem, asked.problem, is_own, left_out, asked)
    around = _counts(sections, in_section, asked.section, is_own, left_out, asked)
    by_name, effective = _named_counts(named, places, here, asked)
    section_share = (around.count + NOBODY) / (around.total + 1)
    section_alike = (around.alike + ALIKE_PRIOR * section_share) / (around.total_alike + ALIKE_PRIOR)
    # What is known of students alike elsewhere in the section counts here until there are attempts.
    lift = section_alike / section_share
    shares = [_shares(counts, section_share, lift) for counts in (here, by_name)]
    (problem_share, problem_alike), (named_share, named_alike) = shares
    features = np.stack(
        [
            np.log(problem_share),
            np.log(section_share),
            np.log(problem_alike),
            np.log(section_alike),
            here.count > 0,
            np.broadcast_to(np.log1p(here.total), chosen.shape),
            np.einsum("neg,ng->ne", preferences[chosen], asked.chances),
            np.log(named_share),
            np.log(named_alike),
            np.broadcast_to(np.log1p(effective), chosen.shape),
        ],
        axis=-1,
    )
    return chosen, (features * is_there[..., None]).astype(np.float32)


def _shares(counts: _Counts, section_share: Any, lift: Any) -> tuple[Any, Any]:
    """Return smoothed shares of attempts, and of attempts by students alike."""
    share = (counts.count + PROBLEM_PRIOR * section_share) / (counts.total + PROBLEM_PRIOR)
    expected = np.minimum(share * lift, 1.0)
    return share, (counts.alike + ALIKE_PRIOR * expected) / (counts.total_alike + ALIKE_PRIOR)


def _chosen(memory: StrategyMemory, candidates: Candidates, asked: Asked, num_examples: int) -> Places:
    """Return the places of the heaviest candidates that another attempt followed, else ``UNSEEN``."""
    named, place, counts = candidates.named, asked.place, memory.problems
    strategy, entry, here = named.strategy[place], candidates.in_section[place], candidates.at_problem[place]
    is_own = (strategy == asked.own[:, None]) & (strategy != UNSEEN)
    is_offered = (strategy != UNSEEN) & (memory.sections.count[entry] > is_own)
    weight = named.weight[place] + np.where(here != UNSEEN, counts.count[here], 0) - is_own
    total = named.total[place] + np.where(asked.problem != UNSEEN, counts.total[asked.problem], 0)
    total -= asked.own != UNSEEN
    share = weight / np.where(total > 0, total, 1)[:, None]
    rank = np.where(is_offered, -np.round(share, SHARE_DIGITS), np.inf)
    order = np.lexsort((strategy, rank), axis=-1)[:, :num_examples]
    places: Places = np.where(np.take_along_axis(is_offered, order, axis=1), order, UNSEEN)
    missing = num_examples - places.shape[1]
    return np.pad(places, ((0, 0), (0, max(0, missing))), constant_values=UNSEEN)


def _named_counts(
    named: NamedCounts, places: Places, here: _Counts, asked: Asked
) -> tuple[_Counts, NDArray[np.floating]]:
    """Return counts weighted by names, scaled to as many attempts as would say as much, and this number."""
    row, is_there = asked.place[:, None], places != UNSEEN
    weight = here.count + np.where(is_there, named.weight[row, places], 0)
    groups = named.groups[row, places] * is_there[..., None]
    # Where nobody else has been at the problem, rounding must not outweigh problems with unlike names.
    alike = np.where(here.count > 0, here.alike, 0) + np.einsum("neg,ng->ne", groups, asked.chances)
    total, squared = (values[row] + here.total for values in (named.total, named.squared))
    total_alike = np.einsum("ng,ng->n", named.total_groups[asked.place], asked.chances)[:, None]
    total_alike = total_alike + np.where(here.total > 0, here.total_alike, 0)
    # Attempts of unequal weight say as much as (sum of weights)² / (sum of squares) of equal weight.
    is_known = total > 0
    total, squared = (np.where(is_known, values, 1) for values in (total, squared))
    scale = is_known * total / squared
    scaled = [(scale * values).astype(np.float32) for values in (weight, alike, total, total_alike)]
    return _Counts(*scaled), scale * total


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
