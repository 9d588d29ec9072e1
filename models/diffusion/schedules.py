# SPDX-License-Identifier: Apache-2.0
"""How much noise each diffusion step holds: linear, cosine and sigmoid schedules, and their ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

# Smallest share of signal that a formula may leave: a step that loses all of it but by design is a mistake.
LEAST_ALPHA_BAR = 1e-9
# Smallest variance of a step, where a formula ends flat.
LEAST_BETA = 1e-12


class NoiseSchedule(nn.Module):
    r"""Variance-preserving noise schedule, shared by every model that diffuses in steps.

    With :math:`\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)`, a clean value :math:`x_0` becomes
    :math:`x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon` at diffusion step :math:`t`.
    Step -1 is the clean value. The buffers follow the device; they are float32, or float64 where the module
    is, but never half precision, which would turn the first steps into no noise at all.

    Parameters
    ----------
    betas
        Noise variances, one per diffusion step, in (0, 1); the last may be 1, after which no signal is left.
        Shape ``(num_steps,)``.

    Raises
    ------
    ValueError
        If ``betas`` is no vector or lies outside these bounds.

    References
    ----------
    Ho, Jain and Abbeel (2020), "Denoising diffusion probabilistic models", eq. 4.
    """

    alpha_bar: Tensor
    signal: Tensor
    spread: Tensor

    def __init__(self, betas: Tensor) -> None:
        super().__init__()
        _check_betas(betas)
        # Not a buffer: the source of the buffers in whatever type the module is moved to.
        self._betas = betas.detach().double().cpu()
        for name, values in self._tables(torch.float32).items():
            self.register_buffer(name, values.to(betas.device), persistent=False)

    @property
    def num_steps(self) -> int:
        """Number of diffusion steps."""
        return int(self.alpha_bar.shape[0])

    @property
    def ends_without_signal(self) -> bool:
        """Whether the last step holds noise alone."""
        return bool(self.alpha_bar[-1] == 0)

    def signal_at(self, step: Tensor) -> Tensor:
        r"""Return :math:`\sqrt{\bar\alpha}` at each step from -1 (clean). Shape of ``step``."""
        return self.signal[step + 1]

    def spread_at(self, step: Tensor) -> Tensor:
        r"""Return :math:`\sqrt{1 - \bar\alpha}` at each step from -1 (clean). Shape of ``step``."""
        return self.spread[step + 1]

    def _tables(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the buffers; small differences are taken before anything is rounded."""
        alpha_bar = alpha_bar_of(self._betas)
        with_clean = torch.cat([torch.ones_like(alpha_bar[:1]), alpha_bar])
        tables = {
            "alpha_bar": alpha_bar,
            "signal": with_clean.sqrt(),
            "spread": (1 - with_clean).sqrt(),
        }
        return {name: values.to(dtype) for name, values in tables.items()}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the module to its device and type, with all digits that the type holds."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no types here
        dtype = torch.float64 if self.alpha_bar.dtype == torch.float64 else torch.float32
        for name, values in self._tables(dtype).items():
            setattr(self, name, values.to(self.alpha_bar.device))
        return self


def linear_betas(num_steps: int = 100, *, first: float = 1e-4, last: float = 0.1) -> Tensor:
    """Return noise variances that rise linearly. Float64, shape ``(num_steps,)``.

    Raises
    ------
    ValueError
        If there are fewer than two steps, or not ``0 < first <= last < 1``.
    """
    _check_steps(num_steps)
    if not 0 < first <= last < 1:
        raise ValueError(f"first and last must hold 0 < first <= last < 1; got {first} and {last}.")
    return torch.linspace(first, last, num_steps, dtype=torch.float64)


