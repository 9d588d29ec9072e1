# SPDX-License-Identifier: Apache-2.0
"""Refinement: any forecast is moved to where the unconditional model finds the whole window likely."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from models.batches import WindowBatch
from models.diffusion import normal_like
from models.diffusion.process import expand
from models.tsdiff.base_forecast import base_paths, windows_around
from models.tsdiff.guidance import spread_levels
from models.tsdiff.guided import frozen
from models.tsdiff.regularizers import Regularizer, pull_back
from models.tsdiff.tsdiff import TSDiff

Method = Literal["langevin", "maximum_likelihood"]
Energy = Literal["loss", "score"]


@torch.no_grad()
def refine(
    model: TSDiff,
    batch: WindowBatch,
    base: Tensor,
    *,
    step: int,
    num_samples: int | None = None,
    method: Method = "langevin",
    regularizer: Regularizer = "mean_square",
    regularization: float = 1.0,
    energy: Energy = "loss",
    num_iterations: int = 20,
    step_size: float = 0.1,
    temperature: float = 0.01,
    is_observed_fixed: bool = False,
    generator: torch.Generator | None = None,
    rows_at_once: int = 512,
) -> Tensor:
    r"""Refine a forecast by descending the energy :math:`E(y) = -\log p(y) + \lambda R(y, \tilde y)`.

    :math:`\tilde y` is the observed context followed by the base forecast, and :math:`-\log p(y)` is replaced
    by the squared error of the model's noise at one diffusion step, with fresh noise in each iteration. The
    regularizer looks at the whole window, base forecast included. Unobserved context and lags are no part of
    it, never read, and move freely.

    Parameters
    ----------
    model
        Unconditional model.
    batch
        Windows; observed values are read, those of the future too if there are any.
    base
        Forecast in the unit of ``target``: points, shape ``(batch, prediction_length)``, or paths, shape
        ``(batch, num_samples, prediction_length)``.
    step
        Diffusion step of the energy, see :func:`~models.tsdiff.representative.representative_step`.
    num_samples
        Paths of each window. Points, or a single path, are copied; otherwise it is the number of paths of
        ``base``, as where None.
    method
        ``langevin`` adds noise in each iteration and so gives a spread to points; ``maximum_likelihood``
        does not.
    regularizer
        ``mean_square``, or ``quantile`` with level ``i / (n + 1)`` for path ``i``; for it the values of the
        base paths are sorted at each time step.
    regularization
        :math:`\lambda \ge 0`; infinite returns the base forecast.
    energy
        ``loss``: the gradient of the squared error as in the paper, one call of the network and one pass
        back an iteration. ``score``: the error itself times signal over spread, which on average is the
        gradient of minus the log-density of the values noised at the step; no pass back.
    num_iterations
        At least 0.
    step_size
        :math:`\eta > 0`.
    temperature
        :math:`\gamma \ge 0`: noise of variance :math:`2 \eta \gamma` is added in each iteration.
    is_observed_fixed
        Whether observed values stay as they are instead of being regularized only.
    generator
        Source of all noise; torch's global state where None.
    rows_at_once
        Paths that are computed together; a bound of memory. Changes nothing but rounding.

    Returns
    -------
    Tensor
        Paths of the future in the unit of ``target``. Shape ``(batch, num_samples, prediction_length)``.

    Raises
    ------
    ValueError
        If a number is out of its range or the shape of ``base`` does not fit.

    References
    ----------
    Kollovieh et al. (2023), "Predict, refine, synthesize: self-guiding diffusion models for probabilistic
    time series forecasting", section 3.2.
    """
    _check(method, energy, num_iterations, step_size, temperature, regularization, rows_at_once)
    if not 0 <= step < model.process.num_steps:
        raise ValueError(f"step must lie in 0 to {model.process.num_steps - 1}; got {step}.")
    model.check(batch)
    paths = base_paths(batch, base, model.config.prediction_length, num_samples)
    if regularizer == "quantile":
        paths = paths.sort(dim=1).values
    number = paths.shape[1]
    anchor, known, observed = windows_around(batch, paths)
    levels = spread_levels(number).to(base.device).repeat(len(batch))
    noise_size = (2 * step_size * temperature) ** 0.5 if method == "langevin" else 0.0
    values = anchor
    with frozen(model):
        for _ in range(num_iterations):
            noise = normal_like(values, generator)
            gradient = torch.cat(
                [
                    _gradient(model, values[rows], noise[rows], step, energy)
                    for rows in (slice(at, at + rows_at_once) for at in range(0, len(values), rows_at_once))
                ]
            )
            values = values - step_size * gradient
            if noise_size > 0:
                values = values + noise_size * normal_like(values, generator)
            pulled = pull_back(values, anchor, step_size * regularization, regularizer, levels)
            values = torch.where(known, pulled, values)
            if is_observed_fixed:
                values = torch.where(observed, anchor, values)
    future = values[:, model.config.context_length :, 0]
    return batch.unscale(future.reshape(len(batch), number, -1))


def _gradient(model: TSDiff, values: Tensor, noise: Tensor, step: int, energy: Energy) -> Tensor:
    """Return the gradient of what stands for minus the log-likelihood. Shape of ``values``."""
    time = torch.full(values.shape[:1], step, device=values.device)
    with torch.set_grad_enabled(energy == "loss"):
        leaf = values.detach().requires_grad_(energy == "loss")
        error = model.denoise(model.process.add_noise(leaf, time, noise), time).noise - noise
        if energy == "loss":
            (gradient,) = torch.autograd.grad(error.square().sum(), leaf)
            return gradient
    return expand(model.process.signal(time) / model.process.spread(time), values) * error


def _check(
    method: str,
    energy: str,
    num_iterations: int,
    step_size: float,
    temperature: float,
    regularization: float,
    rows_at_once: int,
) -> None:
    """Refuse settings that cannot be."""
    for name, found, kinds in (("method", method, Method), ("energy", energy, Energy)):
        if found not in get_args(kinds):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kinds))}; got {found!r}.")
    if num_iterations < 0 or rows_at_once < 1 or not step_size > 0:
        raise ValueError(
            "num_iterations must be at least 0, rows_at_once at least 1 and step_size above 0; "
            f"got {num_iterations}, {rows_at_once} and {step_size}."
        )
    if not temperature >= 0 or not regularization >= 0:
        raise ValueError(
            f"temperature and regularization must be at least 0; got {temperature} and {regularization}."
        )
