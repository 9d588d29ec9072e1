"""Groups of students alike in what they answer right and what they use: whose strategies speak for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.strategy_history import Singles

# Answers that the mean of a KC weighs as in the mastery of a group, and uses likewise in its preference.
PRIOR = 4.0
MAX_GROUPS = 8
ITERATIONS = 60
TOLERANCE = 1e-6
# Students that groups are found by; more say the same again.
MAX_STUDENTS = 2_000
# First guesses that each number of groups is tried from and iterations each is given before only the best
# goes on, and numbers tried in vain before the search ends.
STARTS = 3
START_ITERATIONS = 8
PATIENCE = 2
# So small a mean mastery and its counterpart are not believed.
LEAST_MASTERY = 0.02


class Evidence(NamedTuple):
    """What students have done, one row a student; all of shape ``(n, num_kcs)``.

    ``scored`` and ``correct`` count first attempts; ``used`` counts steps, ``expected`` what anybody would
    have used in the attempts at the same sections.
    """

    scored: Singles
    correct: Singles
    used: Singles
    expected: Singles


@dataclass(frozen=True, eq=False)
class MasteryGroups:
    r"""A mixture of groups, each with its own mastery and preference of every KC.

    In group :math:`g` a first attempt at KC :math:`k` is right with chance :math:`m_{gk}`, and uses of
    :math:`k` are Poisson with mean :math:`e_k \exp(a_{gk})` where others use it :math:`e_k` times.

    Attributes
    ----------
    mastery
        :math:`m`, strictly between 0 and 1. Shape ``(num_groups, num_kcs)``.
    preference
        :math:`a`, 0 where the group uses the KC like anybody. Shape ``(num_groups, num_kcs)``.
    share
        Share of the students in each group; sums to 1. Shape ``(num_groups,)``.
    """

    mastery: Singles
    preference: Singles
    share: Singles

    @property
    def num_groups(self) -> int:
        """Number of groups."""
        return len(self.share)

    def chances(self, evidence: Evidence, gains: Singles | None = None) -> Singles:
        """Return the chance of each group; the shares where there is no evidence.

        ``gains`` holds what else speaks for each group, as logarithms of chances, ``(n, num_groups)``.
        Shape ``(n, num_groups)``.
        """
        return _expect(self, evidence, gains)[0]


def fit_mastery_groups(
    evidence: Evidence, kc_mean: NDArray[np.floating], *, seed: int, max_groups: int = MAX_GROUPS
) -> MasteryGroups:
    """Find groups by expectation maximization, as many as the Bayesian information criterion asks for.

    Students without evidence count for nothing; with none at all there is one group. Of more than
    ``MAX_STUDENTS`` as many are drawn.

    Parameters
    ----------
    evidence
        Of each student.
    kc_mean
        Mean mastery of each KC, in [0, 1], to which groups are shrunken. Shape ``(num_kcs,)``.
    seed
        Seed of the first guesses.
    max_groups
        Most groups, at least 1.
    """
    is_known = (evidence.scored.sum(axis=1) > 0) | (evidence.used.sum(axis=1) > 0)
    known = np.flatnonzero(is_known)
    if len(known) > MAX_STUDENTS:
        known = np.sort(
            np.random.default_rng([seed, MAX_STUDENTS]).choice(known, MAX_STUDENTS, replace=False)
        )
    evidence = Evidence(*(part[known] for part in evidence))
    mean = np.clip(kc_mean, LEAST_MASTERY, 1 - LEAST_MASTERY).astype(np.float32)[None, :]
    number_known = len(evidence.scored)
    best = MasteryGroups(mean, np.zeros_like(mean), np.ones(1, dtype=np.float32))
    if not number_known:
        return best
    num_met = sum(int((part.sum(axis=0) > 0).sum()) for part in (evidence.scored, evidence.used))
    least, in_vain = np.inf, 0
    for number in range(1, min(max_groups, number_known) + 1):
        starts = range(STARTS if number > 1 else 1)
        begun = [
            _iterate(
                evidence, mean, _first_guess(evidence, mean, number, [seed, number, start]), START_ITERATIONS
            )
            for start in starts
        ]
        _, chances, _ = max(begun, key=lambda one: one[2])
        groups, _, likelihood = _iterate(evidence, mean, chances, ITERATIONS)
        num_numbers = number * num_met + number - 1
        criterion = num_numbers * np.log(number_known) - 2 * likelihood
        if criterion < least:
            best, least, in_vain = groups, criterion, 0
        else:
            in_vain += 1
        if in_vain == PATIENCE:
            break
    return best


def _iterate(
    evidence: Evidence, mean: Singles, chances: Singles, iterations: int
) -> tuple[MasteryGroups, Singles, float]:
    """Return groups after some rounds from the chances given, the chances in them, and the likelihood."""
    last = -np.inf
    for _ in range(iterations):
        groups = groups_of(evidence, mean[0], chances)
        chances, likelihood = _expect(groups, evidence)
        if likelihood - last < TOLERANCE * abs(likelihood):
            break
        last = likelihood
    return groups, chances, likelihood


def _first_guess(evidence: Evidence, mean: Singles, number: int, seed: list[int]) -> Singles:
    """Return each student's nearest of ``number`` students drawn far from each other, by residuals."""
    random = np.random.default_rng(seed)
    answers = (evidence.correct - evidence.scored * mean) / np.sqrt(evidence.scored + PRIOR)
    uses = (evidence.used - evidence.expected) / np.sqrt(evidence.expected + PRIOR)
    residual = np.concatenate([answers, uses], axis=1)
    distance = np.full(len(residual), 1.0)
    squared = np.empty((len(residual), number))
    for center in range(number):
        total = distance.sum()
        # Alike students leave nothing to draw from: any will do.
        chosen = int(random.choice(len(residual), p=distance / total if total > 0 else None))
        squared[:, center] = np.square(residual - residual[chosen]).sum(axis=1, dtype=np.float64)
        distance = squared[:, : center + 1].min(axis=1)
    guess: Singles = np.eye(number, dtype=np.float32)[squared.argmin(axis=1)]
    return guess


