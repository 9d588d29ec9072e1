# SPDX-License-Identifier: Apache-2.0
"""The loss that diffusion models are trained with, and how it differs between steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from models.diffusion.noise import normal_like
from models.diffusion.process import Process, expand

# From noisy values and their time to the raw output of a network, which the process has a target for.
Network = Callable[[Tensor, Tensor], Tensor]


def squared_errors(network: Network, process: Process, x0: Tensor, time: Tensor, noise: Tensor) -> Tensor:
    """Return the squared error of each entry of the network's output. Shape of ``x0``."""
    output = network(process.add_noise(x0, time, noise), time)
    target = process.target(x0, noise, time)
    if output.shape != target.shape:
        raise ValueError(f"the network must return {tuple(target.shape)}; got {tuple(output.shape)}.")
    return (output - target).square()


def min_snr_weight(process: Process, time: Tensor, largest: float) -> Tensor:
    r"""Return the weight of the loss under which low noise counts at most ``largest``.

    The squared error of the clean values is weighted by :math:`\min(\text{SNR}_t, \gamma)`, whatever the
    network predicts. Shape of ``time``.

    References
    ----------
    Hang et al. (2023), "Efficient diffusion training via min-SNR weighting strategy".
    """
    if largest <= 0:
        raise ValueError(f"the bound of the signal-to-noise ratio must be above 0; got {largest}.")
    ratio = process.signal_to_noise(time)
    # Of noise prediction at a low ratio this is ratio / ratio; the process knows both as finite numbers.
    return ratio.clamp(max=largest) * process.clean_error(time)


def window_losses(
    network: Network,
    process: Process,
    x0: Tensor,
    time: Tensor,
    noise: Tensor,
    *,
    mask: Tensor | None = None,
    min_snr: float | None = None,
) -> Tensor:
    """Return the mean squared error of each window, over the entries that count.

    Parameters
    ----------
    network
        Called with the noisy values and ``time``.
    process
        The process, which says what the network should return.
    x0
        Clean values. Shape ``(batch, ...)``.
    time
        Times, of each row or of the first axes.
    noise
        White noise or a sample of the prior. Shape of ``x0``.
    mask
        True where an entry counts; it can be broadcast to ``x0``. All count where None.
    min_snr
        Bound of the signal-to-noise ratio as a weight; equal weights where None.

    Returns
    -------
    Tensor
        Shape ``(batch,)``; 0 for a window of which nothing counts.
    """
    total, count = _sums(network, process, x0, time, noise, mask, min_snr)
    return total / count.clamp(min=1)


def denoising_loss(
    network: Network,
    process: Process,
    x0: Tensor,
    time: Tensor,
    noise: Tensor,
    *,
    mask: Tensor | None = None,
    min_snr: float | None = None,
) -> Tensor:
    """Return the mean squared error over all entries that count; arguments as in :func:`window_losses`.

    Every entry has the same weight, in whatever window it stands. Scalar; 0 if nothing counts.
    """
    total, count = _sums(network, process, x0, time, noise, mask, min_snr)
    return total.sum() / count.sum().clamp(min=1)


@torch.no_grad()
def loss_by_step(
    network: Network,
    process: Process,
    x0: Tensor,
    times: Tensor,
    generator: torch.Generator | None = None,
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """Return the loss at each of ``times``, with one draw of noise a window and time.

    Parameters
    ----------
    network, process, x0, mask
        As in :func:`window_losses`.
    times
        Times to look at, none of them clean. Shape ``(num_times,)``.
    generator
        Source of the noise.

    Returns
    -------
    Tensor
        Mean over all entries that count. Shape ``(num_times,)``.
    """
    rows = x0.shape[:1]
    return torch.stack(
        [
            denoising_loss(network, process, x0, time.expand(rows), normal_like(x0, generator), mask=mask)
            for time in times.to(x0.device)
        ]
    )


def _sums(
    network: Network,
    process: Process,
    x0: Tensor,
    time: Tensor,
    noise: Tensor,
    mask: Tensor | None,
    min_snr: float | None,
) -> tuple[Tensor, Tensor]:
    """Return the sum of errors and the number of entries that count of each window. Shape ``(batch,)``."""
    errors = squared_errors(network, process, x0, time, noise)
    if min_snr is not None:
        errors = errors * expand(min_snr_weight(process, time, min_snr), errors)
    counts = torch.ones_like(errors, dtype=torch.bool) if mask is None else mask.bool().expand_as(errors)
    # Not a product: an error at a masked entry may be anything, infinite too.
    kept = torch.where(counts, errors, torch.zeros_like(errors))
    return kept.flatten(1).sum(dim=1), counts.flatten(1).sum(dim=1)
