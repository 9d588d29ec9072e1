# SPDX-License-Identifier: Apache-2.0
"""Noise that depends on a key and nothing else: not on the batch, its order, or what was drawn before."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from models.diffusion import normal_like

# Constants of the SplitMix64 generator, as signed numbers.
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
FIRST_FACTOR = 0xBF58476D1CE4E5B9 - (1 << 64)
SECOND_FACTOR = 0x94D049BB133111EB - (1 << 64)
HALF = 1 << 32


class NoiseSource(ABC):
    """Where the random numbers of some rows come from.

    ``purpose`` tells apart what is drawn for the same rows.
    """

    @abstractmethod
    def normal(self, like: Tensor, purpose: int) -> Tensor:
        """Return standard normal values. Shape, type and device of ``like``, ``(rows, ...)``."""

    @abstractmethod
    def integers(self, like: Tensor, high: int, purpose: int) -> Tensor:
        """Return integers from 0 below ``high``, int64. Shape and device of ``like``, ``(rows, ...)``."""

    @property
    def generator(self) -> torch.Generator | None:
        """Generator for what cannot be keyed: the noise between the steps of an ancestral sampler."""
        return None


class DrawnNoise(NoiseSource):
    """New numbers each time, from a generator or torch's global state."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self._generator = generator

    @property
    def generator(self) -> torch.Generator | None:
        """The generator given."""
        return self._generator

    def normal(self, like: Tensor, purpose: int) -> Tensor:
        """Return standard normal values."""
        del purpose
        return normal_like(like, self._generator)

    def integers(self, like: Tensor, high: int, purpose: int) -> Tensor:
        """Return integers from 0 below ``high``."""
        del purpose
        device = like.device if self._generator is None else self._generator.device
        drawn = torch.randint(high, like.shape, generator=self._generator, device=device)
        return drawn.to(like.device)


class KeyedNoise(NoiseSource):
    """The same numbers for the same key.

    Parameters
    ----------
    keys
        One for each row, int64. Shape ``(rows,)``.
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys

    def normal(self, like: Tensor, purpose: int) -> Tensor:
        """Return standard normal values, by the transform of Box and Muller in float64."""
        bits = self._bits(like, purpose)
        radius = (-2.0 * (((bits >> 32) & (HALF - 1)).double().add(0.5) / HALF).log()).sqrt()
        angle = (2 * math.pi / HALF) * (bits & (HALF - 1)).double()
        return (radius * angle.cos()).to(like.dtype)

    def integers(self, like: Tensor, high: int, purpose: int) -> Tensor:
        """Return integers from 0 below ``high``, as even as 32 bits allow."""
        return ((self._bits(like, purpose) >> 32) & (HALF - 1)) * high // HALF

    def _bits(self, like: Tensor, purpose: int) -> Tensor:
        counter = torch.arange(like.shape[1:].numel(), device=like.device) + (purpose << 40)
        return mixed(mixed(self.keys).unsqueeze(1) + GOLDEN * counter).view(like.shape)


class ZeroNoise(KeyedNoise):
    """No noise at all; integers, which have no zero, are keyed."""

    def normal(self, like: Tensor, purpose: int) -> Tensor:
        """Return zeros."""
        del purpose
        return torch.zeros_like(like)


def row_keys(seed: int, students: Tensor, items: Tensor) -> Tensor:
    """Return a key for each pair of student and item.

    Parameters
    ----------
    seed
        Of all keys.
    students
        Number of the student, int64. Shape ``(rows,)``.
    items
        Fields of the item, int64. Shape ``(rows, num_fields)``.

    Returns
    -------
    Tensor
        Int64, shape ``(rows,)``.
    """
    keys = mixed(students + mixed(torch.full_like(students, seed)))
    for field in items.unbind(-1):
        keys = mixed(keys + GOLDEN * (field + 1))
    return keys


def mixed(values: Tensor) -> Tensor:
    """Return the bits of each number mixed as SplitMix64 does, int64; products wrap around."""
    values = values + GOLDEN
    values = (values ^ _shifted(values, 30)) * FIRST_FACTOR
    values = (values ^ _shifted(values, 27)) * SECOND_FACTOR
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Shift to the right without the sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)
