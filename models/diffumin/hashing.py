# SPDX-License-Identifier: Apache-2.0
"""ETA and SDIM: behaviors that fall on the same side of random planes as the target item."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.long_term import LongTermBlock, masked_best
from models.diffumin.requests import Requests
from models.diffumin.target_attention import TargetAttention


class _Hashed(LongTermBlock):
    """Random planes, never trained; a checkpoint keeps them."""

    planes: Tensor

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        self.register_buffer("planes", torch.randn(config.item_size, config.num_hash_bits))

    @property
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns."""
        return self.config.item_size

    @torch.no_grad()
    def sides(self, values: Tensor) -> Tensor:
        """Return the side of each plane. Boolean, ``(..., item_size)`` to ``(..., num_hash_bits)``."""
        sides: Tensor = values.detach().to(self.planes.dtype) @ self.planes > 0
        return sides


class ETA(_Hashed):
    """Attention to the behaviors whose hash differs from the target's in the fewest bits.

    References
    ----------
    Chen et al. (2021), "End-to-end user behavior retrieval in click-through rate prediction model".
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        self.attention = TargetAttention(config.item_size, config.num_attention_heads)

    def summarize(self, requests: Requests) -> Tensor:
        """Return what attention reads of the nearest hashes; the latest of those equally near."""
        dtype = torch.float32
        target = 2 * self.sides(requests.targets).to(dtype) - 1
        behavior = 2 * self.sides(requests.behaviors).to(dtype) - 1
        agreement = target @ behavior.transpose(1, 2)
        length = agreement.shape[-1]
        # Agreements are whole numbers: what is below 1 only orders those that are equal.
        recency = torch.arange(length, device=agreement.device, dtype=dtype) / (2 * length)
        places, exists = masked_best(
            agreement + recency, requests.mask.unsqueeze(1), self.config.num_retrieved
        )
        found: Tensor = self.attention(requests.targets, requests.behaviors, places, exists)
        return found


class SDIM(_Hashed):
    """The sums of behaviors that share a group of hash bits with the target, brought to length 1, averaged.

    References
    ----------
    Cao et al. (2022), "Sampling is all you need on modeling long-term user behaviors for CTR prediction".
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        self.output = nn.Linear(config.item_size, config.item_size)

    def summarize(self, requests: Requests) -> Tensor:
        """Return the mean over groups of the sums of those that collide."""
        target, behavior = self.codes(requests.targets), self.codes(requests.behaviors)
        total = torch.zeros_like(requests.targets)
        for group in range(target.shape[-1]):
            collides = target[..., group].unsqueeze(2) == behavior[..., group].unsqueeze(1)
            weights = (collides & requests.mask.unsqueeze(1)).to(requests.behaviors.dtype)
            total = total + nn.functional.normalize(weights @ requests.behaviors, dim=-1)
        found: Tensor = self.output(total / target.shape[-1])
        return found

    def codes(self, values: Tensor) -> Tensor:
        """Return the number that each group of bits spells. Int64, shape ``(..., num_groups)``."""
        bits = self.config.hash_group_bits
        sides = self.sides(values).view(*values.shape[:-1], -1, bits).long()
        return (sides << torch.arange(bits, device=sides.device)).sum(dim=-1)
