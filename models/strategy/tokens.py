# SPDX-License-Identifier: Apache-2.0
"""Numbers that stand for the KCs of a strategy, its start and its end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PAD = 0
BOS = 1
EOS = 2
UNK = 3
FIRST_KC = 4
# What a strategy never consists of: no model gives these tokens any probability.
NEVER_EMITTED = (PAD, BOS, UNK)


def encode_strategy(kcs: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the tokens of one strategy, with the end token.

    Parameters
    ----------
    kcs
        Dense KC codes in order, from 0; -1 is a KC unseen in training. Shape ``(length,)``.

    Returns
    -------
    NDArray
        Shape ``(length + 1,)``.

    Raises
    ------
    ValueError
        If a code is below -1.
    """
    codes = np.asarray(kcs, dtype=np.int64)
    if codes.size and codes.min() < -1:
        raise ValueError(f"KC codes must be at least -1; got {codes.min()}.")
    return np.append(np.where(codes < 0, UNK, codes + FIRST_KC), EOS)


def decode_tokens(tokens: Tensor | NDArray[np.integer] | Sequence[int]) -> NDArray[np.int64]:
    """Return the KC codes before the first end or padding token; -1 where the KC is unknown.

    Raises
    ------
    ValueError
        If the start token stands among them.
    """
    values = np.asarray(tokens.cpu() if isinstance(tokens, Tensor) else tokens, dtype=np.int64)
    ends = np.flatnonzero((values == EOS) | (values == PAD))
    values = values[: ends[0]] if len(ends) else values
    if (values == BOS).any():
        raise ValueError("a strategy must not hold the start token.")
    return np.where(values == UNK, -1, values - FIRST_KC)


def shift_right(tokens: Tensor) -> Tensor:
    """Return what has been seen when each token is predicted: the start, then all but the last.

    The end token is never seen, since nothing follows it: it becomes padding. Shape ``(batch, length)``.
    """
    start = torch.full_like(tokens[..., :1], BOS)
    seen = tokens[..., :-1]
    return torch.cat([start, seen.masked_fill(seen == EOS, PAD)], dim=-1)
