# SPDX-License-Identifier: Apache-2.0
"""What every tracer is: logits at each step, a loss, and answers to questions not asked yet."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from models.batches import InteractionBatch
from models.tracing.config import TracerConfig


class KnowledgeTracer(nn.Module, ABC):
    """A network that predicts answers and owns the loss it is trained with.

    Parameters
    ----------
    config
        Hyper-parameters; kept as ``config``.
    """

    def __init__(self, config: TracerConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, batch: InteractionBatch) -> Tensor:
        """Return the logit of a right answer at every step.

        Step ``t`` sees answers and elapsed times before ``t``, and the item and lag of ``t``. Values at
        padding are meaningless. Shape ``(batch, length)``.
        """

    @abstractmethod
    def probe_logits(self, batch: InteractionBatch, items: Tensor, kcs: Tensor) -> Tensor:
        """Return the logits that :meth:`probe` turns into probabilities. Shape ``(batch, asked)``."""

    def loss(self, batch: InteractionBatch) -> Tensor:
        """Return the mean binary cross-entropy over real (unpadded) steps."""
        logits = self(batch)[batch.mask]
        return nn.functional.binary_cross_entropy_with_logits(
            logits, batch.correct[batch.mask].to(logits.dtype)
        )

    def probe(self, batch: InteractionBatch, items: Tensor, kcs: Tensor) -> Tensor:
        """Return the probability of a right answer now, after the whole history, for items not asked.

        Each item is asked alone: no probe changes the answer to another, and no lag is assumed.

        Parameters
        ----------
        batch
            Histories; a row without an answer is a student about whom nothing is known.
        items
            Items to ask, the same for every student. Shape ``(asked,)``.
        kcs
            KCs of these items, right-padded with 0. Shape ``(asked, width)``.

        Returns
        -------
        Tensor
            Shape ``(batch, asked)``.
        """
        return self.probe_logits(batch, items, kcs).sigmoid()
