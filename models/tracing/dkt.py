# SPDX-License-Identifier: Apache-2.0
"""Deep knowledge tracing: a recurrent network over the answers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.batches import InteractionBatch
from models.tracing.config import DKTConfig
from models.tracing.embedding import ItemEmbedding
from models.tracing.tracer import KnowledgeTracer


class DKT(KnowledgeTracer):
    """Trace knowledge with an LSTM whose state is read with the item asked.

    An item with several KCs is one step, so no step can read its own label from a sibling row. Unlike the
    published network, items are embedded by KCs and difficulty, and the output is a function of state and
    item instead of one unit per KC, so items unseen in training can be asked.

    References
    ----------
    Piech et al. (2015), "Deep knowledge tracing".
    """

    def __init__(self, config: DKTConfig) -> None:
        super().__init__(config)
        size = config.size
        self.items = ItemEmbedding(config.num_items, config.num_kcs, size, item_dropout=config.item_dropout)
        self.answer = nn.Embedding(2, size)
        self.timing = nn.Linear(2, size)
        self.memory = nn.LSTM(
            size,
            size,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.lag = nn.Linear(1, size)
        self.output = nn.Sequential(nn.Linear(2 * size, size), nn.ReLU(), nn.Linear(size, 1))

    def forward(self, batch: InteractionBatch) -> Tensor:
        """Return the logit of a right answer at every step. Shape ``(batch, length)``."""
        items = self.items.hide(batch.items)
        vectors, difficulty = self.items(items, batch.kcs)
        states = self._states(batch, vectors)
        asked = vectors + self.lag(batch.lag.unsqueeze(-1))
        return self._read(states[:, :-1], asked, difficulty)

    def probe_logits(self, batch: InteractionBatch, items: Tensor, kcs: Tensor) -> Tensor:
        """Return logits for ``items`` after the whole history. Shape ``(batch, asked)``."""
        history, _ = self.items(batch.items, batch.kcs)
        states = self._states(batch, history)
        length = batch.mask.sum(1)
        last = states[torch.arange(len(batch), device=length.device), length]
        asked, difficulty = self.items(items, kcs)
        asked = asked + self.lag(asked.new_zeros(1))
        shape = (len(batch), *asked.shape)
        return self._read(
            last.unsqueeze(1).expand(shape), asked.expand(shape), difficulty.expand(*shape[:2], 1)
        )

    def _states(self, batch: InteractionBatch, vectors: Tensor) -> Tensor:
        """Return states before the first answer and after each. Shape ``(batch, length + 1, size)``."""
        times = torch.stack([batch.elapsed, batch.lag], dim=-1)
        answered = vectors + self.answer(batch.correct.long()) + self.timing(times)
        states, _ = self.memory(self.dropout(answered))
        return torch.cat([torch.zeros_like(states[:, :1]), states], dim=1)

    def _read(self, states: Tensor, asked: Tensor, difficulty: Tensor) -> Tensor:
        logits: Tensor = self.output(torch.cat([self.dropout(states), self.dropout(asked)], dim=-1))
        return (logits - difficulty).squeeze(-1)
