# SPDX-License-Identifier: Apache-2.0
"""How strongly observed entries should guide: by how uncertain the clean values still are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from models.diffusion.process import Process, expand


def clean_variance(process: Process, time: Tensor, data_variance: float = 1.0) -> Tensor:
    r"""Return the variance of a clean value given its noisy one, if the data were white.

    :math:`v s_t^2 / (a_t^2 v + s_t^2)`. A squared error divided by it is a guidance whose strength follows
    the noise, at the price of a plain gradient. Shape of ``time``.
    """
    if data_variance <= 0:
        raise ValueError(f"data_variance must be above 0; got {data_variance}.")
    noise = process.spread(time).square()
    return data_variance * noise / (process.signal(time).square() * data_variance + noise)


def covariance_guidance(
    x0: Tensor,
    x: Tensor,
    target: Tensor,
    observed: Tensor,
    process: Process,
    time: Tensor,
    *,
    look: Callable[[Tensor], Tensor] | None = None,
    noise_variance: float = 1e-4,
    num_iterations: int = 10,
) -> Tensor:
    r"""Return the gradient of the log-likelihood of the observed, weighted by what is still uncertain.

    The clean values given the noisy ones have mean :math:`f(x_t)` and covariance
    :math:`C = (s_t^2 / a_t)\, \partial f / \partial x_t`. Taken as normal, they give

    .. math:: g = J_o^\top (C_{oo} + r^2 I)^{-1} (y - f_o),

    with the rows :math:`o` of the observed entries. No scale is left to tune: for Gaussian data this is the
    exact gradient, and guided clean values are the exact mean given the observed. The system is solved by
    conjugate gradients, each iteration one pass back through the network.

    Parameters
    ----------
    x0
        Estimate of the clean values, made from ``x`` under autograd, rows apart. Shape ``(batch, ...)``.
    x
        Noisy values, a leaf that requires a gradient. Shape ``(batch, ...)``.
    target
        Observed values; anything finite elsewhere. Shape ``(batch, ...)``, that of what ``look`` returns.
    observed
        True where observed. Shape of ``target``.
    process
        The process.
    time
        Times of ``x``. Shape ``(batch,)``.
    look
        Linear function of clean values that is observed; the values themselves where None.
    noise_variance
        Variance :math:`r^2 > 0` of the observations, which also keeps the system solvable.
    num_iterations
        Conjugate gradient steps, at least 1; fewer leave the guidance too weak, not wrong in direction.

    Returns
    -------
    Tensor
        Without a graph, 0 where no signal is left. Shape ``(batch, ...)``.

    Raises
    ------
    ValueError
        If the variance or the number of iterations is not positive.
    """
    if noise_variance <= 0 or num_iterations < 1:
        raise ValueError(
            f"noise_variance and num_iterations must be positive; got {noise_variance} and {num_iterations}."
        )
    signal, spread = expand(process.signal(time), x), expand(process.spread(time), x)
    # Where no signal is left the estimate cannot depend on x; zero instead of a division by zero.
    factor = torch.where(signal > 0, spread.square() / signal.clamp(min=1e-12), torch.zeros_like(signal))
    kept = observed.to(x.dtype)
    look = look or torch.clone
    seen = look(x0)

    def back(values: Tensor) -> Tensor:
        """Return the transposed Jacobian times the values at observed entries."""
        (product,) = torch.autograd.grad(seen, x, kept * values, retain_graph=True)
        return product

    residual = kept * (target - seen).detach()
    solution = torch.zeros_like(residual)
    direction = residual
    size = _dot(residual, residual)
    for _ in range(num_iterations):
        image = kept * look(factor * back(direction)) + noise_variance * direction
        curvature = _dot(direction, image)
        # A network's Jacobian may bend the wrong way: rows where it does, or that are solved, stay.
        moving = (curvature > 0) & (size > 0)
        length = torch.where(moving, size / torch.where(moving, curvature, torch.ones_like(size)), 0.0)
        solution = solution + length * direction
        residual = residual - length * image
        before, size = size, torch.where(moving, _dot(residual, residual), torch.zeros_like(size))
        direction = residual + size / torch.where(before > 0, before, torch.ones_like(before)) * direction
    return torch.where(signal > 0, back(solution), torch.zeros_like(x)).detach()


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Return the product of each row, ready to be multiplied with the rows."""
    return expand((left * right).flatten(1).sum(dim=1), left)
