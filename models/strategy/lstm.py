# SPDX-License-Identifier: Apache-2.0
"""The parity model: an encoder LSTM over three vectors starts a decoder LSTM over KCs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.strategy.batch import StrategyBatch
from models.strategy.beam import Memory, State
from models.strategy.config import LSTMStrategyConfig
from models.strategy.model import StrategyModel, columns_possible
from models.strategy.tokens import PAD, shift_right


class LSTMStrategyModel(StrategyModel):
    """Encoder and decoder LSTM with one output layer, the same in training and in decoding.

    The encoder reads the vectors of student, hierarchy and problem as three steps; its last state starts the
    decoder. Examples and mastery are not read: what this model knows is in the vectors.

    Parameters
    ----------
    config
        Hyper-parameters.
    """

    def __init__(self, config: LSTMStrategyConfig) -> None:
        super().__init__(config)
        size, layers = config.size, config.num_layers
        between = config.dropout if layers > 1 else 0.0
        self.encoder = nn.LSTM(config.vector_size, size, layers, batch_first=True, dropout=between)
        self.embedding = nn.Embedding(config.num_tokens, size, padding_idx=PAD)
        self.decoder = nn.LSTM(size, size, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(size, config.num_tokens)

    def forward(self, batch: StrategyBatch) -> Tensor:
        """Return the log-probability of every token at every place."""
        columns = torch.arange(self.config.num_tokens, device=batch.tokens.device)
        embedded = self.dropout(self.embedding(shift_right(batch.tokens)))
        hidden, _ = self.decoder(embedded, self._encode(batch))
        return self._log_probs(hidden, columns_possible(batch, columns), columns)

    def start(self, batch: StrategyBatch, columns: Tensor) -> tuple[Memory, State]:
        """Return which tokens are possible, and the encoder's state."""
        # (layers, batch, size) → (batch, 1, layers, size)
        hidden, cell = (value.transpose(0, 1).unsqueeze(1) for value in self._encode(batch))
        return (columns_possible(batch, columns),), (hidden, cell)

    def step(self, tokens: Tensor, memory: Memory, state: State, columns: Tensor) -> tuple[Tensor, State]:
        """Move the decoder by one token."""
        rows, beams = tokens.shape
        # (rows, beams, layers, size) → (layers, rows · beams, size)
        before = tuple(value.flatten(0, 1).transpose(0, 1).contiguous() for value in state)
        embedded = self.embedding(tokens).flatten(0, 1).unsqueeze(1)
        hidden, after = self.decoder(embedded, before)
        log_probs = self._log_probs(hidden.view(rows, beams, -1), memory[0], columns)
        return log_probs, tuple(value.transpose(0, 1).unflatten(0, (rows, beams)) for value in after)

    def _encode(self, batch: StrategyBatch) -> tuple[Tensor, Tensor]:
        vectors = torch.stack([batch.student_vectors, batch.section_vectors, batch.problem_vectors], dim=1)
        # Vectors of length 1 have entries near 0; at this scale the gates see them.
        _, (hidden, cell) = self.encoder(vectors * self.config.vector_size**0.5)
        return hidden, cell

    def _log_probs(self, hidden: Tensor, possible: Tensor, columns: Tensor) -> Tensor:
        logits = nn.functional.linear(
            self.dropout(hidden), self.output.weight[columns], self.output.bias[columns]
        )
        return logits.float().masked_fill(~possible.unsqueeze(1), -torch.inf).log_softmax(dim=-1)
