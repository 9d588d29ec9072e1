# SPDX-License-Identifier: Apache-2.0
"""DIN: a small network weighs each of the latest behaviors for the target item."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.long_term import LongTermBlock
from models.diffumin.prediction import activation, hidden_layers
from models.diffumin.requests import Requests


class DIN(LongTermBlock):
    r"""Deep interest network over the latest ``num_retrieved`` behaviors.

    The weight of a behavior is what a network says of :math:`[e, e_s, e - e_s, e \odot e_s]`; weights are not
    normalized. The first linear map of the four parts is one of behaviors, one of items and one of products,
    which is the same function for a third of the work.

    Parameters
    ----------
    config
        Hyper-parameters.

    References
    ----------
    Zhou et al. (2018), "Deep interest network for click-through rate prediction".
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        size, first = config.item_size, config.attention_sizes[0]
        self.behavior = nn.Linear(size, first)
        self.target = nn.Linear(size, first, bias=False)
        self.product = nn.Linear(size, first, bias=False)
        self.rest = nn.Sequential(
            activation(config.activation, first),
            *hidden_layers(first, config.attention_sizes[1:], config.activation, has_batch_norm=False),
            nn.Linear(config.attention_sizes[-1], 1),
        )

    @property
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns."""
        return self.config.item_size

    def summarize(self, requests: Requests) -> Tensor:
        """Return the weighted sum of the latest behaviors."""
        latest = requests.latest(self.config.num_retrieved)
        behaviors, targets = latest.behaviors, latest.targets
        products = self.product(behaviors.unsqueeze(1) * targets.unsqueeze(2))
        hidden = products + self.behavior(behaviors).unsqueeze(1) + self.target(targets).unsqueeze(2)
        exists = latest.mask.unsqueeze(1).expand(hidden.shape[:-1])
        if bool(latest.mask.all()):
            weights = self.rest(hidden.flatten(0, 2)).view(exists.shape)
        else:
            # Padding must not reach the statistics of the activations.
            said = self.rest(hidden[exists]).squeeze(-1)
            weights = torch.zeros_like(hidden[..., 0]).to(said.dtype).masked_scatter(exists, said)
        return torch.bmm(weights, behaviors.to(weights.dtype))
