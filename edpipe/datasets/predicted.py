"""What a predictor of strategies said about attempts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.strategy import Ints, Places

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PredictedStrategies:
    """One predicted strategy an attempt, and what the predictor gave the true one.

    Attributes
    ----------
    rows
        Rows of the dataset's attempts. Shape ``(n,)``.
    kcs, start
        Predicted KC codes side by side; those of the ``i``-th attempt are ``kcs[start[i]:start[i + 1]]``.
        Shapes ``(total_length,)`` and ``(n + 1,)``.
    confidence
        Probability in [0, 1] that the predictor gives its strategy; NaN where it gives none. Shape ``(n,)``.
    log_likelihood
        Logarithm of the probability of the true strategy, its end included, in nats; NaN where the
        predictor gives none. Shape ``(n,)``.
    next_correct, next_asked
        Of the true strategy's KCs and its end, each asked with the true ones before it: how many were
        foretold, and how many there are; 0 asked where the predictor cannot be asked. Shape ``(n,)``.
    """

    rows: Places
    kcs: Ints
    start: Places
    confidence: Floats
    log_likelihood: Floats
    next_correct: Ints
    next_asked: Ints

    def __post_init__(self) -> None:
        expected = (len(self.rows),)
        for name in ("confidence", "log_likelihood", "next_correct", "next_asked"):
            if getattr(self, name).shape != expected:
                raise ValueError(f"{name} must have shape {expected}; got {getattr(self, name).shape}.")
        if self.start.shape != (len(self.rows) + 1,) or self.start[-1] != len(self.kcs):
            raise ValueError("start must have one more place than rows and end at the last KC.")

    def __len__(self) -> int:
        """Return the number of attempts."""
        return len(self.rows)

    def strategy(self, place: int) -> Ints:
        """Return the predicted KC codes of one attempt. Shape ``(length,)``."""
        return self.kcs[self.start[place] : self.start[place + 1]]
