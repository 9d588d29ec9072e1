# SPDX-License-Identifier: Apache-2.0
"""Items and behaviors as vectors: one table for all fields, their vectors side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.batches import PADDING


class FieldEmbedding(nn.Module):
    """Embed each field of an item, and what came of it, and put the vectors side by side.

    All fields share one table, so a lookup of all of them is the result itself: no sequence is copied.
    Padding of any field, and an unknown outcome, is 0 and stays 0.

    Parameters
    ----------
    num_field_values
        Size of the vocabulary of each field, padding included.
    num_outcomes
        Outcomes, unknown (0) included; with 1 no vector stands for them.
    size
        Width of the vector of one field.
    std
        Standard deviation of the vectors before training.
    """

    offsets: Tensor

    def __init__(self, num_field_values: Sequence[int], num_outcomes: int, size: int, *, std: float) -> None:
        super().__init__()
        self.num_field_values = tuple(num_field_values)
        self.num_outcomes = num_outcomes
        # Row 0 stands for the padding of every field; each field brings its other values.
        known = [number - 1 for number in (*num_field_values, *([num_outcomes] * (num_outcomes > 1)))]
        first = torch.tensor(known).cumsum(0) - torch.tensor(known)
        self.register_buffer("offsets", first, persistent=False)
        self.table = nn.Embedding(1 + sum(known), size, padding_idx=PADDING)
        with torch.no_grad():
            self.table.weight.normal_(std=std)
            self.table.weight[PADDING] = 0.0

    def forward(self, items: Tensor, outcomes: Tensor | None = None) -> Tensor:
        """Return vectors of items, or of behaviors where ``outcomes`` are given.

        Shapes: ``items`` ``(..., num_fields)``, ``outcomes`` ``(...)``; returns ``(..., item_size)``.
        """
        if self.num_outcomes > 1:
            last = torch.zeros_like(items[..., 0]) if outcomes is None else outcomes
            items = torch.cat([items, last.unsqueeze(-1)], dim=-1)
        index = (items + self.offsets).masked_fill_(items == PADDING, PADDING)
        vectors: Tensor = self.table(index)
        return vectors.flatten(-2)

    def check(self, items: Tensor, outcomes: Tensor | None = None) -> None:
        """Refuse numbers outside the vocabularies, which would be read as values of another field.

        Raises
        ------
        ValueError
            With the field, the number found and the largest there may be.
        """
        if items.shape[-1] != len(self.num_field_values):
            raise ValueError(f"items must have {len(self.num_field_values)} fields; got {items.shape[-1]}.")
        columns = [*items.flatten(0, -2).unbind(-1)]
        names = [f"field {number} of the items" for number in range(len(columns))]
        sizes = [*self.num_field_values]
        if outcomes is not None and self.num_outcomes > 1:
            columns.append(outcomes)
            names.append("the outcomes of behaviors")
            sizes.append(self.num_outcomes)
        for name, column, size in zip(names, columns, sizes, strict=True):
            if not column.numel():
                continue
            lowest, highest = (int(bound) for bound in column.aminmax())
            if lowest < 0 or highest >= size:
                found = lowest if lowest < 0 else highest
                raise ValueError(f"{name} must lie in 0 to {size - 1}; got {found}.")
