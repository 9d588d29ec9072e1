"""Groups of students with like mastery, found in answers: whose strategies speak for whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.strategy_history import Singles

# Answers that the mean of a KC weighs as in the mastery of a group.
PRIOR_ANSWERS = 4.0
MAX_GROUPS = 8
ITERATIONS = 60
TOLERANCE = 1e-5
# Numbers of groups that are tried in vain before the search ends.
PATIENCE = 2


@dataclass(frozen=True, eq=False)
class MasteryGroups:
    r"""A mixture of groups; in each, a KC is answered right with one chance, whoever answers.

    Attributes
    ----------
    mastery
        Chance of a right first attempt, strictly between 0 and 1. Shape ``(num_groups, num_kcs)``.
    share
        Share of the students in each group; sums to 1. Shape ``(num_groups,)``.
    """

    mastery: Singles
    share: Singles

    @property
    def num_groups(self) -> int:
        """Number of groups."""
        return len(self.share)

    def chances(self, scored: Singles, correct: Singles) -> Singles:
        """Return the chance of each group given counts of answers; the shares where there is none.

        Shapes: counts ``(n, num_kcs)``; returns ``(n, num_groups)``.
        """
        found, _ = _responsibilities(self.mastery, self.share, scored, correct)
        return found

    def expected_mastery(self, chances: Singles) -> Singles:
        """Return the mastery of each KC by students of whom the ``chances`` are known.

        Shapes: ``(n, num_groups)``; returns ``(n, num_kcs)``.
        """
        expected: Singles = chances @ self.mastery
        return expected


def fit_mastery_groups(
    scored: Singles,
    correct: Singles,
    kc_mean: NDArray[np.floating],
    *,
    seed: int,
    max_groups: int = MAX_GROUPS,
) -> MasteryGroups:
    """Find groups by expectation maximization, as many as the Bayesian information criterion asks for.

    Students without an answer count for nothing. With no answer at all there is one group, whose mastery is
    the mean.

    Parameters
    ----------
    scored, correct
        Answers of each student, one row a student. Shape ``(num_students, num_kcs)``.
    kc_mean
        Mean mastery of each KC, in [0, 1], to which groups are shrunken. Shape ``(num_kcs,)``.
    seed
        Seed of the first guess.
    max_groups
        Most groups, at least 1.
    """
    has_answers = scored.sum(axis=1) > 0
    scored, correct = scored[has_answers], correct[has_answers]
    mean = np.clip(kc_mean, 0.02, 0.98).astype(np.float32)
    best = MasteryGroups(mean[None, :], np.ones(1, dtype=np.float32))
    if not len(scored):
        return best
    num_met = int((scored.sum(axis=0) > 0).sum())
    best_criterion, in_vain = np.inf, 0
    for number in range(1, min(max_groups, len(scored)) + 1):
        groups, likelihood = _fit(scored, correct, mean, number, seed)
        num_numbers = number * num_met + number - 1
        criterion = num_numbers * np.log(len(scored)) - 2 * likelihood
        if criterion < best_criterion:
            best, best_criterion, in_vain = groups, criterion, 0
        else:
            in_vain += 1
        if in_vain == PATIENCE:
            break
    return best


def _fit(
    scored: Singles, correct: Singles, mean: Singles, number: int, seed: int
) -> tuple[MasteryGroups, float]:
    chances = _first_guess(scored, correct, mean, number, seed)
    last = -np.inf
    for _ in range(ITERATIONS):
        share = (chances.sum(axis=0) + 1) / (len(chances) + number)
        right = chances.T @ correct + PRIOR_ANSWERS * mean
        mastery = (right / (chances.T @ scored + PRIOR_ANSWERS)).astype(np.float32)
        chances, likelihood = _responsibilities(mastery, share.astype(np.float32), scored, correct)
        if likelihood - last < TOLERANCE * abs(likelihood):
            break
        last = likelihood
    return MasteryGroups(mastery, share.astype(np.float32)), likelihood


def _first_guess(scored: Singles, correct: Singles, mean: Singles, number: int, seed: int) -> Singles:
    """Return each student's nearest of ``number`` students drawn far from each other, by residuals."""
    random = np.random.default_rng([seed, number])
    residual = (correct - scored * mean) / np.sqrt(scored + PRIOR_ANSWERS)
    chosen = [int(random.integers(len(residual)))]
    distance = np.square(residual - residual[chosen[0]]).sum(axis=1)
    for _ in range(number - 1):
        total = distance.sum()
        # Alike students leave nothing to draw from: any will do.
        weights = distance / total if total > 0 else None
        chosen.append(int(random.choice(len(residual), p=weights)))
        distance = np.minimum(distance, np.square(residual - residual[chosen[-1]]).sum(axis=1))
    centers = residual[chosen]
    squared = (
        np.square(residual).sum(axis=1)[:, None] - 2 * residual @ centers.T + np.square(centers).sum(axis=1)
    )
    guess: Singles = np.eye(number, dtype=np.float32)[squared.argmin(axis=1)]
    return guess


def _responsibilities(
    mastery: Singles, share: Singles, scored: Singles, correct: Singles
) -> tuple[Singles, float]:
    """Return the chance of each group of each student, and the log-likelihood of all answers."""
    score = correct @ np.log(mastery).T + (scored - correct) @ np.log1p(-mastery).T + np.log(share)
    top = score.max(axis=1, keepdims=True, initial=-np.inf)
    weights = np.exp(score - top)
    total = weights.sum(axis=1, keepdims=True)
    return (weights / total).astype(np.float32), float((top + np.log(total)).sum(dtype=np.float64))
