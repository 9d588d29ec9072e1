# SPDX-License-Identifier: Apache-2.0
"""What every strategy predictor is: probabilities of the next KC, a loss, and whole strategies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.strategy.batch import StrategyBatch
from models.strategy.beam import Decoded, Memory, State, beam_search
from models.strategy.config import StrategyConfig
from models.strategy.tokens import EOS, NEVER_EMITTED, PAD

# What a token costs that the model holds impossible (a KC new to the section): log of one in a million.
IMPOSSIBLE = -13.815510557964274


class StrategyModel(nn.Module, ABC):
    """A network that predicts strategies KC by KC and owns the loss it is trained with.

    The layers that answer in :meth:`forward` are those that :meth:`start` and :meth:`step` use.

    Parameters
    ----------
    config
        Hyper-parameters; kept as ``config``.
    """

    def __init__(self, config: StrategyConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, batch: StrategyBatch) -> Tensor:
        """Return the log-probability of every token at every place, given the true tokens before it.

        Minus infinity where a token is not allowed or never emitted; values at padding are meaningless.
        Shape ``(batch, length, num_tokens)``.
        """

    @abstractmethod
    def start(self, batch: StrategyBatch, columns: Tensor) -> tuple[Memory, State]:
        """Return what is needed to decode: what is fixed for a row and the state before the first token.

        Parameters
        ----------
        batch
            Attempts; ``tokens`` is not read.
        columns
            Tokens to choose from, ascending. Shape ``(num_columns,)``.

        Returns
        -------
        tuple
            Tensors ``(batch, …)`` and ``(batch, 1, …)``.
        """

    @abstractmethod
    def step(self, tokens: Tensor, memory: Memory, state: State, columns: Tensor) -> tuple[Tensor, State]:
        """Return the log-probabilities after ``tokens``, ``(batch, beams, num_columns)``, and the state."""

    def target_log_probs(self, batch: StrategyBatch) -> Tensor:
        """Return the log-probability of each true token; 0 at padding, ``IMPOSSIBLE`` if it was masked.

        Shape ``(batch, length)``.
        """
        return targets_of(self(batch), batch)

    def loss(self, batch: StrategyBatch) -> Tensor:
        """Return the mean negative log-likelihood of a token, end tokens included, in nats."""
        return mean_loss(self.target_log_probs(batch), batch)

    def training_loss(self, batch: StrategyBatch) -> Tensor:
        """Return what is made small in training: :meth:`loss`, unless a model adds to it."""
        return self.loss(batch)

    def calibrate(self, batches: Iterable[StrategyBatch]) -> None:
        """Fit, once training is over, what makes probabilities honest on attempts not learned from.

        No weight changes; a model that has nothing to fit stays as it is.
        """
        del batches

    @torch.no_grad()
    def decode(
        self,
        batch: StrategyBatch,
        *,
        beam_size: int = 5,
        max_length: int = 50,
        length_penalty: float = 0.0,
    ) -> Decoded:
        """Return the most probable strategy of each attempt that a beam search finds.

        ``batch.tokens`` is not read. Attempts of one section decode quickest together, since only tokens that
        one of them allows are computed.

        Parameters
        ----------
        batch
            Attempts.
        beam_size, max_length, length_penalty
            See :func:`~models.strategy.beam.beam_search`.
        """
        was_training = self.training
        self.eval()
        try:
            possible = _emittable(batch.allowed).any(dim=0)
            possible[EOS] = True
            columns = possible.nonzero().squeeze(1)
            memory, state = self.start(batch, columns)
            return beam_search(
                lambda tokens, memory, state: self.step(tokens, memory, state, columns),
                memory,
                state,
                columns,
                beam_size=beam_size,
                max_length=max_length,
                length_penalty=length_penalty,
            )
        finally:
            self.train(was_training)


def targets_of(log_probs: Tensor, batch: StrategyBatch) -> Tensor:
    """Return what ``log_probs``, ``(batch, length, num_tokens)``, gives the true tokens.

    0 at padding and ``IMPOSSIBLE`` where the token may not be emitted. Shape ``(batch, length)``.
    """
    # The true token of a row that may not be emitted is asked for as the end: minus infinity has no gradient.
    possible = columns_possible(batch, None).gather(1, batch.tokens)
    found = log_probs.gather(2, batch.tokens.where(possible, EOS).unsqueeze(2)).squeeze(2)
    return found.masked_fill(~possible, IMPOSSIBLE).masked_fill(batch.tokens == PAD, 0.0)


def mean_loss(target_log_probs: Tensor, batch: StrategyBatch) -> Tensor:
    """Return the mean negative log-likelihood of the tokens that are not padding."""
    return -target_log_probs.sum() / (batch.tokens != PAD).sum().clamp(min=1)


def columns_possible(batch: StrategyBatch, columns: Tensor | None) -> Tensor:
    """Return which of the ``columns``, by default all tokens, each attempt may emit.

    Shape ``(batch, num_columns)``.
    """
    possible = _emittable(batch.allowed)
    return possible if columns is None else possible[:, columns]


def _emittable(allowed: Tensor) -> Tensor:
    """Return what may be emitted: what is allowed, the end, and none of the other special tokens."""
    possible = allowed.clone()
    possible[:, list(NEVER_EMITTED)] = False
    possible[:, EOS] = True
    return possible
