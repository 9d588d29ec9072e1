"""Compiled loops of Bayesian knowledge tracing: the expectation step, and the tracing itself.

States are unknown (0) and known (1); a known KC stays known.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@njit(cache=True)
def expect(sequences: NDArray[np.uint8], starts: Int, parameters: Float) -> tuple[Float, Float, float]:
    """Count expected events under ``parameters`` by the forward-backward algorithm.

    Parameters
    ----------
    sequences
        1 for right, 0 for wrong, sequences one after another.
    starts
        Offsets of the sequences, one more than there are.
    parameters
        Prior, learn, guess, slip.

    Returns
    -------
    tuple
        Expected events (known at first, learned, guessed, slipped), the expected chances for each, and
        the log likelihood.
    """
    prior, learn, guess, slip = parameters
    longest = 0
    for number in range(len(starts) - 1):
        longest = max(longest, starts[number + 1] - starts[number])
    unknown = np.empty(longest)  # filtered chance of the state after the answer
    known = np.empty(longest)
    scale = np.empty(longest)
    events = np.zeros(4)
    chances = np.zeros(4)
    likelihood = 0.0
    for number in range(len(starts) - 1):
        first = starts[number]
        length = starts[number + 1] - first
        before = prior
        for step in range(length):
            right = sequences[first + step]
            if_known = 1 - slip if right else slip
            if_unknown = guess if right else 1 - guess
            scale[step] = before * if_known + (1 - before) * if_unknown
            known[step] = before * if_known / scale[step]
            unknown[step] = 1 - known[step]
            likelihood += np.log(scale[step])
            before = known[step] + unknown[step] * learn
        later_known = 1.0  # scaled chance of the answers after this step, given the state
        later_unknown = 1.0
        for step in range(length - 1, -1, -1):
            is_known = known[step] * later_known
            is_unknown = unknown[step] * later_unknown
            right = sequences[first + step]
            chances[2] += is_unknown
            chances[3] += is_known
            if right:
                events[2] += is_unknown
            else:
                events[3] += is_known
            if_known = 1 - slip if right else slip
            if_unknown = guess if right else 1 - guess
            if step == 0:
                events[0] += is_known
                chances[0] += 1
                break
            from_known = if_known * later_known / scale[step]
            from_unknown = if_unknown * later_unknown / scale[step]
            earlier_unknown = learn * from_known + (1 - learn) * from_unknown
            events[1] += unknown[step - 1] * learn * from_known
            chances[1] += unknown[step - 1] * earlier_unknown
            later_known = from_known
            later_unknown = earlier_unknown
    return events, chances, likelihood


@njit(cache=True)
def last_states(sequences: NDArray[np.uint8], starts: Int, kcs: Int, parameters: Float) -> Float:
    """Return the chance that the KC is known after each sequence of answers to it.

    Parameters
    ----------
    sequences, starts
        As for :func:`expect`.
    kcs
        KC of each sequence. Shape ``(num_sequences,)``.
    parameters
        Prior, learn, guess, slip. Shape ``(num_kcs, 4)``.
    """
    found = np.empty(len(kcs))
    for number in range(len(kcs)):
        known, learn, guess, slip = parameters[kcs[number]]
        for row in range(starts[number], starts[number + 1]):
            if_known = 1 - slip if sequences[row] else slip
            if_unknown = guess if sequences[row] else 1 - guess
            after = known * if_known / (known * if_known + (1 - known) * if_unknown)
            known = after + (1 - after) * learn
        found[number] = known
    return found


@njit(cache=True)
def trace(
    starts: Int,
    items: Int,
    correct: NDArray[np.uint8],
    kc_starts: Int,
    kcs: NDArray[np.int32],
    parameters: Float,
    without_kc: float,
) -> Float:
    """Predict every answer of every student before it is seen.

    Parameters
    ----------
    starts, items, correct
        Answers by student and order: student ``s`` has rows ``starts[s]`` to ``starts[s + 1]``, each with
        an item and 1 for right.
    kc_starts, kcs
        KC sets: those of item ``i`` are ``kcs[kc_starts[i] : kc_starts[i + 1]]``.
    parameters
        Prior, learn, guess, slip. Shape ``(num_kcs, 4)``.
    without_kc
        Prediction of an item without a KC.

    Returns
    -------
    ndarray
        Probability of a right answer. Shape ``(num_rows,)``.
    """
    probability = np.empty(len(items))
    mastery = parameters[:, 0].copy()
    for student in range(len(starts) - 1):
        for row in range(starts[student], starts[student + 1]):
            item = items[row]
            if item + 1 >= len(kc_starts) or kc_starts[item + 1] == kc_starts[item]:
                probability[row] = without_kc
                continue
            total = 0.0
            for pair in range(kc_starts[item], kc_starts[item + 1]):
                kc = kcs[pair]
                before = mastery[kc]
                guess = parameters[kc, 2]
                slip = parameters[kc, 3]
                chance = before * (1 - slip) + (1 - before) * guess
                total += chance
                after = before * (1 - slip) / chance if correct[row] else before * slip / (1 - chance)
                mastery[kc] = after + (1 - after) * parameters[kc, 1]
            probability[row] = total / (kc_starts[item + 1] - kc_starts[item])
        # The next student starts from the prior; only what this one touched has moved.
        for row in range(starts[student], starts[student + 1]):
            item = items[row]
            if item + 1 < len(kc_starts):
                for pair in range(kc_starts[item], kc_starts[item + 1]):
                    mastery[kcs[pair]] = parameters[kcs[pair], 0]
    return probability
