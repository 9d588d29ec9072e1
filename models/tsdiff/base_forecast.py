# SPDX-License-Identifier: Apache-2.0
"""A forecast of somebody else, as whole windows that an unconditional model can look at."""

from __future__ import annotations

import torch
from torch import Tensor

from models.batches import WindowBatch


def base_paths(batch: WindowBatch, base: Tensor, prediction_length: int, num_samples: int | None) -> Tensor:
    """Return a forecast as scaled paths.

    Parameters
    ----------
    batch
        The windows it is of.
    base
        In the unit of ``target``: points, shape ``(batch, prediction_length)``, or paths, shape
        ``(batch, number, prediction_length)``.
    prediction_length
        Steps it must have.
    num_samples
        Paths wanted; only a single one can be copied. None keeps their number.

    Returns
    -------
    Tensor
        Shape ``(batch, num_samples, prediction_length)``.

    Raises
    ------
    ValueError
        If shapes or numbers do not fit, or a value is not finite.
    """
    paths = base.unsqueeze(1) if base.ndim == 2 else base
    if paths.ndim != 3 or paths.shape[0] != len(batch) or paths.shape[2] != prediction_length:
        raise ValueError(
            f"a base forecast of {len(batch)} windows must have {prediction_length} steps; "
            f"got shape {tuple(base.shape)}."
        )
    if not paths.isfinite().all():
        raise ValueError("a base forecast must be finite.")
    number = paths.shape[1]
    if num_samples is not None and num_samples != number:
        if number != 1 or num_samples < 1:
            raise ValueError(f"{number} base paths cannot become {num_samples}; only one can be copied.")
        paths = paths.expand(-1, num_samples, -1)
    return (paths.to(batch.target.dtype) - batch.loc.view(-1, 1, 1)) / batch.scale.view(-1, 1, 1)


def windows_around(batch: WindowBatch, paths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return whole windows that end with the paths, what of them is known, and what is observed.

    What is known is observed or forecast; the rest is the mean of what is observed of the window. Observed
    values of the future stand in place of the forecast.

    Shapes: ``paths`` ``(batch, number, prediction_length)``, scaled; returns
    ``(batch * number, length, channels)`` thrice, scaled values and two masks.
    """
    number, prediction_length = paths.shape[1:]
    values, observed = batch.scaled()
    counted = observed.sum((1, 2)).clamp(min=1)
    values = torch.where(observed, values, (values.sum((1, 2)) / counted).view(-1, 1, 1))
    values, observed = values.repeat_interleave(number, 0), observed.repeat_interleave(number, 0)
    known = observed.clone()
    known[:, -prediction_length:, 0] = True
    future, is_seen = values[:, -prediction_length:, 0], observed[:, -prediction_length:, 0]
    # Values of this function's own making: repeat_interleave copied them.
    values[:, -prediction_length:, 0] = torch.where(is_seen, future, paths.flatten(0, 1))
    return values, known, observed
