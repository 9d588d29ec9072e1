# SPDX-License-Identifier: Apache-2.0
"""Orthonormal channels that span what a target item is projected to."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.diffumin.config import Orthonormalization

# What is added of fixed rows, relative to the size of the given ones and at least: equal or missing rows
# then still lead to one basis, everywhere the same.
RELATIVE_GUARD = 1e-6
LEAST_GUARD = 1e-12
NEWTON_STEPS = 9


def orthonormal_rows(rows: Tensor, kind: Orthonormalization) -> Tensor:
    r"""Return an orthonormal basis of the span of ``rows``, deterministic even where they depend.

    ``qr`` takes :math:`P = R^\top Q` with a positive diagonal of :math:`R`, which fixes the signs (factors of
    different libraries differ in them, and behaviors are routed by signed scores); ``cgs2``, Gram-Schmidt
    twice over, gives the same basis without LAPACK. ``polar`` gives :math:`(P P^\top)^{-1/2} P`, the
    orthonormal rows closest to the given ones, in which no row comes first. All is computed in float64: the
    rows are few, and routing should not depend on rounding.

    Parameters
    ----------
    rows
        Shape ``(..., num_channels, item_size)``, at most as many rows as columns.
    kind
        Which basis.

    Returns
    -------
    Tensor
        Float32, or float64 where ``rows`` are. Shape of ``rows``.

    Raises
    ------
    ValueError
        If there are more rows than columns.
    """
    number, size = rows.shape[-2:]
    if number > size:
        raise ValueError(f"at most {size} rows of width {size} are orthonormal; got {number}.")
    guarded = _guarded(rows.double())
    if kind == "qr":
        basis = _qr(guarded)
    elif kind == "cgs2":
        basis = _gram_schmidt(guarded)
    else:
        basis = _polar(guarded)
    return basis if rows.dtype == torch.float64 else basis.float()


def cosine_rows(number: int, size: int) -> Tensor:
    """Return the first orthonormal cosines of a width. Float64, shape ``(number, size)``."""
    place = torch.arange(size, dtype=torch.float64) + 0.5
    waves = (math.pi / size * torch.arange(number, dtype=torch.float64).unsqueeze(1) * place).cos()
    return waves / waves.square().sum(dim=1, keepdim=True).sqrt()


def _guarded(rows: Tensor) -> Tensor:
    """Bring rows to size 1, which changes no basis of theirs, and make them independent."""
    largest = rows.detach().abs().amax(dim=(-2, -1), keepdim=True)
    scaled = rows / torch.where(largest > 0, largest, torch.ones_like(largest))
    size = scaled.detach().square().mean(dim=(-2, -1), keepdim=True).sqrt()
    fixed = cosine_rows(rows.shape[-2], rows.shape[-1]).to(rows.device)
    return scaled + (RELATIVE_GUARD * size + LEAST_GUARD) * fixed


def _qr(rows: Tensor) -> Tensor:
    columns, upper = torch.linalg.qr(rows.transpose(-2, -1))
    sign = torch.where(upper.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(rows.dtype)
    signed: Tensor = columns * sign.unsqueeze(-2)
    return signed.transpose(-2, -1)


def _gram_schmidt(rows: Tensor) -> Tensor:
    basis: list[Tensor] = []
    for row in rows.unbind(-2):
        left = row
        for _ in range(2 if basis else 0):
            earlier = torch.stack(basis, dim=-2)
            shares = (earlier * left.unsqueeze(-2)).sum(-1, keepdim=True)
            left = left - (shares * earlier).sum(-2)
        basis.append(left / left.square().sum(-1, keepdim=True).sqrt())
    return torch.stack(basis, dim=-2)


def _polar(rows: Tensor) -> Tensor:
    """Return the polar factor: of the small square one that is left in the basis of Gram-Schmidt."""
    basis = _gram_schmidt(rows)
    square = rows @ basis.transpose(-2, -1)
    for step in range(NEWTON_STEPS):
        inverse = torch.linalg.inv(square).transpose(-2, -1)
        # The balance of both norms brings far singular values near 1 in a few steps; Newton does the rest.
        balance = 1.0 if step > NEWTON_STEPS // 2 else (_norm(inverse) / _norm(square)).sqrt()
        square = 0.5 * (balance * square + inverse / balance)
    return square @ basis


def _norm(values: Tensor) -> Tensor:
    return values.square().sum(dim=(-2, -1), keepdim=True).sqrt()
