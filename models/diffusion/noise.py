# SPDX-License-Identifier: Apache-2.0
"""Random tensors from a named generator, on the device where they are needed."""

from __future__ import annotations

import torch
from torch import Tensor


def normal_like(values: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return standard normal values of the shape, type and device of ``values``.

    A generator of the CPU gives the same numbers whatever the device of ``values``; without one torch's
    global state is used.
    """
    device = values.device if generator is None else generator.device
    drawn = torch.randn(values.shape, generator=generator, dtype=values.dtype, device=device)
    return drawn.to(values.device)


def uniform(batch_size: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Return float32 values uniform in [0, 1). Shape ``(batch_size,)``."""
    drawn_on = device if generator is None else generator.device
    return torch.rand(batch_size, generator=generator, device=drawn_on).to(device)
