# SPDX-License-Identifier: Apache-2.0
"""SIM: a search finds the behaviors that matter for the target item, and attention reads them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.long_term import LongTermBlock, Rows, masked_best
from models.diffumin.requests import Requests
from models.diffumin.target_attention import TargetAttention


class _Search(LongTermBlock):
    """Attention to what a search finds."""

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        self.attention = TargetAttention(config.item_size, config.num_attention_heads)

    @property
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns."""
        return self.config.item_size


class SIMHard(_Search):
    """The latest behaviors of the target's category (one field of the items).

    References
    ----------
    Pi et al. (2020), "Search-based user interest modeling with lifelong sequential behavior data for
    click-through rate prediction".
    """

    def summarize(self, requests: Requests) -> Tensor:
        """Return what attention reads of the latest behaviors of the category."""
        field = self.config.category_field
        is_alike = requests.target_items[..., field].unsqueeze(2) == (
            requests.behavior_items[..., field].unsqueeze(1)
        )
        place = torch.arange(is_alike.shape[-1], device=is_alike.device, dtype=torch.float32)
        places, exists = masked_best(
            place.expand(is_alike.shape),
            is_alike & requests.mask.unsqueeze(1),
            self.config.num_retrieved,
        )
        found: Tensor = self.attention(requests.targets, requests.behaviors, places, exists)
        return found


class SIMSoft(_Search):
    """The behaviors with the largest inner product with the target, of two maps that learn from clicks alone.

    Taking the best of many passes on no gradient, so the search predicts the click itself from all behaviors,
    weighted by its scores and divided by their number.

    References
    ----------
    Pi et al. (2020), as for :class:`SIMHard`.
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        size = config.item_size
        self.search_behavior = nn.Linear(size, size, bias=False)
        self.search_target = nn.Linear(size, size, bias=False)
        self.search_click = nn.Sequential(nn.Linear(2 * size, size), nn.ReLU(), nn.Linear(size, 1))

    @property
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns: what attention read, and what the search weighed."""
        return 2 * self.config.item_size

    @property
    def output_size(self) -> int:
        """Width of what :meth:`features` returns."""
        return self.config.item_size

    def summarize(self, requests: Requests) -> Tensor:
        """Return what attention reads of the best, and all behaviors weighted by the search."""
        behaviors, mask = requests.behaviors, requests.mask.unsqueeze(1)
        searched = self.search_behavior(behaviors)
        scores = self.search_target(requests.targets) @ searched.transpose(1, 2)
        places, exists = masked_best(scores, mask, self.config.num_retrieved)
        read = self.attention(requests.targets, behaviors, places, exists)
        number = mask.sum(dim=-1, keepdim=True).clamp(min=1)
        weighed = (scores.masked_fill(~mask, 0.0) @ searched) / number
        return torch.cat([read, weighed], dim=-1)

    def features(self, rows: Rows) -> Tensor:
        """Return what attention read."""
        return rows.summaries[..., : self.config.item_size]

    def features_and_losses(self, rows: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the features and the loss of the search, where it counts."""
        features = self.features(rows)
        if not self.config.search_weight:
            return features, {}
        weighed = rows.summaries[..., self.config.item_size :]
        logits = self.search_click(torch.cat([weighed, rows.targets], dim=-1)).squeeze(-1).float()
        loss = nn.functional.binary_cross_entropy_with_logits(logits, rows.clicked.to(logits.dtype))
        return features, {"search": loss}
