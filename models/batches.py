# SPDX-License-Identifier: Apache-2.0
"""Batches of tensors: all that the data side and the networks share."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

PADDING = 0
UNKNOWN = 1
FIRST_KNOWN = 2


@dataclass(frozen=True, slots=True, eq=False)
class InteractionBatch:
    """Answer histories of several students, right-padded to a common length.

    ``elapsed`` of a step becomes known with its answer, so a prediction at that step may not read it;
    ``lag`` is known when the item is shown, so it may.

    Attributes
    ----------
    items
        Asked items, int64; 0 is padding, 1 an item unseen in training. Shape ``(batch, length)``.
    kcs
        KCs of each item, int64, right-padded with 0; 1 is an unseen KC. Shape ``(batch, length, width)``.
    correct
        1 for right, 0 for wrong, float. Shape ``(batch, length)``.
    mask
        True where an answer exists. Shape ``(batch, length)``.
    elapsed
        Time spent on the item, logarithm of seconds, standardized; 0 if unknown. Shape ``(batch, length)``.
    lag
        Time from the previous answer to the showing of this item, logarithm of seconds, standardized;
        0 if unknown. Shape ``(batch, length)``.
    """

    items: Tensor
    kcs: Tensor
    correct: Tensor
    mask: Tensor
    elapsed: Tensor
    lag: Tensor

    def __post_init__(self) -> None:
        shape = self.items.shape
        if len(shape) != 2:
            raise ValueError(f"items must have shape (batch, length); got {tuple(shape)}.")
        for name in ("correct", "mask", "elapsed", "lag"):
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} must have the shape of items {tuple(shape)}; got {tuple(found)}.")
        if self.kcs.ndim != 3 or self.kcs.shape[:2] != shape:
            raise ValueError(f"kcs must have shape {tuple(shape)} and a width; got {tuple(self.kcs.shape)}.")
        if self.mask.dtype != torch.bool:
            raise ValueError(f"mask must be boolean; got {self.mask.dtype}.")

    def __len__(self) -> int:
        """Return the number of histories."""
        return int(self.items.shape[0])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> InteractionBatch:
        """Return the same batch on ``device``."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=non_blocking)
            for field in fields(self)
        }
        return InteractionBatch(**moved)

    def rows(self, index: Tensor | slice) -> InteractionBatch:
        """Return the histories that ``index`` selects, in its order."""
        return InteractionBatch(**{field.name: getattr(self, field.name)[index] for field in fields(self)})
