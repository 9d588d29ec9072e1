# SPDX-License-Identifier: Apache-2.0
"""What keeps a refined forecast near the one it came from."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Regularizer = Literal["mean_square", "quantile"]


def pull_back(
    values: Tensor,
    anchor: Tensor,
    weight: float,
    regularizer: Regularizer,
    quantile_levels: Tensor | None = None,
) -> Tensor:
    r"""Return the values nearest to ``values`` that also lie near ``anchor``.

    Minimizes :math:`\tfrac12 \lVert y - v \rVert^2 + w R(y)`. As part of a descent this is an implicit step
    on the regularizer: to first order of the step size the same as a step along its gradient, but stable
    for any weight, and at rest at the kink of the pinball loss.

    Parameters
    ----------
    values
        Shape ``(batch, ...)``.
    anchor
        Values to stay near to. Shape of ``values``.
    weight
        Step size times the weight of the regularizer, at least 0; infinite returns the anchor.
    regularizer
        ``mean_square``: sum of squared distances. ``quantile``: pinball loss, with the anchor as what is
        observed.
    quantile_levels
        For ``quantile``, in (0, 1). Shape ``(batch,)``.

    Returns
    -------
    Tensor
        Shape of ``values``.
    """
    away = values - anchor
    if regularizer == "mean_square":
        return anchor + away / (1 + 2 * weight)
    if quantile_levels is None:
        raise ValueError("the quantile regularizer needs quantile_levels.")
    levels = quantile_levels.to(values.dtype).view(-1, *(1,) * (values.ndim - 1))
    above = (away - weight * (1 - levels)).clamp(min=0)
    below = (away + weight * levels).clamp(max=0)
    return anchor + torch.where(away > 0, above, below)