def groups_of(evidence: Evidence, kc_mean: Singles, chances: Singles) -> MasteryGroups:
    """Return the groups whose students are known by their chances, ``(n, num_groups)``."""
    number = chances.shape[1]
    mean = np.clip(kc_mean, LEAST_MASTERY, 1 - LEAST_MASTERY).astype(np.float32)[None, :]
    right = chances.T @ evidence.correct + PRIOR * mean
    used = chances.T @ evidence.used + PRIOR
    return MasteryGroups(
        mastery=(right / (chances.T @ evidence.scored + PRIOR)).astype(np.float32),
        preference=np.log(used / (chances.T @ evidence.expected + PRIOR)).astype(np.float32),
        share=((chances.sum(axis=0) + 1) / (len(chances) + number)).astype(np.float32),
    )


def _expect(groups: MasteryGroups, evidence: Evidence, gains: Singles | None = None) -> tuple[Singles, float]:
    """Return the chance of each group for each student, and the log-likelihood but for a constant."""
    of_wrong = np.log1p(-groups.mastery)
    score = (
        evidence.correct @ (np.log(groups.mastery) - of_wrong).T
        + evidence.scored @ of_wrong.T
        + evidence.used @ groups.preference.T
        - evidence.expected @ np.exp(groups.preference).T
        + np.log(groups.share)
    )
    if gains is not None:
        score = score + gains
    top = score.max(axis=1, keepdims=True)
    weights = np.exp(score - top)
    total = weights.sum(axis=1, keepdims=True)
    return (weights / total).astype(np.float32), float((top + np.log(total)).sum(dtype=np.float64))
