# SPDX-License-Identifier: Apache-2.0
"""Layers that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Score of a step that must not be seen: its weight is exactly 0 even in half precision.
INVISIBLE = -1e4


class FeedForward(nn.Module):
    """Two linear maps with a GELU between, on normalized input, added to the input.

    Parameters
    ----------
    size
        Width of input and output.
    dropout
        Share of activations dropped, in [0, 1).
    expansion
        Width inside, as a multiple of ``size``.
    """

    def __init__(self, size: int, dropout: float, *, expansion: int = 2) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.widen = nn.Linear(size, expansion * size)
        self.narrow = nn.Linear(expansion * size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Return ``values`` plus what the layer adds. Shape ``(..., size)``."""
        inner = self.dropout(nn.functional.gelu(self.widen(self.norm(values))))
        added: Tensor = self.dropout(self.narrow(inner))
        return values + added


class HistoryAttention(nn.Module):
    r"""Multi-head attention from questions to a history, weaker with distance, stronger on matches.

    The score of query ``i`` for history step ``j`` in a head is

    .. math:: q_i \cdot k_j / \sqrt{d} - a\,\delta_{ij} - b \log(1 + \delta_{ij}) + \sum_m w_m M_{mij}

    with the distance :math:`\delta`, decay rates :math:`a, b \ge 0` and match weights :math:`w` learned per
    head. One more slot that every query sees (a learned key and value) takes the weight that no step
    deserves, so a query with an empty history is well defined and heads can tell much evidence from little.

    Parameters
    ----------
    size
        Width of queries, keys, values and output.
    num_heads
        Number of heads; divides ``size``.
    num_matches
        Number of match relations :math:`M`.
    """

    def __init__(self, size: int, num_heads: int, num_matches: int) -> None:
        super().__init__()
        if size % num_heads:
            raise ValueError(f"num_heads must divide size; got {num_heads} and {size}.")
        self.num_heads = num_heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)
        head = size // num_heads
        self.empty_key = nn.Parameter(torch.randn(num_heads, 1, head) * head**-0.5)
        self.empty_value = nn.Parameter(torch.zeros(num_heads, 1, head))
        # Heads start from nearly no decay (a head that counts) to a half-life of a few steps.
        self.log_linear_decay = nn.Parameter(torch.linspace(-6.0, -1.5, num_heads))
        self.log_power_decay = nn.Parameter(torch.full((num_heads,), -2.0))
        self.match_weight = nn.Parameter(torch.linspace(0.0, 2.0, num_heads).repeat(num_matches, 1))

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        pairs: Tensor,
    ) -> Tensor:
        """Return what each query finds in the history.

        Parameters
        ----------
        queries
            Shape ``(batch, asked, size)``.
        keys, values
            Shape ``(batch, length, size)``.
        pairs
            What :func:`pair_features` says of each query and history step.
            Shape ``(batch, num_matches + 3, asked, 1 + length)``.

        Returns
        -------
        Tensor
            Shape ``(batch, asked, size)``.
        """
        batch, asked, size = queries.shape
        query = self._heads(self.query(queries))
        empty = (batch, -1, -1, -1)
        key = torch.cat([self.empty_key.expand(empty), self._heads(self.key(keys))], dim=2)
        value = torch.cat([self.empty_value.expand(empty), self._heads(self.value(values))], dim=2)
        found = nn.functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=self._bias(pairs).to(query.dtype),
        )
        # (batch, heads, asked, head) → (batch, asked, size)
        result: Tensor = self.output(found.transpose(1, 2).reshape(batch, asked, size))
        return result

    def _heads(self, values: Tensor) -> Tensor:
        """Reshape ``(batch, length, size)`` to ``(batch, heads, length, head)``."""
        batch, length, size = values.shape
        return values.view(batch, length, self.num_heads, size // self.num_heads).transpose(1, 2)

    def _bias(self, pairs: Tensor) -> Tensor:
        """Return the score added to each pair. Shape ``(batch, heads, asked, 1 + length)``."""
        weights = torch.cat(
            [
                self.match_weight,
                -self.log_linear_decay.exp().unsqueeze(0),
                -self.log_power_decay.exp().unsqueeze(0),
                torch.full_like(self.match_weight[:1], INVISIBLE),
            ]
        )
        batch, features, asked, length = pairs.shape
        # One product for all heads: on a CPU half the time of adding the terms up one by one.
        bias = weights.T @ pairs.reshape(batch, features, asked * length)
        return bias.view(batch, self.num_heads, asked, length)


def pair_features(distance: Tensor, visible: Tensor, matches: Tensor) -> Tensor:
    """Describe pairs of query and history step for :class:`HistoryAttention`.

    Parameters
    ----------
    distance
        Steps between query and history step, at least 0 where visible. Shape ``(batch, asked, length)``
        or ``(1, asked, length)``.
    visible
        True where a query may look. Shape ``(batch, asked, length)``.
    matches
        Whether each relation holds. Shape ``(batch, num_matches, asked, length)``.

    Returns
    -------
    Tensor
        Matches, distance, its logarithm, and 1 where a query may not look; before the first step stands
        the empty slot with zeros. Shape ``(batch, num_matches + 3, asked, 1 + length)``.
    """
    steps = distance.clamp(min=0).float().expand(visible.shape)
    others = torch.stack([steps, steps.log1p(), (~visible).float()], dim=1)
    return nn.functional.pad(torch.cat([matches.float(), others], dim=1), (1, 0))
