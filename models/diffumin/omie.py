# SPDX-License-Identifier: Apache-2.0
"""Several interests of a student in a target item: orthonormal channels to which behaviors are routed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.orthonormal import orthonormal_rows
from models.diffumin.pooling import pool
from models.diffumin.precision import full_precision
from models.diffumin.requests import Requests, mean_behavior
from models.diffumin.selection import kept


@dataclass(frozen=True, slots=True, eq=False)
class Interests:
    """Interests of the student in each target item, one a channel.

    Attributes
    ----------
    values
        What the channels pool. Shape ``(..., num_channels, item_size)``.
    channels
        Orthonormal directions. Shape ``(..., num_channels, item_size)``.
    num_kept
        Behaviors in each channel, float. Shape ``(..., num_channels)``.
    overall
        Mean of all behaviors, kept or not; None where the network reads none. Shape ``(..., item_size)``.
    """

    values: Tensor
    channels: Tensor
    num_kept: Tensor
    overall: Tensor | None = None


class Channels(nn.Module):
    r"""Orthonormal channels of target items: a basis of the span of :math:`c` projections of each.

    They depend on the item alone, so they can be computed once for a catalog.

    Parameters
    ----------
    config
        Hyper-parameters.

    References
    ----------
    Equations 2 to 4 of "Modeling long-term user behaviors with diffusion-driven multi-interest network for
    CTR prediction" (RecSys 2025), with :math:`O O^\top = I`: the rows are what can be orthonormal.
    """

    table: Tensor

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__()
        self.config = config
        number, size = config.num_channels, config.item_size
        self.project: nn.Linear | None = None
        if config.channels_from == "target":
            self.project = nn.Linear(size, number * size)
        elif config.channels_from == "table":
            self.table = nn.Parameter(torch.randn(number, size))
        else:
            # A buffer that is kept: a checkpoint must know which directions it was trained with.
            self.register_buffer("table", orthonormal_rows(torch.randn(number, size), "qr"))

    def forward(self, targets: Tensor) -> Tensor:
        """Return the channels of each item, at least float32 even under autocast.

        Shape ``(..., item_size)`` in, ``(..., num_channels, item_size)`` out.
        """
        config = self.config
        with full_precision(targets.device):
            if config.channels_from == "random":
                return self.table.expand(*targets.shape[:-1], *self.table.shape)
            if self.project is None:
                basis = orthonormal_rows(self.table, config.orthonormalization)
                return basis.expand(*targets.shape[:-1], *basis.shape)
            rows = self.project(targets.to(self.project.weight.dtype))
            shape = (config.num_channels, config.item_size)
            return orthonormal_rows(rows.view(*rows.shape[:-1], *shape), config.orthonormalization)


class OMIE(nn.Module):
    """Orthogonal multi-interest extraction: channels, routing, filtering and pooling, for all items at once.

    Everything runs in float32: routing and thresholds compare scores. No tensor holds a width for each pair
    of behavior and channel.

    Parameters
    ----------
    config
        Hyper-parameters.
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = Channels(config)
        self.empty = (
            nn.Parameter(torch.zeros(config.num_channels, config.item_size))
            if config.is_empty_learned
            else None
        )

    def forward(self, requests: Requests) -> Interests:
        """Return the interests. Shapes ``(requests, asked, ...)``."""
        config = self.config
        channels = self.channels(requests.targets)
        with full_precision(requests.targets.device):
            behaviors = requests.behaviors.to(channels.dtype)
            scores = self.scores(channels, behaviors)
            chosen = kept(
                scores,
                requests.mask,
                share=config.kept_share,
                count=config.kept_count,
                percentile=config.percentile,
            )
            targets = requests.targets.to(channels.dtype)
            values = pool(behaviors, scores, chosen, requests.mask, targets, config.pooling)
            number = chosen.sum(dim=-1).to(values.dtype)
            overall = None
            if config.has_overall:
                overall = mean_behavior(requests).unsqueeze(1).expand(-1, targets.shape[1], -1)
            return Interests(self.filled(values, number), channels, number, overall)

    @staticmethod
    def scores(channels: Tensor, behaviors: Tensor) -> Tensor:
        """Return the score of each behavior in each channel: one matrix product a request.

        Shapes: ``channels`` ``(requests, asked, num_channels, item_size)``, ``behaviors``
        ``(requests, length, item_size)``; returns ``(requests, asked, num_channels, length)``.
        """
        flat = torch.bmm(channels.flatten(1, 2), behaviors.transpose(1, 2))
        return flat.view(*channels.shape[:3], -1)

    def filled(self, values: Tensor, num_kept: Tensor) -> Tensor:
        """Return interests with the learned vector, if there is one, where a channel is empty."""
        if self.empty is None:
            return values
        return torch.where((num_kept > 0).unsqueeze(-1), values, self.empty)
