# SPDX-License-Identifier: Apache-2.0
"""Self-guidance: an unconditional model steers itself to what is known, one call of the network a step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.diffusion import Estimate, Process, clean_variance, covariance_guidance
from models.tsdiff.conditions import Condition
from models.tsdiff.tsdiff import TSDiff


class SelfGuidance:
    r"""Denoise with the gradient of the log-likelihood of what is known, for any sampler.

    The known values are judged by the model's own clean estimate, :math:`\log p(y \mid f(x_t))`. Estimate and
    gradient at :math:`x_t` come from one call of the network and one pass back.

    Parameters
    ----------
    model
        The model, in evaluation.
    conditions
        What is known of the rows that will be denoised; their log-likelihoods add up.
    quantile_levels
        Level in (0, 1) that each row is pulled to by conditions of kind ``quantile``. Shape ``(batch,)``;
        0.5 for all where None.
    largest_move
        Guidance is shortened where it would move the clean values of a row further, at what is known, than
        they are off, times this number above 0. Large scales and few steps cannot throw paths away then;
        1 never shortens guidance that is exact, but holds back what is pulled to a quantile. None is no
        bound, as in the paper.
    noise_variance, num_iterations
        Of conditions of kind ``covariance``, see :func:`~models.diffusion.covariance_guidance`.

    References
    ----------
    Kollovieh et al. (2023), "Predict, refine, synthesize: self-guiding diffusion models for probabilistic
    time series forecasting", section 3.1.
    """

    def __init__(
        self,
        model: TSDiff,
        conditions: Sequence[Condition],
        *,
        quantile_levels: Tensor | None = None,
        largest_move: float | None = 10.0,
        noise_variance: float = 1e-3,
        num_iterations: int = 5,
    ) -> None:
        if largest_move is not None and largest_move <= 0:
            raise ValueError(f"largest_move must be above 0; got {largest_move}.")
        self.model = model
        self.plain = [condition for condition in conditions if condition.kind != "covariance"]
        self.weighted = [condition for condition in conditions if condition.kind == "covariance"]
        self.quantile_levels = quantile_levels
        self.largest_move = largest_move
        self.noise_variance = noise_variance
        self.num_iterations = num_iterations

    def __call__(self, x: Tensor, time: Tensor) -> Estimate:
        """Return clean values, noise and guidance at noisy windows.

        Shapes: ``x`` ``(batch, length, channels)``, scaled; ``time`` ``(batch,)``.
        """
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            estimate = self.model.denoise(leaf, time)
            guidance = torch.zeros_like(x)
            if self.weighted:
                guidance = guidance + self._by_covariance(estimate.x0, leaf, time)
            if self.plain:
                process = self.model.process
                total = estimate.x0.new_zeros(())
                for condition in self.plain:
                    likelihood = log_likelihood(condition, estimate.x0, process, time, self.quantile_levels)
                    total = total + likelihood.sum()
                (gradient,) = torch.autograd.grad(total, leaf)
                guidance = guidance + gradient
        x0 = estimate.x0.detach()
        if self.largest_move is not None:
            guidance = guidance * self._shortening(x0, guidance, time, self.largest_move).view(-1, 1, 1)
        return Estimate(x0, estimate.noise.detach(), guidance)

    def _shortening(self, x0: Tensor, guidance: Tensor, time: Tensor, largest_move: float) -> Tensor:
        """Return the factor, at most 1, of each row's guidance. Shape ``(batch,)``."""
        process = self.model.process
        # How far clean values move for a guidance of 1, see Process.guide.
        reach = (process.spread(time).square() / process.signal(time).clamp(min=1e-6)).to(x0.dtype)
        off, moved = torch.zeros_like(reach), torch.zeros_like(reach)
        for condition in (*self.plain, *self.weighted):
            short = (condition.values - condition.look(x0)).masked_fill(~condition.known, 0.0)
            off = off + short.square().sum(1)
            moved = moved + condition.look(guidance).masked_fill(~condition.known, 0.0).square().sum(1)
        moved, off = moved * reach.square(), off * largest_move**2
        return torch.where(moved > off, (off / moved.clamp(min=1e-30)).sqrt(), torch.ones_like(off))

    def _by_covariance(self, x0: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """Return the joint guidance of all conditions that are weighted by the covariance."""
        return covariance_guidance(
            x0,
            x,
            torch.cat([condition.values for condition in self.weighted], dim=1),
            torch.cat([condition.known for condition in self.weighted], dim=1),
            self.model.process,
            time,
            look=lambda windows: torch.cat([condition.look(windows) for condition in self.weighted], dim=1),
            noise_variance=self.noise_variance,
            num_iterations=self.num_iterations,
        )


def log_likelihood(
    condition: Condition,
    x0: Tensor,
    process: Process,
    time: Tensor,
    quantile_levels: Tensor | None = None,
) -> Tensor:
    """Return the scaled log-likelihood of a condition given clean windows, up to a constant.

    Parameters
    ----------
    condition
        Of any kind but ``covariance``.
    x0
        Clean windows, scaled. Shape ``(batch, length, channels)``.
    process, time
        How noisy the values were that ``x0`` was made of, for the kind ``variance``. Time ``(batch,)``.
    quantile_levels
        For the kind ``quantile``, in (0, 1). Shape ``(batch,)``; 0.5 for all where None.

    Returns
    -------
    Tensor
        At most 0. Shape ``(batch,)``.
    """
    # Not a product: what is unknown may be anything.
    short = (condition.values - condition.look(x0)).masked_fill(~condition.known, 0.0)
    is_quantile = condition.kind == "quantile"
    errors = pinball(short, quantile_levels) if is_quantile else short.square() / 2
    total = errors.sum(dim=1)
    if condition.kind == "variance":
        total = total / clean_variance(process, time).to(x0.dtype)
    if condition.is_mean:
        total = total / condition.known.sum(dim=1).clamp(min=1)
    return -condition.guidance_scale * total


def pinball(short: Tensor, quantile_levels: Tensor | None = None) -> Tensor:
    """Return the pinball loss of what estimates are short of: half the absolute error at level 0.5.

    Shapes: ``short`` ``(batch, ...)``, ``quantile_levels`` ``(batch,)``; returns the shape of ``short``.
    """
    if quantile_levels is None:
        return short.abs() / 2
    levels = quantile_levels.to(short.dtype).view(-1, *(1,) * (short.ndim - 1))
    return torch.maximum(levels * short, (levels - 1) * short)


def spread_levels(num_samples: int) -> Tensor:
    """Return the quantile levels of the paths of a window, ``i / (n + 1)``. Shape ``(num_samples,)``."""
    return torch.arange(1, num_samples + 1) / (num_samples + 1)
