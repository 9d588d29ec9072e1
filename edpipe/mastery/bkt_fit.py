"""Parameters of Bayesian knowledge tracing by expectation maximization."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edpipe.mastery import bkt_kernel
from edpipe.mastery.bkt_kernel import Float, Int

PARAMETERS = ("prior", "learn", "guess", "slip")
START = (0.4, 0.1, 0.25, 0.1)
# Guess and slip above one half would swap the meaning of the two states.
UPPER = (0.999, 0.999, 0.5, 0.5)
LOWER = 1e-3
# Answers' worth of belief in the parameters of all KCs together: steadies KCs with few answers.
PRIOR_WEIGHT = 10.0
MAX_ITERATIONS = 100
TOLERANCE = 1e-5


def fit_parameters(sequences: NDArray[np.uint8], starts: Int, kcs: Int, num_kcs: int) -> Float:
    """Fit four parameters a KC, starting from those of all KCs, which also serve KCs without answers.

    Parameters
    ----------
    sequences
        1 for right, 0 for wrong, sequences one after another, by KC. Shape ``(num_answers,)``.
    starts
        Offsets of the sequences. Shape ``(num_sequences + 1,)``.
    kcs
        KC of each sequence, rising. Shape ``(num_sequences,)``.
    num_kcs
        Number of KCs.

    Returns
    -------
    ndarray
        Prior, learn, guess, slip. Shape ``(num_kcs, 4)``.
    """
    pooled = _fit_kc(sequences, starts, np.array(START), weight=0.0)
    parameters = np.tile(pooled, (num_kcs, 1))
    # Sequences stand by KC, so those of one KC are one slice.
    bounds = np.searchsorted(kcs, np.arange(num_kcs + 1))
    for kc in range(num_kcs):
        of_kc = starts[bounds[kc] : bounds[kc + 1] + 1]
        if len(of_kc) > 1:
            parameters[kc] = _fit_kc(sequences, of_kc, pooled, weight=PRIOR_WEIGHT)
    return parameters


def _fit_kc(sequences: NDArray[np.uint8], starts: Int, start: Float, *, weight: float) -> Float:
    """Climb to a (penalized) maximum of the likelihood of these sequences."""
    parameters = np.clip(start, LOWER, UPPER)
    num_answers = max(int(starts[-1] - starts[0]), 1)
    previous = -np.inf
    for _ in range(MAX_ITERATIONS):
        events, chances, likelihood = bkt_kernel.expect(sequences, starts, parameters)
        estimate = (events + weight * start) / np.maximum(chances + weight, 1e-12)
        parameters = np.clip(estimate, LOWER, UPPER)
        if (likelihood - previous) / num_answers < TOLERANCE:
            break
        previous = likelihood
    return parameters
