# SPDX-License-Identifier: Apache-2.0
"""Long convolutions made of damped oscillations (S4D), in plain torch."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Discretization = Literal["zero_order_hold", "bilinear"]
Start = Literal["linear", "inverse", "legs"]

# An oscillation decays at least this fast, in units of 1 / step size, so that nothing is divided by 0.
SLOWEST_DECAY = 1e-4
SMALLEST_STEP, LARGEST_STEP = 1e-3, 1e-1
# Up to this length a matrix product is quicker than Fourier transforms (measured on one core: 1.6 against
# 3.5 ms for 60 steps, 6.6 against 7.4 ms for 120, 30 against 17 ms for 240; forward and backward).
DIRECT_LENGTH = 128
# Numbers that a core keeps close by: transforms of more rows at a time take half as long again.
CACHED_NUMBERS = 200_000


class S4D(nn.Module):
    r"""Convolve each channel with a learned kernel, a sum of damped oscillations.

    A channel is a diagonal state space :math:`s' = A s + u`, :math:`y = 2\,\mathrm{Re}(C s) + D u` with
    complex :math:`A = -e^a + i b`, which is stable whatever is learned. Between two steps, :math:`\Delta`
    apart, it moves by :math:`\bar A^l` and sees :math:`\bar B`, so the kernel is
    :math:`K_l = 2\,\mathrm{Re} \sum_n C_n \bar B_n \bar A_n^l`.

    With two sides the output at a step also sees what comes later, through a second kernel:
    :math:`y_i = \sum_{j \le i} K^0_{i-j} u_j + \sum_{j > i} K^1_{j-i-1} u_j + D u_i`.

    Kernel and convolution run in single precision at least, whatever autocast says: half precision has too
    few digits for the powers of :math:`\bar A`.

    Parameters
    ----------
    size
        Number of channels; each has a state of its own.
    state_size
        Numbers in the state of a channel, even: half as many pairs of complex conjugates.
    two_sided
        Whether later steps are seen too.
    discretization
        What a step of the continuous system is: exact for input held between the steps
        (``zero_order_hold``), or the trapezoid rule (``bilinear``).
    start
        Frequencies :math:`b` at the start: evenly spaced (``linear``), their inverses (``inverse``), or those
        of the matrix that remembers Legendre coefficients (``legs``).

    References
    ----------
    Gu, Gupta, Goel and Re (2022), "On the parameterization and initialization of diagonal state space
    models", for diagonal states, the two discretizations and the three starts.
    """

    def __init__(
        self,
        size: int,
        state_size: int = 64,
        *,
        two_sided: bool = True,
        discretization: Discretization = "zero_order_hold",
        start: Start = "legs",
    ) -> None:
        super().__init__()
        if size < 1 or state_size < 2 or state_size % 2:
            raise ValueError(
                f"size must be positive, state_size positive and even; got {size}, {state_size}."
            )
        if discretization not in {"zero_order_hold", "bilinear"}:
            raise ValueError(f"discretization must be zero_order_hold or bilinear; got {discretization!r}.")
        self.size = size
        self.num_heads = 2 if two_sided else 1
        self.discretization = discretization
        pairs = state_size // 2
        low, high = math.log(SMALLEST_STEP), math.log(LARGEST_STEP)
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(size))
        self.log_decay = nn.Parameter(torch.full((size, pairs), math.log(0.5)))
        self.frequency = nn.Parameter(start_frequencies(start, state_size).float().repeat(size, 1))
        # The last axis holds real and imaginary part: an optimizer need not know complex numbers.
        self.output = nn.Parameter(torch.randn(self.num_heads, size, pairs, 2) * math.sqrt(0.5))
        self.direct = nn.Parameter(torch.randn(size))

    def forward(self, values: Tensor) -> Tensor:
        """Return the convolution. Shape ``(batch, size, length)`` in and out."""
        with torch.autocast(values.device.type, enabled=False):
            values = values.to(self.log_step.dtype)
            length = values.shape[-1]
            # What passes directly is what the side of the past says of the same step.
            direct = nn.functional.pad(
                self.direct.view(1, -1, 1), (0, length - 1, 0, 0, 0, self.num_heads - 1)
            )
            kernels = self.kernel(length) + direct
            if length <= DIRECT_LENGTH:
                return convolve_directly(values, kernels)
            return convolve(values, two_sided(kernels, smooth_length(2 * length)))

    def kernel(self, length: int) -> Tensor:
        r"""Return the kernels. Shape ``(num_heads, size, length)``.

        Written with :math:`l = q M + r`, :math:`M \approx \sqrt{length}`: powers of ``r`` and of ``q M``
        only, and one product of real matrices.
        """
        decay, angle, weight_real, weight_imaginary = self._discrete()
        width = math.isqrt(max(length - 1, 0)) + 1
        rows = -(-length // width)
        near = torch.arange(width, device=decay.device, dtype=decay.dtype)
        far = width * torch.arange(rows, device=decay.device, dtype=decay.dtype)
        near_real, near_imaginary = _powers(decay, angle, near)
        far_real, far_imaginary = _powers(decay, angle, far)
        # (heads, size, pairs, rows): the weight of each oscillation turned by q M steps
        turned_real = weight_real.unsqueeze(-1) * far_real - weight_imaginary.unsqueeze(-1) * far_imaginary
        turned_imaginary = (
            weight_real.unsqueeze(-1) * far_imaginary + weight_imaginary.unsqueeze(-1) * far_real
        )
        left = torch.cat([turned_real, -turned_imaginary], dim=2).permute(1, 0, 3, 2)
        right = torch.cat([near_real, near_imaginary], dim=1)
        # One product a channel: the rows of both heads, then the width of a row.
        product = torch.bmm(left.reshape(self.size, self.num_heads * rows, -1), right)
        kernel = product.view(self.size, self.num_heads, rows * width)[..., :length]
        return 2 * kernel.transpose(0, 1)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state before the first step: complex zeros. Shape ``(batch, size, state_size // 2)``."""
        return torch.view_as_complex(self.output.new_zeros(batch, *self.output.shape[1:]))

    def step(self, values: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output of one step and the state after it, of the side that sees the past.

        Parameters
        ----------
        values
            Input of the step. Shape ``(batch, size)``.
        state
            Shape ``(batch, size, state_size // 2)``, complex.

        Returns
        -------
        tuple
            Output, ``(batch, size)``, and state.
        """
        turn, gain = self._transition()
        state = turn * state + gain * values.unsqueeze(-1)
        weight = torch.view_as_complex(self.output[0])
        return 2 * (weight * state).sum(-1).real + self.direct * values, state

    def _continuous(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the step size ``(size, 1)`` and the real and imaginary part of A."""
        decay = -self.log_decay.exp().clamp(min=SLOWEST_DECAY)
        return self.log_step.exp().unsqueeze(-1), decay, self.frequency

    def _discrete(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""Return the logarithm of :math:`\bar A`, and :math:`C \bar B`; real and imaginary parts.

        Real numbers throughout, which compilers of torch code handle better than complex ones.
        """
        step, decay, frequency = self._continuous()
        real, imaginary = step * decay, step * frequency
        if self.discretization == "zero_order_hold":
            log_modulus, angle = real, imaginary
            # exp(z) - 1 without cancellation, then divided by A
            half = torch.sin(imaginary / 2)
            above_real = torch.expm1(real) * torch.cos(imaginary) - 2 * half * half
            above_imaginary = real.exp() * torch.sin(imaginary)
            norm = decay * decay + frequency * frequency
            gain_real = (above_real * decay + above_imaginary * frequency) / norm
            gain_imaginary = (above_imaginary * decay - above_real * frequency) / norm
        else:
            square = (real * real + imaginary * imaginary) / 4
            norm = 1 - real + square  # |1 - z / 2|²
            log_modulus = 0.5 * torch.log1p(2 * real / norm)
            # Which multiple of 2 pi is chosen does not matter: only whole powers are taken.
            angle = torch.atan2(imaginary, 1 - square)
            gain_real = step * (1 - real / 2) / norm
            gain_imaginary = step * (imaginary / 2) / norm
        output_real, output_imaginary = self.output.unbind(-1)
        return (
            log_modulus,
            angle,
            output_real * gain_real - output_imaginary * gain_imaginary,
            output_real * gain_imaginary + output_imaginary * gain_real,
        )

    def _transition(self) -> tuple[Tensor, Tensor]:
        r"""Return :math:`\bar A` and :math:`\bar B` as complex numbers, from their definitions."""
        step, decay, frequency = self._continuous()
        rate = torch.complex(decay, frequency)
        if self.discretization == "zero_order_hold":
            turn = torch.exp(step * rate)
            return turn, (turn - 1) / rate
        below = 1 - step * rate / 2
        return (1 + step * rate / 2) / below, step / below


def start_frequencies(start: Start, state_size: int) -> Tensor:
    """Return the frequencies a channel starts with, positive, in double precision.

    Shape ``(state_size // 2,)``.

    Raises
    ------
    ValueError
        If ``start`` is not one of ``linear``, ``inverse``, ``legs``.
    """
    number = torch.arange(state_size // 2, dtype=torch.float64)
    if start == "linear":
        return math.pi * number
    if start == "inverse":
        return state_size / math.pi * (state_size / (2 * number + 1) - 1)
    if start == "legs":
        root = (2 * torch.arange(state_size, dtype=torch.float64) + 1).sqrt()
        order = torch.arange(state_size)
        skew = -0.5 * root.unsqueeze(1) * root * torch.sign(order.unsqueeze(1) - order)
        # A skew-symmetric matrix times i is Hermitian: its eigenvalues are real and come in pairs.
        frequencies: Tensor = torch.linalg.eigvalsh(1j * skew)[state_size // 2 :]
        return frequencies
    raise ValueError(f"start must be linear, inverse or legs; got {start!r}.")


def two_sided(kernels: Tensor, length: int) -> Tensor:
    """Lay one or two kernels out for a circular convolution of ``length`` steps.

    The first is laid from the front; the second backwards from the end, where a circle sees what comes later.
    Shape ``(num_heads, size, kernel_length)`` in, ``(size, length)`` out.
    """
    spare = length - kernels.shape[-1]
    laid = nn.functional.pad(kernels[0], (0, spare))
    if len(kernels) > 1:
        laid = laid + nn.functional.pad(kernels[1].flip(-1), (spare, 0))
    return laid


def convolve(values: Tensor, kernel: Tensor) -> Tensor:
    """Convolve ``(batch, size, length)`` with ``(size, circle)``, each channel with its kernel, in a circle.

    ``circle`` should be at least twice the length, or ends wrap around. Differentiable once.
    """
    convolved: Tensor = _CircularConvolution.apply(values, kernel)  # type: ignore[no-untyped-call]  # torch
    return convolved


def convolve_directly(values: Tensor, kernels: Tensor) -> Tensor:
    """Convolve ``(batch, size, length)`` with one or two kernels ``(num_heads, size, length)`` by matrices.

    The same numbers as :func:`convolve` with what :func:`two_sided` lays out.
    """
    length = values.shape[-1]
    later = kernels[1, :, : length - 1] if len(kernels) > 1 else torch.zeros_like(kernels[0, :, 1:])
    # Weights by distance, from the last of the past to the furthest future; each row starts one further.
    line = torch.cat([kernels[0].flip(-1), later], dim=-1)
    matrices = line.unfold(-1, length, 1).flip(1)  # (size, output step, input step)
    return torch.bmm(matrices, values.permute(1, 2, 0)).permute(2, 0, 1)


def smooth_length(least: int) -> int:
    """Return the smallest number from ``least`` on with no prime factor above 5: quick to transform."""
    length = max(least, 1)
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


class _CircularConvolution(torch.autograd.Function):
    """Product of spectra; a few rows at a time where that keeps them in a processor's cache."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, kernel: Tensor) -> Tensor:
        circle, length = kernel.shape[-1], values.shape[-1]
        of_kernel = torch.fft.rfft(kernel, n=circle)
        ctx.save_for_backward(values, of_kernel)
        ctx.circle = circle
        convolved = torch.empty_like(values, memory_format=torch.contiguous_format)
        rows = _rows_at_once(values, circle)
        for part, result in zip(torch.split(values, rows), torch.split(convolved, rows), strict=True):
            spectrum = torch.fft.rfft(part, n=circle) * of_kernel
            result.copy_(torch.fft.irfft(spectrum, n=circle)[..., :length])
        return convolved

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        values, of_kernel = ctx.saved_tensors
        circle, length = ctx.circle, values.shape[-1]
        for_values = torch.empty_like(values, memory_format=torch.contiguous_format)
        for_kernel = torch.zeros_like(of_kernel)
        turned = of_kernel.conj().resolve_conj()
        rows = _rows_at_once(values, circle)
        split = (torch.split(of_all, rows) for of_all in (values, gradient, for_values))
        for part, of_part, result in zip(*split, strict=True):
            spectrum = torch.fft.rfft(of_part, n=circle)
            if ctx.needs_input_grad[1]:
                for_kernel += (torch.fft.rfft(part, n=circle).conj_physical_() * spectrum).sum(0)
            result.copy_(torch.fft.irfft(spectrum * turned, n=circle)[..., :length])
        return for_values, torch.fft.irfft(for_kernel, n=circle)


def _rows_at_once(values: Tensor, circle: int) -> int:
    """Return how many rows are transformed together."""
    if values.device.type != "cpu" or torch.compiler.is_compiling():
        return max(len(values), 1)
    return max(CACHED_NUMBERS // (values.shape[1] * circle), 1)


def _powers(decay: Tensor, angle: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``exp((decay + i angle) power)``, real and imaginary. Shape ``(size, pairs, num_powers)``."""
    modulus = torch.exp(decay.unsqueeze(-1) * power)
    turn = angle.unsqueeze(-1) * power
    return modulus * torch.cos(turn), modulus * torch.sin(turn)
