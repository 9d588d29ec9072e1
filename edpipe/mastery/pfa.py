"""Mastery by performance factors analysis."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edpipe.mastery.estimate import Float
from edpipe.mastery.logistic_fit import fit_weights
from edpipe.mastery.steps import MasterySteps

STRENGTH = 1.0
# About 30 bytes a KC of a step in memory; three numbers a KC need no more.
MAX_STEPS = 4_000_000


class PFAMastery:
    r"""Foretell by a linear model of how often the student was right and wrong at each KC before.

    .. math:: \operatorname{logit} P = b + \frac{1}{|K|} \sum_{k \in K}
        \beta_k + \gamma_k \log(1 + c_k) + \rho_k \log(1 + w_k)

    for :math:`c_k` right and :math:`w_k` wrong answers so far. Logarithms, unlike the counts of the published
    model, keep long practice from outweighing all else. Weights are drawn to zero by an L2 penalty.

    Parameters
    ----------
    strength
        Inverse of the L2 penalty of the summed loss.
    max_steps
        Most training steps used: those of the first students.

    References
    ----------
    Pavlik, Cen and Koedinger (2009), "Performance factors analysis: a new alternative to knowledge tracing".
    """

    name = "pfa"

    def __init__(self, *, strength: float = STRENGTH, max_steps: int = MAX_STEPS) -> None:
        self._strength = strength
        self._max_steps = max_steps
        self._weights: Float = np.empty(0)

    def fit(self, steps: MasterySteps) -> Self:
        """Fit three weights a KC and one for all."""
        if steps.num_steps > self._max_steps:
            last = steps.student[self._max_steps]
            steps = steps.where(steps.student < max(last, steps.student[0] + 1))
        right, wrong = steps.prior_counts
        features = self._features(steps.kcs, right, wrong, steps.kc_start, steps.num_kcs)
        self._weights = fit_weights(features, steps.is_correct.astype(np.float64), strength=self._strength)
        return self

    def predict(self, steps: MasterySteps) -> Float:
        """Return the chance that each step is right. Shape ``(num_steps,)``."""
        right, wrong = steps.prior_counts
        pairs = self._of_pairs(steps.kcs, right, wrong, steps.num_kcs)
        sums = np.add.reduceat(pairs, steps.kc_start[:-1]) if steps.num_steps else pairs
        return _logistic(sums / np.diff(steps.kc_start) + self._weights[-1])

    def mastery(self, steps: MasterySteps) -> Float:
        """Return the chance that the next step with the KC is right. Shape ``(num_rows,)``."""
        scored, right, kc = (steps.practice[name].to_numpy() for name in ("num_scored", "num_correct", "kc"))
        return _logistic(self._of_pairs(kc, right, scored - right, steps.num_kcs) + self._weights[-1])

    def _of_pairs(self, kc: NDArray[Any], right: NDArray[Any], wrong: NDArray[Any], num_kcs: int) -> Float:
        base, gained, lost = self._weights[:-1].reshape(3, num_kcs)
        logit: Float = base[kc] + gained[kc] * np.log1p(right) + lost[kc] * np.log1p(wrong)
        return logit

    @staticmethod
    def _features(
        kc: NDArray[Any], right: NDArray[Any], wrong: NDArray[Any], starts: NDArray[Any], num_kcs: int
    ) -> Any:
        from scipy.sparse import csr_array

        share = np.repeat(1 / np.diff(starts), np.diff(starts))
        values = np.stack([share, share * np.log1p(right), share * np.log1p(wrong)], axis=1)
        columns = (kc[:, None] + num_kcs * np.arange(3)).astype(np.int32)
        offsets = (3 * starts).astype(np.int32)
        return csr_array((values.ravel(), columns.ravel(), offsets), shape=(len(starts) - 1, 3 * num_kcs))


def _logistic(logit: Float) -> Float:
    chance: Float = 1 / (1 + np.exp(-np.clip(logit, -500, 500)))
    return chance
