# SPDX-License-Identifier: Apache-2.0
"""What is known of windows when an unconditional model samples them: entries, and sums of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from models.batches import WindowBatch

GuidanceKind = Literal["mean_square", "quantile", "variance", "covariance"]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    r"""Values of linear functions of windows, and how strongly they guide.

    Several conditions combine: their log-likelihoods add up.

    Attributes
    ----------
    values
        What the functions should give, scaled; anything finite where unknown. Shape ``(batch, num_values)``.
    known
        True where a value is known. Shape ``(batch, num_values)``.
    weights
        Factors of the steps of the series in each function, shape ``(batch, num_values, length)``; None where
        the functions are the entries of the window, in the order of its steps and then channels.
    kind
        ``mean_square``: half the squared error, as of normal errors with variance 1. ``quantile``: the
        pinball loss at the level of each path, as of asymmetric Laplace errors. ``variance``: as
        ``mean_square``, divided by what noise still hides of white values. ``covariance``: weighted by the
        full covariance that the network implies; has no scale to tune, and costs several passes back.
    guidance_scale
        Factor of the log-likelihood, at least 0; not used by ``covariance``.
    is_mean
        Whether the log-likelihood is divided by the number of known values, so that one scale serves windows
        with other gaps, lags or lengths. Not used by ``covariance``.
    """

    values: Tensor
    known: Tensor
    weights: Tensor | None = None
    kind: GuidanceKind = "mean_square"
    guidance_scale: float = 1.0
    is_mean: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(GuidanceKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(GuidanceKind))}; got {self.kind!r}.")
        if self.guidance_scale < 0:
            raise ValueError(f"guidance_scale must be at least 0; got {self.guidance_scale}.")
        shape = self.values.shape
        if len(shape) != 2 or self.known.shape != shape or self.known.dtype != torch.bool:
            raise ValueError(
                "values and known, which is boolean, must have shape (batch, num_values); "
                f"got {tuple(shape)} and {tuple(self.known.shape)} of {self.known.dtype}."
            )
        if self.weights is not None and (self.weights.ndim != 3 or self.weights.shape[:2] != shape):
            raise ValueError(f"weights must have shape {tuple(shape)} and length; got {self.weights.shape}.")
        if not self.values[self.known].isfinite().all():
            raise ValueError("known values must be finite.")

    def look(self, windows: Tensor) -> Tensor:
        """Return the functions' values. From ``(batch, length, channels)`` to ``(batch, num_values)``."""
        if self.weights is None:
            return windows.flatten(1)
        return torch.einsum("bvl,bl->bv", self.weights, windows[..., 0])

    def repeat(self, times: int) -> Condition:
        """Return the condition of each window ``times`` times in a row."""
        return self.rows(torch.arange(len(self.values), device=self.values.device).repeat_interleave(times))

    def rows(self, index: Tensor | slice) -> Condition:
        """Return the conditions of some windows."""
        weights = None if self.weights is None else self.weights[index]
        return replace(self, values=self.values[index], known=self.known[index], weights=weights)


def observed_condition(
    batch: WindowBatch,
    *,
    kind: GuidanceKind = "mean_square",
    guidance_scale: float = 1.0,
    is_mean: bool = False,
) -> Condition:
    """Return the condition that all observed values and lags of ``batch`` are met."""
    values, observed = batch.scaled()
    return Condition(
        values.flatten(1),
        observed.flatten(1),
        kind=kind,
        guidance_scale=guidance_scale,
        is_mean=is_mean,
    )


def sum_condition(
    batch: WindowBatch,
    weights: Tensor,
    totals: Tensor,
    *,
    kind: GuidanceKind = "mean_square",
    guidance_scale: float = 1.0,
    is_mean: bool = False,
) -> Condition:
    r"""Return the condition that weighted sums over the steps of each window have given totals.

    Parameters
    ----------
    batch
        Windows.
    weights
        Factors of the steps, 1 for a plain total. Shape ``(num_sums, length)``, the same for all windows.
    totals
        In the unit of ``batch.target``; NaN where nothing is known. Shape ``(batch, num_sums)``.
    kind, guidance_scale, is_mean
        As in :class:`Condition`. Sums are divided by the norm of their weights, so that a scale means what it
        means for a single value.

    Raises
    ------
    ValueError
        If shapes do not fit or all weights of a sum are 0.
    """
    if weights.ndim != 2 or weights.shape[1] != batch.target.shape[1]:
        raise ValueError(
            f"weights must have shape (num_sums, {batch.target.shape[1]}); got {tuple(weights.shape)}."
        )
    if totals.shape != (len(batch), len(weights)):
        raise ValueError(f"totals must have shape {(len(batch), len(weights))}; got {tuple(totals.shape)}.")
    norm = weights.norm(dim=1)
    if not (norm > 0).all():
        raise ValueError("each sum needs a weight other than 0.")
    known = totals.isfinite()
    level = batch.loc.unsqueeze(1) * weights.sum(1)
    values = (totals - level) / (batch.scale.unsqueeze(1) * norm)
    return Condition(
        values.where(known, torch.zeros_like(values)).to(batch.target.dtype),
        known,
        (weights / norm.unsqueeze(1)).to(batch.target.dtype).expand(len(batch), -1, -1),
        kind,
        guidance_scale,
        is_mean,
    )
