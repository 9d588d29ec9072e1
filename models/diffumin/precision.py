# SPDX-License-Identifier: Apache-2.0
"""Parts that stay in full precision under autocast: where scores are compared."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast is off; nothing at all where it is off already.

    Exported graphs so hold no trace of it.
    """
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
