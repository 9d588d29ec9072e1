"""Samplers that look at no vector: all attempts, uniform draws, shares of sections, naive groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.samplers.apportionment import apportion
from edpipe.datasets.samplers.pool import Pool, checked_budget, codes_of, place_in_group
from edpipe.datasets.strategy import Places


@dataclass(frozen=True, slots=True)
class AllSampler:
    """Take everything, whatever the budget: the ceiling."""

    name: str = "all"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return all rows."""
        checked_budget(pool, budget)
        return pool.rows.copy()


@dataclass(frozen=True, slots=True)
class UniformSampler:
    """Draw attempts with equal chances, without replacement."""

    name: str = "uniform"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return rows drawn from the pool."""
        num_taken = checked_budget(pool, budget)
        taken = pool.random(self.name).choice(len(pool), size=num_taken, replace=False)
        return np.sort(pool.rows[taken])


@dataclass(frozen=True, slots=True)
class SectionSampler:
    """Draw from each section in proportion to its attempts, at least one of each."""

    name: str = "sections"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return rows drawn section by section."""
        section = codes_of(pool.section)
        return stratified(pool, section, budget, np.bincount(section).astype(np.float64), self.name)


@dataclass(frozen=True, slots=True)
class GroupSampler:
    """Draw equally from groups of equal problem and strategy: naive grouping by what can be read off."""

    name: str = "group"

    def sample(self, pool: Pool, budget: int) -> Places:
        """Return rows drawn group by group."""
        group = codes_of(pool.problem, pool.strategy)
        return stratified(pool, group, budget, np.ones(int(group.max()) + 1), self.name)


def stratified(pool: Pool, group: Places, budget: int, weights: NDArray[np.float64], name: str) -> Places:
    """Share the budget among groups by weight and draw within each with equal chances.

    Parameters
    ----------
    pool, budget
        Attempts and how many to take.
    group
        Group of each attempt, from 0 without gaps. Shape ``(n,)``.
    weights
        Positive weight of each group. Shape ``(num_groups,)``.
    name
        Names the random numbers.
    """
    num_taken = checked_budget(pool, budget)
    shares = apportion(np.bincount(group), num_taken, weights)
    place = place_in_group(group, pool.random(name).permutation(len(pool)))
    return pool.rows[place < shares[group]]
