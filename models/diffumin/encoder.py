# SPDX-License-Identifier: Apache-2.0
"""Attention and the encoder layer that denoiser, one-step student and short-term encoder share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.diffumin.config import AttentionScale, ChannelCondition
from models.layers import INVISIBLE


class MultiHeadAttention(nn.Module):
    """Attention of some vectors to others, and, where asked for, of each to itself besides.

    Parameters
    ----------
    size
        Width of all vectors.
    num_heads
        Heads; divides ``size``.
    scale
        What scores are divided by: the root of the width of a head, or of the number of keys.
    """

    def __init__(self, size: int, num_heads: int, *, scale: AttentionScale = "width") -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = scale
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.output = nn.Linear(size, size)

    def forward(
        self, queries: Tensor, keys: Tensor, mask: Tensor | None = None, *, sees_itself: bool = False
    ) -> Tensor:
        """Return what each query finds.

        Parameters
        ----------
        queries
            Shape ``(batch, asked, size)``.
        keys
            Shape ``(batch, length, size)``.
        mask
            True where a key exists. Shape ``(batch, length)``; all where None.
        sees_itself
            Whether each query is one more key, of itself alone.

        Returns
        -------
        Tensor
            Shape of ``queries``.
        """
        number = keys.shape[1] + sees_itself
        divisor = (number if self.scale == "keys" else queries.shape[-1] // self.num_heads) ** 0.5
        query = self._heads(self.query(queries)) / divisor
        key, value = (self._heads(part) for part in self.key_value(keys).chunk(2, dim=-1))
        scores = query @ key.transpose(-2, -1)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], INVISIBLE)
        if not sees_itself:
            found = scores.softmax(dim=-1) @ value
        else:
            own_key, own_value = (self._heads(part) for part in self.key_value(queries).chunk(2, dim=-1))
            own = (query * own_key).sum(-1, keepdim=True)
            weights = torch.cat([scores, own], dim=-1).softmax(dim=-1)
            found = weights[..., :-1] @ value + weights[..., -1:] * own_value
        # (batch, heads, asked, head) → (batch, asked, size)
        result: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return result

    def _heads(self, values: Tensor) -> Tensor:
        """Reshape ``(batch, length, size)`` to ``(batch, heads, length, head)``."""
        batch, length, size = values.shape
        return values.view(batch, length, self.num_heads, size // self.num_heads).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention, a condition, and two linear maps with a ReLU, each added and normalized.

    Attention to a condition of one vector alone has nothing to weigh: it is that vector through a linear map,
    and written so. With several conditions it is attention.

    Parameters
    ----------
    size
        Width of all vectors.
    num_heads
        Heads; divides ``size``.
    expansion
        Width inside, as a multiple of ``size``.
    condition
        ``own`` for one vector, ``all`` for several, ``none``.
    dropout
        Share of activations dropped in training, in [0, 1).
    scale
        See :class:`MultiHeadAttention`.
    """

    def __init__(
        self,
        size: int,
        num_heads: int,
        expansion: int,
        *,
        condition: ChannelCondition = "none",
        dropout: float = 0.0,
        scale: AttentionScale = "width",
    ) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(size, num_heads, scale=scale)
        self.attention_norm = nn.LayerNorm(size)
        self.condition: nn.Linear | MultiHeadAttention | None = None
        if condition == "own":
            self.condition = nn.Linear(size, size)
        elif condition == "all":
            self.condition = MultiHeadAttention(size, num_heads, scale=scale)
        self.condition_norm = nn.LayerNorm(size) if self.condition is not None else None
        self.widen = nn.Linear(size, expansion * size)
        self.narrow = nn.Linear(expansion * size, size)
        self.norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        mask: Tensor | None = None,
        *,
        condition: Tensor | None = None,
        sees_itself: bool = False,
    ) -> Tensor:
        """Return the queries after the layer. Shape ``(batch, asked, size)``.

        Parameters
        ----------
        queries, keys, mask, sees_itself
            See :class:`MultiHeadAttention`.
        condition
            One vector each, or one for all: anything that can be added to ``queries``. Where the layer was
            made for several: ``(batch, number, size)``.
        """
        found = self.attention(queries, keys, mask, sees_itself=sees_itself)
        hidden = self.attention_norm(queries + self.dropout(found))
        if self.condition_norm is not None and condition is not None:
            added = (
                self.condition(hidden, condition)
                if isinstance(self.condition, MultiHeadAttention)
                else self.linear_condition(condition)
            )
            hidden = self.condition_norm(hidden + added)
        inner = self.narrow(torch.relu(self.widen(hidden)))
        result: Tensor = self.norm(hidden + self.dropout(inner))
        return result

    def linear_condition(self, condition: Tensor) -> Tensor:
        """Return what a condition of one vector adds. Shape of ``condition``."""
        if not isinstance(self.condition, nn.Linear):
            raise TypeError("this layer has no condition of one vector.")
        added: Tensor = self.condition(condition)
        return added
