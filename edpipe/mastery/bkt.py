"""Mastery by Bayesian knowledge tracing."""

from __future__ import annotations

from typing import Self

import numpy as np

from edpipe.mastery import bkt_kernel
from edpipe.mastery.bkt_fit import PARAMETERS, fit_parameters
from edpipe.mastery.estimate import Float
from edpipe.mastery.steps import MasterySteps, Right


class BKTMastery:
    r"""Trace each KC by a chance :math:`m` of being known that answers revise and practice raises.

    A step with the KC is right with chance :math:`m (1 - s) + (1 - m) g`. A step with several KCs revises
    each as if that one alone had been asked. Parameters are fitted a KC; see
    :func:`~edpipe.mastery.bkt_fit.fit_parameters`.
    """

    name = "bkt"

    def __init__(self) -> None:
        self._parameters: Float = np.empty((0, len(PARAMETERS)))

    def fit(self, steps: MasterySteps) -> Self:
        """Fit four parameters a KC."""
        sequences, starts, kcs = _sequences(steps)
        self._parameters = fit_parameters(sequences, starts, kcs, steps.num_kcs)
        return self

    def predict(self, steps: MasterySteps) -> Float:
        """Return the chance that each step is right. Shape ``(num_steps,)``."""
        is_new = np.append(True, steps.student[1:] != steps.student[:-1])[: steps.num_steps]
        starts = np.append(np.flatnonzero(is_new), steps.num_steps).astype(np.int64)
        # Each step is an item of its own: its KCs are looked up by its number.
        items = np.arange(steps.num_steps)
        return bkt_kernel.trace(
            starts, items, steps.is_correct, steps.kc_start, steps.kcs, self._parameters, np.nan
        )

    def mastery(self, steps: MasterySteps) -> Float:
        """Return the chance that the next step with the KC is right. Shape ``(num_rows,)``."""
        sequences, starts, kcs = _sequences(steps)
        known = bkt_kernel.last_states(sequences, starts, kcs, self._parameters)
        _, _, guess, slip = self._parameters[kcs].T
        right = known * (1 - slip) + (1 - known) * guess
        # Sequences stand by KC and student, rows of `practice` by student and KC.
        student = steps.student[steps.pair_step][np.argsort(steps.kcs, kind="stable")][starts[:-1]]
        ordered: Float = right[np.lexsort((kcs, student))]
        return ordered


def _sequences(steps: MasterySteps) -> tuple[Right, bkt_kernel.Int, bkt_kernel.Int]:
    """Return answers by KC, student and order, the offsets of sequences, and each sequence's KC."""
    order = np.argsort(steps.kcs, kind="stable")  # pairs already stand by student and order
    kc, student = steps.kcs[order].astype(np.int64), steps.student[steps.pair_step][order]
    is_new = np.ones(len(kc), dtype=np.bool_)
    is_new[1:] = (kc[1:] != kc[:-1]) | (student[1:] != student[:-1])
    starts = np.append(np.flatnonzero(is_new), len(kc)).astype(np.int64)
    return steps.is_correct[steps.pair_step][order], starts, kc[starts[:-1]]
