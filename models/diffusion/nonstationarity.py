# SPDX-License-Identifier: Apache-2.0
"""How much structure windows of a series have left at each noise level."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_autocorrelation(windows: Tensor, alpha_bar: Tensor) -> Tensor:
    r"""Return the autocorrelation of noised windows, averaged over windows and, in closed form, over noise.

    Window and noise are centered within the window, so covariances add up:
    :math:`\rho_k = (\bar\alpha c_k + (1 - \bar\alpha) n_k) / (\bar\alpha c_0 + (1 - \bar\alpha) n_0)` with
    :math:`n_0 = 1 - 1/L` and :math:`n_k = -(L - k) / L^2` of centered white noise. No draw is needed.

    Parameters
    ----------
    windows
        Windows on the scale that the model sees, without gaps. Shape ``(num_windows, length)``.
    alpha_bar
        Share of signal, in [0, 1). Shape ``(num_levels,)``.

    Returns
    -------
    Tensor
        Float64, shape ``(num_levels, length)``; 1 at lag 0.

    Raises
    ------
    ValueError
        If the windows are no finite matrix of at least two steps, or ``alpha_bar`` leaves its bounds.
    """
    if windows.ndim != 2 or windows.shape[1] < 2 or not len(windows):
        raise ValueError(f"windows must have shape (num_windows, length > 1); got {tuple(windows.shape)}.")
    if not torch.isfinite(windows).all():
        raise ValueError("windows must be finite; leave out those with gaps.")
    if not ((alpha_bar >= 0) & (alpha_bar < 1)).all():
        raise ValueError("alpha_bar must lie in [0, 1): windows without noise may be constant.")
    covariance = autocovariance(windows)
    length = windows.shape[1]
    lags = torch.arange(length, dtype=torch.float64, device=windows.device)
    white = -(length - lags) / length**2
    white[0] = 1 - 1 / length
    levels = []
    for level in alpha_bar.double().to(windows.device):
        noised = level * covariance + (1 - level) * white
        levels.append((noised / noised[:, :1]).mean(dim=0))
    return torch.stack(levels)


def autocovariance(windows: Tensor) -> Tensor:
    """Return the autocovariance of each centered window at all lags, divided by the length.

    Float64, shape ``(num_windows, length)``.
    """
    length = windows.shape[1]
    centered = windows.double() - windows.double().mean(dim=1, keepdim=True)
    # Twice the length: the ends must not meet.
    spectrum = torch.fft.rfft(centered, n=2 * length)
    products: Tensor = torch.fft.irfft(spectrum.abs().square(), n=2 * length)
    return products[:, :length] / length


def autocorrelation_time(windows: Tensor, alpha_bar: Tensor) -> Tensor:
    r"""Return the integrated absolute autocorrelation time of noised windows.

    :math:`1 + 2 \sum_{k \ge 1} |\rho_k|` with :func:`mean_autocorrelation`: large for trends, seasons and
    slow drifts, 2 for white noise. Twice the textbook value, since correlations within a centered window add
    up to -1/2: what is positive at short lags comes back as negative at long ones.

    Parameters
    ----------
    windows, alpha_bar
        As in :func:`mean_autocorrelation`.

    Returns
    -------
    Tensor
        Float64, shape ``(num_levels,)``.

    References
    ----------
    Lee, Lee and Park (2024), "ANT: adaptive noise schedule for time series diffusion models".
    """
    return 1 + 2 * mean_autocorrelation(windows, alpha_bar)[:, 1:].abs().sum(dim=1)
