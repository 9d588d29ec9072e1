# SPDX-License-Identifier: Apache-2.0
"""A causal transformer layer that can also go on from what it has seen, token by token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import FeedForward


class DecoderLayer(nn.Module):
    """Self-attention to the present and earlier places, then a feed-forward layer.

    Parameters
    ----------
    size
        Width of input and output.
    num_heads
        Number of heads; divides ``size``.
    dropout
        Share of activations dropped, in [0, 1).
    """

    def __init__(self, size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(size)
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.output = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)
        self.forward_layer = FeedForward(size, dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Return all places at once. Shape ``(batch, length, size)``."""
        normed = self.norm(values)
        key, value = (self._heads(part) for part in self.key_value(normed).chunk(2, dim=-1))
        found = nn.functional.scaled_dot_product_attention(
            self._heads(self.query(normed)), key, value, is_causal=True
        )
        return self._add(values, found)

    def step(self, values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next place, and keys and values of all places up to it.

        Shapes: ``values`` ``(batch, 1, size)``, ``seen`` ``(batch, places, 2 * size)``.
        """
        normed = self.norm(values)
        seen = torch.cat([seen, self.key_value(normed)], dim=1)
        key, value = (self._heads(part) for part in seen.chunk(2, dim=-1))
        found = nn.functional.scaled_dot_product_attention(self._heads(self.query(normed)), key, value)
        return self._add(values, found), seen

    def _add(self, values: Tensor, found: Tensor) -> Tensor:
        # (batch, heads, length, size of a head) → (batch, length, size)
        joined = self.output(found.transpose(1, 2).flatten(2))
        added: Tensor = self.forward_layer(values + self.dropout(joined))
        return added

    def _heads(self, values: Tensor) -> Tensor:
        # (batch, length, size) → (batch, heads, length, size of a head)
        return values.reshape(*values.shape[:2], self.num_heads, -1).transpose(1, 2)
