# SPDX-License-Identifier: Apache-2.0
"""What serving keeps between requests: vectors and channels of items, vectors of a student's behaviors."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffumin.interest_block import MultiInterestBlock
from models.diffumin.model import DiffuMIN

# Behaviors for which a new student's store has room; it doubles when full.
FIRST_CAPACITY = 64


def model_version(model: DiffuMIN) -> int:
    """Return a number that changes with any weight or buffer: what was cached under another is stale."""
    version = 0
    for name, value in model.state_dict().items():
        plain = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        version = zlib.crc32(plain, zlib.crc32(name.encode(), version))
    return version


@dataclass(frozen=True, slots=True, eq=False)
class ItemCache:
    """Vectors and channels of a catalog, computed once.

    Attributes
    ----------
    items
        Fields of each item, int64. Shape ``(num_items, num_fields)``.
    vectors
        Shape ``(num_items, item_size)``.
    channels
        Shape ``(num_items, num_channels, item_size)``; no channels for a baseline.
    version
        See :func:`model_version`.
    """

    items: Tensor
    vectors: Tensor
    channels: Tensor
    version: int

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    def rows(self, index: Tensor) -> ItemCache:
        """Return the items that ``index`` selects, in its order."""
        return ItemCache(self.items[index], self.vectors[index], self.channels[index], self.version)


@torch.no_grad()
def cache_items(model: DiffuMIN, items: Tensor, version: int) -> ItemCache:
    """Return vectors and channels of items, fields ``(num_items, num_fields)``.

    Raises
    ------
    ValueError
        If a number lies outside its vocabulary.
    """
    model.embedding.check(items)
    vectors = model.embedding(items)
    channels = vectors.new_zeros(len(items), 0, vectors.shape[1])
    if isinstance(model.long_term, MultiInterestBlock):
        channels = model.long_term.omie.channels(vectors)
    return ItemCache(items, vectors, channels, version)


class BehaviorCache:
    """Behaviors of one student with their vectors, oldest first; grows by what is appended.

    Appending costs what is new, whatever is there already.

    Parameters
    ----------
    model
        Network whose vectors are kept.
    student
        Number of the student.
    version
        See :func:`model_version`.
    """

    def __init__(self, model: DiffuMIN, student: int, version: int) -> None:
        self.student = student
        self.version = version
        self._model = model
        weight = model.embedding.table.weight
        config = model.config
        self._vectors: Tensor = weight.new_zeros(FIRST_CAPACITY, config.item_size)
        self._items: Tensor = weight.new_zeros(FIRST_CAPACITY, config.num_fields, dtype=torch.int64)
        self._outcomes: Tensor = weight.new_zeros(FIRST_CAPACITY, dtype=torch.int64)
        self._number = 0

    def __len__(self) -> int:
        """Return the number of behaviors."""
        return self._number

    @property
    def vectors(self) -> Tensor:
        """Vectors, without a copy. Shape ``(length, item_size)``."""
        return self._vectors[: self._number]

    @property
    def items(self) -> Tensor:
        """Fields, without a copy. Shape ``(length, num_fields)``."""
        return self._items[: self._number]

    @property
    def outcomes(self) -> Tensor:
        """Outcomes, without a copy. Shape ``(length,)``."""
        return self._outcomes[: self._number]

    @torch.no_grad()
    def append(self, items: Tensor, outcomes: Tensor) -> None:
        """Take in behaviors later than all there are.

        Parameters
        ----------
        items
            Fields, int64. Shape ``(number, num_fields)``.
        outcomes
            Shape ``(number,)``.

        Raises
        ------
        ValueError
            If a number lies outside its vocabulary or the shapes do not agree; nothing is taken in then.
        """
        if items.ndim != 2 or outcomes.shape != items.shape[:1]:
            raise ValueError(
                "items must have shape (number, num_fields) and outcomes (number,); "
                f"got {tuple(items.shape)} and {tuple(outcomes.shape)}."
            )
        self._model.embedding.check(items, outcomes)
        vectors = self._model.embedding(items, outcomes)
        after = self._number + len(items)
        capacity = len(self._vectors)
        while capacity < after:
            capacity *= 2
        if capacity > len(self._vectors):
            self._vectors = self._grown(self._vectors, capacity)
            self._items = self._grown(self._items, capacity)
            self._outcomes = self._grown(self._outcomes, capacity)
        self._vectors[self._number : after] = vectors
        self._items[self._number : after] = items
        self._outcomes[self._number : after] = outcomes
        # Last: a reader sees all of the new behaviors or none.
        self._number = after

    def _grown(self, values: Tensor, capacity: int) -> Tensor:
        grown = values.new_zeros(capacity, *values.shape[1:])
        grown[: self._number] = values[: self._number]
        return grown