def cosine_betas(
    num_steps: int = 100, *, offset: float = 0.008, power: float = 1.0, largest: float = 0.999
) -> Tensor:
    r"""Return noise variances under which the signal falls like a cosine.

    :math:`\bar\alpha \propto \cos^{2p}\bigl(\frac{u + o}{1 + o} \frac{\pi}{2}\bigr)` at :math:`u = (t+1)/T`.

    Parameters
    ----------
    num_steps
        Number of steps, at least 2.
    offset
        What keeps the first steps from being too small, at least 0.
    power
        Exponent :math:`p > 0`; above 1 the noise comes earlier.
    largest
        Upper bound of a variance, in (0, 1).

    Returns
    -------
    Tensor
        Float64, shape ``(num_steps,)``.

    References
    ----------
    Nichol and Dhariwal (2021), "Improved denoising diffusion probabilistic models".
    """
    _check_steps(num_steps)
    if offset < 0 or power <= 0:
        raise ValueError(f"offset must be at least 0 and power above 0; got {offset} and {power}.")
    share = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    angle = (share + offset) / (1 + offset) * (math.pi / 2)
    curve = angle.cos().clamp(min=0) ** (2 * power)
    return _bounded(betas_of(_usable(curve / curve[0])[1:]), largest)


def sigmoid_betas(num_steps: int = 100, *, width: float = 1.0, largest: float = 0.999) -> Tensor:
    r"""Return noise variances under which the signal falls like a logistic curve between -3 and 3.

    Parameters
    ----------
    num_steps
        Number of steps, at least 2.
    width
        Width of the fall, above 0; a small one leaves first and last steps nearly alike.
    largest
        Upper bound of a variance, in (0, 1).

    Returns
    -------
    Tensor
        Float64, shape ``(num_steps,)``.
    """
    _check_steps(num_steps)
    if width <= 0:
        raise ValueError(f"width must be above 0; got {width}.")
    curve = torch.sigmoid(-torch.linspace(-3, 3, num_steps + 1, dtype=torch.float64) / width)
    return _bounded(betas_of(_usable((curve - curve[-1]) / (curve[0] - curve[-1]))[1:]), largest)


def zero_terminal_betas(betas: Tensor) -> Tensor:
    r"""Rescale a schedule so that its last step holds no signal at all.

    :math:`\sqrt{\bar\alpha}` is shifted to end at 0 and stretched to start where it did; a model that is
    trained so begins to sample from what it knows. The last variance is 1, so noise cannot be what the
    network predicts there.

    Parameters
    ----------
    betas
        Shape ``(num_steps,)``, in (0, 1).

    Returns
    -------
    Tensor
        Float64, shape ``(num_steps,)``.

    References
    ----------
    Lin, Liu, Li and Yang (2024), "Common diffusion noise schedules and sample steps are flawed".
    """
    _check_betas(betas)
    signal = alpha_bar_of(betas).sqrt()
    signal = (signal - signal[-1]) * (signal[0] / (signal[0] - signal[-1]))
    return betas_of(signal.square())


def alpha_bar_of(betas: Tensor) -> Tensor:
    r"""Return :math:`\bar\alpha` of each step. Float64, shape ``(num_steps,)``."""
    return torch.cumprod(1 - betas.double(), dim=0)


def betas_of(alpha_bar: Tensor) -> Tensor:
    r"""Return the variances whose products are :math:`\bar\alpha`, which falls from below 1.

    Inverse of :func:`alpha_bar_of`. Float64, shape ``(num_steps,)``.
    """
    values = alpha_bar.double()
    earlier = torch.cat([torch.ones_like(values[:1]), values[:-1]])
    return 1 - values / earlier


def _usable(alpha_bar: Tensor) -> Tensor:
    """Keep a curve that ends at 0 just above it."""
    return alpha_bar.clamp(min=LEAST_ALPHA_BAR)


def _bounded(betas: Tensor, largest: float) -> Tensor:
    if not 0 < largest < 1:
        raise ValueError(f"largest must lie in (0, 1); got {largest}.")
    return betas.clamp(min=LEAST_BETA, max=largest)


def _check_steps(num_steps: int) -> None:
    if num_steps < 2:
        raise ValueError(f"num_steps must be at least 2; got {num_steps}.")


def _check_betas(betas: Tensor) -> None:
    if betas.ndim != 1 or len(betas) < 2 or not betas.is_floating_point():
        raise ValueError(
            f"betas must be a float vector of at least 2; got {betas.dtype} {tuple(betas.shape)}."
        )
    inside = (betas > 0) & (betas < 1)
    inside[-1] |= betas[-1] == 1
    if not inside.all():
        raise ValueError(
            f"betas must lie strictly between 0 and 1 (the last may be 1); "
            f"got {betas.min():.3g} to {betas.max():.3g}."
        )
