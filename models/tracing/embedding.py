# SPDX-License-Identifier: Apache-2.0
"""Items as vectors: their KCs, and how far each item is from what is usual for these."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.batches import PADDING, UNKNOWN


class ItemEmbedding(nn.Module):
    r"""Embed an item as the mean of its KCs plus its difficulty times a direction of these KCs.

    .. math:: x = \bar c + \mu \bar d

    :math:`\bar c` and :math:`\bar d` are means over the item's KCs of a vector and a direction, :math:`\mu`
    is one number an item. An item that training has seen a few times so costs one parameter, and an unseen
    one (:math:`\mu` of the unknown item) is what its KCs say.

    Parameters
    ----------
    num_items, num_kcs
        Sizes of the vocabularies, padding and unknown included.
    size
        Width of the vectors.
    item_dropout
        Share of items shown as unknown in training, in [0, 1).

    References
    ----------
    Ghosh, Heffernan and Lan (2020), "Context-aware attentive knowledge tracing", section on Rasch
    model-based embeddings.
    """

    def __init__(self, num_items: int, num_kcs: int, size: int, *, item_dropout: float) -> None:
        super().__init__()
        self.item_dropout = item_dropout
        self.kc = nn.Embedding(num_kcs, size, padding_idx=PADDING)
        self.direction = nn.Embedding(num_kcs, size, padding_idx=PADDING)
        self.difficulty = nn.Embedding(num_items, 1, padding_idx=PADDING)
        with torch.no_grad():
            self.difficulty.weight.zero_()

    def hide(self, items: Tensor) -> Tensor:
        """Return ``items`` with a random share shown as unknown while training."""
        if not self.training or self.item_dropout == 0:
            return items
        hidden = torch.rand(items.shape, device=items.device) < self.item_dropout
        return items.masked_fill(hidden & (items != PADDING), UNKNOWN)

    def forward(self, items: Tensor, kcs: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors ``(..., size)`` and difficulties ``(..., 1)``.

        Shapes: ``items`` ``(...)``, ``kcs`` ``(..., width)``.
        """
        count = (kcs != PADDING).sum(-1, keepdim=True).clamp(min=1)
        difficulty: Tensor = self.difficulty(items)
        center = self.kc(kcs).sum(-2) / count
        direction = self.direction(kcs).sum(-2) / count
        return center + difficulty * direction, difficulty
