# SPDX-License-Identifier: Apache-2.0
"""Scenarios: paths as the model draws them, given that a constraint holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffusion.noise import uniform
from models.tsdiff.constraints import Allows

# From a number of paths to that many new ones of each window, shape ``(batch, number, length)``.
Draw = Callable[[int], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Scenarios:
    """Paths under a constraint, and how much they can be relied on.

    Attributes
    ----------
    samples
        Equally weighted paths. Shape ``(batch, num_samples, length)``.
    effective_sample_size
        Number of independent paths that are worth as much. Shape ``(batch,)``.
    probability
        How likely the constraint is without having asked for it; for soft constraints the mean weight.
        Shape ``(batch,)``.
    num_drawn
        Paths drawn of each window.
    """

    samples: Tensor
    effective_sample_size: Tensor
    probability: Tensor
    num_drawn: int


def reject(
    draw: Draw,
    allows: Allows,
    num_samples: int,
    *,
    num_at_once: int | None = None,
    max_draws: int = 10_000,
) -> Scenarios:
    """Draw until enough paths of every window are allowed: exactly the law of paths given the constraint.

    Where the largest number of draws leaves a window with fewer than it needs, its allowed paths are repeated
    as evenly as can be, and the effective sample size says how many there are.

    Parameters
    ----------
    draw
        Source of independent paths, new ones with each call.
    allows
        Which paths are allowed, see :class:`~models.tsdiff.constraints.Constraint`.
    num_samples
        Paths wanted of each window, at least 1.
    num_at_once
        Paths of each window drawn together; ``num_samples`` where None.
    max_draws
        Largest number of paths drawn of each window, at least 1.

    Raises
    ------
    ValueError
        If a number is below 1, or a window has no allowed path.
    """
    at_once = num_samples if num_at_once is None else num_at_once
    if min(num_samples, at_once, max_draws) < 1:
        found = f"{num_samples}, {num_at_once} and {max_draws}"
        raise ValueError(f"num_samples, num_at_once and max_draws must be at least 1; got {found}.")
    kept: list[list[Tensor]] = []
    counts, num_drawn = torch.zeros(0, dtype=torch.long), 0
    while num_drawn < max_draws:
        paths = draw(min(at_once, max_draws - num_drawn))
        is_allowed = allows(paths)
        if not kept:
            kept = [[] for _ in paths]
            counts = torch.zeros(len(paths), dtype=torch.long, device=paths.device)
        num_drawn += paths.shape[1]
        counts = counts + is_allowed.sum(1)
        for row, (some, mask) in enumerate(zip(paths, is_allowed, strict=True)):
            kept[row].append(some[mask])
        if (counts >= num_samples).all():
            break
    empty = (counts == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"none of {num_drawn} paths of window {', '.join(map(str, empty[:5]))} is allowed; "
            "loosen the constraint or draw more."
        )
    samples = torch.stack([_filled(torch.cat(parts), num_samples) for parts in kept])
    return Scenarios(
        samples,
        counts.clamp(max=num_samples).to(samples.dtype),
        counts.to(samples.dtype) / num_drawn,
        num_drawn,
    )


def resample(
    samples: Tensor,
    log_weights: Tensor,
    num_samples: int,
    generator: torch.Generator | None = None,
) -> Scenarios:
    """Draw from paths in proportion to weights: the law given a soft constraint, as the paths grow in number.

    Copies of a path differ from its share of the weights by less than one (systematic resampling).

    Parameters
    ----------
    samples
        Paths. Shape ``(batch, number, length)``.
    log_weights
        Minus infinity excludes a path. Shape ``(batch, number)``.
    num_samples
        Paths wanted of each window, at least 1.
    generator
        Source of one random number a window; torch's global state where None.

    Raises
    ------
    ValueError
        If shapes do not fit, a weight is not a number or infinite, or all paths of a window are excluded.
    """
    if num_samples < 1 or samples.ndim != 3 or log_weights.shape != samples.shape[:2]:
        raise ValueError(
            "resampling needs num_samples of at least 1 and a weight for each path; "
            f"got {num_samples}, {tuple(samples.shape)} and {tuple(log_weights.shape)}."
        )
    if (log_weights.isnan() | (log_weights == torch.inf)).any():
        raise ValueError("log_weights must be numbers or minus infinity.")
    logs = log_weights.double()
    if not (logs > -torch.inf).any(1).all():
        raise ValueError("all paths of a window are excluded; loosen the constraint or draw more.")
    shares = logs.softmax(1)
    places = torch.arange(num_samples, device=shares.device, dtype=shares.dtype)
    places = (places + uniform(len(shares), generator, shares.device).double().unsqueeze(1)) / num_samples
    # Rounding may leave the last bound below a place; only paths with a weight may be taken.
    chosen = torch.searchsorted(shares.cumsum(1), places, right=True)
    last = torch.where(shares > 0, torch.arange(shares.shape[1], device=shares.device), 0).amax(1)
    chosen = torch.minimum(chosen, last.unsqueeze(1))
    taken = samples.gather(1, chosen.unsqueeze(-1).expand(-1, -1, samples.shape[-1]))
    return Scenarios(
        taken,
        effective_sample_size(log_weights),
        (logs.logsumexp(1).exp() / logs.shape[1]).to(samples.dtype),
        samples.shape[1],
    )


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """Return the squared sum of weights over the sum of their squares. Shape ``(batch,)``.

    The number of paths if all weigh the same, 1 if one has all the weight.
    """
    return (1 / log_weights.double().softmax(1).square().sum(1)).to(log_weights.dtype)


def best_of(samples: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the path of each window with the highest score, for where a single one is wanted.

    Choosing shrinks the spread: what is chosen is an example, never a forecast.

    Shapes: ``samples`` ``(batch, number, length)``, ``score`` gives ``(batch, number)``; returns
    ``(batch, length)``.
    """
    return samples[torch.arange(len(samples), device=samples.device), score(samples).argmax(1)]


def _filled(paths: Tensor, number: int) -> Tensor:
    """Return the first paths, repeated in turn where there are too few."""
    return paths[torch.arange(number, device=paths.device) % len(paths)]
