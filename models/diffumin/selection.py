# SPDX-License-Identifier: Apache-2.0
"""Which behaviors a channel keeps: each goes to its best channel, and stays if it is among the best there."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeVar

import torch
from torch import Tensor

from models.diffumin.config import Percentile

# Equal behaviors must stand or fall together, though their scores may differ by rounding: what misses a
# threshold by less than this, relative to it, is kept.
TOLERANCE = 1e-6

Number = TypeVar("Number", int, Tensor)


def num_kept(number: Number, share: float, count: int = 0) -> Number:
    """Return how many of ``number`` behaviors are the best: a share, rounded up, or ``count``; at least 1.

    In whole numbers, since 0.07 times 100 in floats is more than 7.
    """
    if count:
        kept = number * 0 + count
    else:
        exact = Fraction(share).limit_denominator(10_000)
        kept = -(-number * exact.numerator // exact.denominator)
    if isinstance(number, Tensor):
        return kept.clamp(min=1).minimum(number.clamp(min=1))
    return max(1, min(kept, max(1, number)))


def lowered(threshold: Tensor) -> Tensor:
    """Return thresholds less the tolerance."""
    return threshold - TOLERANCE * threshold.abs()


def routed(scores: Tensor) -> Tensor:
    """Return True where a channel is the best of a behavior, the first of them where several are.

    Shapes: ``(..., num_channels, length)`` in and out; scores of padding are minus infinity and go nowhere.
    """
    best = scores.amax(dim=-2, keepdim=True)
    is_best = (scores == best) & (best > -torch.inf)
    taken = torch.zeros_like(is_best[..., 0, :])
    first = []
    for is_best_here in is_best.unbind(-2):
        first.append(is_best_here & ~taken)
        taken = taken | is_best_here
    return torch.stack(first, dim=-2)


def thresholds(scores: Tensor, number: Tensor, share: float, count: int = 0) -> Tensor:
    """Return the score that the last of the best in each channel has.

    Parameters
    ----------
    scores
        Minus infinity where a behavior does not take part. Shape ``(..., length)``.
    number
        Behaviors that take part; it can be broadcast to the first axes of the scores.
    share, count
        See :func:`num_kept`.

    Returns
    -------
    Tensor
        Minus infinity where none takes part. Shape ``(...)``.
    """
    if torch.compiler.is_exporting():
        # How many are the best would be asked of the length, and the answer built in.
        best = scores.sort(dim=-1, descending=True).values
    else:
        best = scores.topk(num_kept(scores.shape[-1], share, count), dim=-1).values
    last = (num_kept(number, share, count) - 1).expand(scores.shape[:-1]).unsqueeze(-1)
    return best.gather(-1, last).squeeze(-1)


@torch.no_grad()
def kept(
    scores: Tensor, mask: Tensor, *, share: float, count: int = 0, percentile: Percentile = "column"
) -> Tensor:
    r"""Return which behaviors each channel keeps: those routed to it that are among its best.

    Scores at the threshold are all kept, so equal behaviors are treated alike and the order of behaviors is
    of no matter; where scores differ, at most the share, rounded up, is kept.

    Parameters
    ----------
    scores
        Shape ``(requests, asked, num_channels, length)``.
    mask
        True where a behavior exists. Shape ``(requests, length)``.
    share, count
        See :func:`num_kept`.
    percentile
        Best of all behaviors of the student (``column``), or of those routed to the channel (``routed``).

    Returns
    -------
    Tensor
        Boolean. Shape of ``scores``.
    """
    seen = scores.masked_fill(~mask[:, None, None], -torch.inf)
    goes = routed(seen)
    if percentile == "routed":
        seen = seen.masked_fill_(~goes, -torch.inf)
        number = goes.sum(dim=-1)
    else:
        number = mask.sum(dim=-1)[:, None, None]
    least = lowered(thresholds(seen, number, share, count)).unsqueeze(-1)
    return goes & (seen >= least)
