# SPDX-License-Identifier: Apache-2.0
"""Multi-head attention of target items to the behaviors that were found for each of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import INVISIBLE


class TargetAttention(nn.Module):
    """Attention of each item to behaviors of its own choice; 0 where none was found.

    Keys and values of all behaviors are computed once, and then looked up for each item.

    Parameters
    ----------
    size
        Width of items and behaviors.
    num_heads
        Heads; divides ``size``.
    """

    def __init__(self, size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.output = nn.Linear(size, size, bias=False)

    def forward(
        self, targets: Tensor, behaviors: Tensor, places: Tensor, exists: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Return what each item finds.

        Parameters
        ----------
        targets
            Shape ``(requests, asked, size)``.
        behaviors
            Shape ``(requests, length, size)``.
        places, exists
            Places of the chosen behaviors, and which exist. Shape ``(requests, asked, found)``.
        bias
            What a behavior adds to its score in each head. Shape ``(requests, length, num_heads)``.

        Returns
        -------
        Tensor
            Shape ``(requests, asked, size)``.
        """
        requests, asked, size = targets.shape
        flat = places.flatten(1)
        request = torch.arange(requests, device=flat.device).unsqueeze(1)
        # (requests, asked, found, heads, 2 * head) → (requests * asked, heads, found, 2 * head)
        chosen = self.key_value(behaviors)[request, flat].view(
            requests * asked, places.shape[2], 2, self.num_heads, size // self.num_heads
        )
        key, value = (part.transpose(1, 2) for part in chosen.unbind(dim=2))
        query = self.query(targets).view(requests * asked, self.num_heads, 1, -1)
        scores = query @ key.transpose(-2, -1) / (size // self.num_heads) ** 0.5
        if bias is not None:
            added = bias[request, flat].view(requests * asked, places.shape[2], 1, self.num_heads)
            scores = scores + added.permute(0, 3, 2, 1)
        seen = exists.flatten(0, 1)[:, None, None]
        weights = scores.masked_fill(~seen, INVISIBLE).softmax(dim=-1) * seen
        found: Tensor = self.output((weights @ value).reshape(requests, asked, size))
        return found

    def scores(self, targets: Tensor, behaviors: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the score of every behavior for every item, summed over heads.

        Shape ``(requests, asked, length)``. One matrix product: the sum over heads of products is the product
        of all.
        """
        size = targets.shape[-1]
        keys = self.key_value(behaviors)[..., :size]
        scores: Tensor = self.query(targets) @ keys.transpose(1, 2) / (size // self.num_heads) ** 0.5
        return scores if bias is None else scores + bias.sum(-1).unsqueeze(1)
