# SPDX-License-Identifier: Apache-2.0
"""TWIN: one attention both finds the behaviors and reads them."""

from __future__ import annotations

from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.long_term import LongTermBlock, masked_best
from models.diffumin.requests import Requests
from models.diffumin.target_attention import TargetAttention


class TWIN(LongTermBlock):
    """Attention to the behaviors that the same attention scores best, its heads summed.

    What came of a behavior adds to its score; it is all that a behavior has besides its item.

    Parameters
    ----------
    config
        Hyper-parameters.

    References
    ----------
    Chang et al. (2023), "TWIN: two-stage interest network for lifelong user behavior modeling in CTR
    prediction at Kuaishou".
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        self.attention = TargetAttention(config.item_size, config.num_attention_heads)
        self.bias = (
            nn.Embedding(config.num_outcomes, config.num_attention_heads) if config.num_outcomes > 1 else None
        )

    @property
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns."""
        return self.config.item_size

    def summarize(self, requests: Requests) -> Tensor:
        """Return what attention reads of those it scores best."""
        bias = None if self.bias is None else self.bias(requests.behavior_outcomes)
        scores = self.attention.scores(requests.targets, requests.behaviors, bias)
        places, exists = masked_best(scores, requests.mask.unsqueeze(1), self.config.num_retrieved)
        found: Tensor = self.attention(requests.targets, requests.behaviors, places, exists, bias)
        return found
