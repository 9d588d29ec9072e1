"""Who follows the same strategies: mastery groups told apart by what students did at the same problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.mastery_groups import Evidence, MasteryGroups, groups_of
from edpipe.datasets.strategy import Ints, Places
from edpipe.datasets.strategy_history import Singles

# Attempts that the problem's shares weigh as in a group, and the section's shares as at a problem.
PROBLEM_PRIOR = 1.0
SECTION_PRIOR = 2.0
# Attempts that an unknown strategy weighs as in a section.
NOBODY = 0.1
# Chance that a student does as anybody does at the problem, whatever the group: an attempt off the path of a
# group is weak evidence against it, however few such attempts a sample of typical ones holds.
ANYBODY = 0.1
# Rounds of expectation maximization, and the largest change of a chance that ends them.
ROUNDS = 8
TOLERANCE = 1e-3
# Attempts by which the number of groups is judged; more say the same again.
MAX_JUDGED = 20_000


class GroupCounts(NamedTuple):
    """Attempts of each entry and of each owner, divided among groups; ``(n, num_groups)`` both."""

    groups: Singles
    total_groups: Singles


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """Where the strategies of attempts stand in counts of strategies; -1 where they do not.

    Attributes
    ----------
    student
        Student of each attempt, rising; earlier attempts of a student come first. Shape ``(n,)``.
    problem, section
        Owners of the counts. Shape ``(n,)``.
    at_problem, in_section
        Entries of the counts. Shape ``(n,)``.
    is_counted
        Whether the attempt itself is among those counted. Shape ``(n,)``.
    """

    student: Ints
    problem: NDArray[np.integer]
    section: NDArray[np.integer]
    at_problem: Places
    in_section: Places
    is_counted: NDArray[np.bool_]

    def at(self, rows: Places) -> Followed:
        """Return some of the attempts."""
        return Followed(
            self.student[rows],
            self.problem[rows],
            self.section[rows],
            self.at_problem[rows],
            self.in_section[rows],
            self.is_counted[rows],
        )

    def counts(self, chances: Singles) -> tuple[GroupCounts, GroupCounts]:
        """Count attempts by the chances of their students, ``(num_students, num_groups)``."""
        kept = self.at(np.flatnonzero(self.is_counted))
        weight = chances[kept.student]
        return (
            GroupCounts(_sums(kept.at_problem, weight), _sums(kept.problem, weight)),
            GroupCounts(_sums(kept.in_section, weight), _sums(kept.section, weight)),
        )

    def chances(self, problems: GroupCounts, sections: GroupCounts, counted: Singles) -> Singles:
        """Return the chance in each group that a student of it does as each attempt did, itself left out.

        ``counted`` holds the chances with which students were counted, ``(num_students, num_groups)``. Where
        no other attempt in the section followed the strategy, all groups have the same. Shape
        ``(n, num_groups)``.
        """
        return self.others(problems, sections, counted).chances()

    def others(self, problems: GroupCounts, sections: GroupCounts, counted: Singles) -> Others:
        """Return what others than each attempt did at its problem and in its section."""
        own = np.where(self.is_counted[:, None], counted[self.student], np.float32(0))
        return Others(
            *_taken(problems, self.at_problem, self.problem, own),
            *_taken(sections, self.in_section, self.section, own),
        )

    def gains(self, problems: GroupCounts, sections: GroupCounts, counted: Singles) -> Singles:
        """Return what the strategies of earlier attempts say of the group, as logarithms.

        Shape ``(n, num_groups)``.
        """
        said = np.log(self.chances(problems, sections, counted)).astype(np.float64)
        said -= said.mean(axis=1, keepdims=True)
        before = np.cumsum(said, axis=0) - said
        found: Singles = (before - before[np.searchsorted(self.student, self.student)]).astype(np.float32)
        return found


class Others(NamedTuple):
    """Other attempts by groups: those that follow the strategy, and all; ``(n, num_groups)`` each."""

    here: Singles
    here_total: Singles
    around: Singles
    around_total: Singles

    def joined(self, first: int, second: int) -> Others:
        """Return the same with two groups made one."""
        return Others(*(_joined(part, first, second) for part in self))

    def chances(self) -> Singles:
        """Return the chance in each group of doing as each attempt did. Shape ``(n, num_groups)``."""
        here, here_total, around, around_total = self
        section_share = (around.sum(axis=1, keepdims=True) + NOBODY) / (
            around_total.sum(axis=1, keepdims=True) + 1
        )
        share = (here.sum(axis=1, keepdims=True) + PROBLEM_PRIOR * section_share) / (
            here_total.sum(axis=1, keepdims=True) + PROBLEM_PRIOR
        )
        lift = (around / section_share + SECTION_PRIOR) / (around_total + SECTION_PRIOR)
        alike = (here + PROBLEM_PRIOR * np.minimum(share * lift, 1)) / (here_total + PROBLEM_PRIOR)
        # A trace of a float that subtraction left is nobody.
        is_known = around.sum(axis=1, keepdims=True) > 1e-3
        found: Singles = np.where(is_known, (1 - ANYBODY) * alike + ANYBODY * share, share)
        return found


def refine_groups(
    groups: MasteryGroups, evidence: Evidence, kc_mean: Singles, followed: Followed, last: Places
) -> tuple[MasteryGroups, Singles]:
    """Join groups that follow the same strategies, then let strategies say who belongs where.

    Answers and uses of KCs part able students from less able ones who do the same; two such groups hold half
    of the examples each. Groups are joined as long as this foretells the counted attempts better, each left
    out. Then expectation maximization reads the strategies followed at each problem beside answers and uses.

    Parameters
    ----------
    groups
        What answers and uses say.
    evidence
        Before the last counted attempt of each student.
    kc_mean
        Mean mastery of each KC. Shape ``(num_kcs,)``.
    followed
        All attempts; those counted are learned from, the others tell of their students.
    last
        The last counted attempt of each student, in the order of the evidence.

    Returns
    -------
    tuple
        The groups, and the chances with which attempts of each student are to be counted, 0 for students
        without any, ``(num_students, num_groups)``.
    """
    chances = groups.chances(evidence)
    student = followed.student[last]
    number = int(followed.student.max()) + 1
    joined = _join(chances, student, number, followed)
    if joined.shape[1] < chances.shape[1]:
        groups = groups_of(evidence, kc_mean, joined)
    counted = _spread(joined, student, number)
    for _ in range(ROUNDS):
        gains = followed.gains(*followed.counts(counted), counted)[last]
        chances = groups.chances(evidence, gains)
        change = np.abs(chances - counted[student]).max()
        counted = _spread(chances, student, number)
        groups = groups_of(evidence, kc_mean, chances)
        if change < TOLERANCE:
            break
    return groups, counted


def _join(chances: Singles, student: Ints, number: int, followed: Followed) -> Singles:
    """Join columns of chances as long as the counted attempts become likelier, each left out."""
    counted = np.flatnonzero(followed.is_counted)
    judged = followed.at(counted[:: -(-len(counted) // MAX_JUDGED)])
    by_student = _spread(chances, student, number)
    others = judged.others(*followed.counts(by_student), by_student)
    weight = by_student[judged.student]
    best = _likelihood(others, weight)
    while chances.shape[1] > 1:
        pairs = [(first, second) for second in range(chances.shape[1]) for first in range(second)]
        values = [_likelihood(others.joined(*pair), _joined(weight, *pair)) for pair in pairs]
        if max(values) < best:
            break
        best = max(values)
        pair = pairs[values.index(best)]
        others, weight, chances = others.joined(*pair), _joined(weight, *pair), _joined(chances, *pair)
    return chances


def _likelihood(others: Others, weight: Singles) -> float:
    """Return the mean log-likelihood of attempts by students of these chances."""
    return float(np.log((others.chances() * weight).sum(axis=1)).mean())


def _joined(chances: Singles, first: int, second: int) -> Singles:
    found: Singles = np.delete(chances, second, axis=1)
    found[:, first] += chances[:, second]
    return found


def _spread(chances: Singles, student: Ints, number: int) -> Singles:
    found = np.zeros((number, chances.shape[1]), dtype=np.float32)
    found[student] = chances
    return found


def _sums(place: NDArray[np.integer], values: Singles) -> Singles:
    columns = [np.bincount(place, weights=column) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _taken(
    counts: GroupCounts, entry: Places, owner: NDArray[np.integer], own: Singles
) -> tuple[Singles, Singles]:
    """Return counts of entries and owners without the attempts themselves, 0 where there are none."""
    here = np.where(entry[:, None] >= 0, counts.groups[entry], np.float32(0)) - own
    total = np.where(owner[:, None] >= 0, counts.total_groups[owner], np.float32(0)) - own
    return here.clip(0), total.clip(0)
