# SPDX-License-Identifier: Apache-2.0
"""How all behaviors are summed up for a target item: the one block that differs between models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.keyed_noise import NoiseSource
from models.diffumin.requests import Requests, mean_behavior


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What is known of each row once its behaviors have been summed up.

    Attributes
    ----------
    summaries
        What the block made of them. Shape ``(rows, summary_size)``.
    targets
        Vectors of the items to score. Shape ``(rows, item_size)``.
    students
        Number of the student. Shape ``(rows,)``.
    clicked
        1 for a click. Shape ``(rows,)``; read by losses only.
    noise, loss_noise
        Where features, and losses, take random numbers from.
    """

    summaries: Tensor
    targets: Tensor
    students: Tensor
    clicked: Tensor
    noise: NoiseSource
    loss_noise: NoiseSource


class LongTermBlock(nn.Module, ABC):
    """What a model does with a whole behavior sequence, in two stages.

    The first sums up the behaviors of a request for each of its items and is where length costs; the second
    sees all rows of a batch at once.

    Parameters
    ----------
    config
        Hyper-parameters.
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__()
        self.config = config

    @property
    @abstractmethod
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns."""

    @property
    def output_size(self) -> int:
        """Width of what :meth:`features` returns."""
        return self.summary_size

    @abstractmethod
    def summarize(self, requests: Requests) -> Tensor:
        """Return what the behaviors say of each item; finite, too, where there is no behavior.

        Shape ``(requests, asked, summary_size)``.
        """

    def features(self, rows: Rows) -> Tensor:
        """Return what the prediction reads. Shape ``(rows, output_size)``."""
        return rows.summaries

    def features_and_losses(self, rows: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the features and the losses of the block's own, by name, not yet weighted."""
        return self.features(rows), {}

    def condition(self, summaries: Tensor) -> Tensor | None:
        """Return what the short-term encoder is told of each item; None is nothing."""
        del summaries
        return None


class NoLongTerm(LongTermBlock):
    """No look at all behaviors: the floor."""

    @property
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns."""
        return 0

    def summarize(self, requests: Requests) -> Tensor:
        """Return nothing for each item."""
        return requests.targets[..., :0]


class MeanPooling(LongTermBlock):
    """The mean of all behaviors, whatever the target."""

    @property
    def summary_size(self) -> int:
        """Width of what :meth:`summarize` returns."""
        return self.config.item_size

    def summarize(self, requests: Requests) -> Tensor:
        """Return the mean for each item."""
        return mean_behavior(requests).unsqueeze(1).expand(-1, requests.targets.shape[1], -1)


class MeanMatch(MeanPooling):
    """The mean of all behaviors and its product with the target: DiffuMIN's own input less its channels."""

    @property
    def output_size(self) -> int:
        """Width of what :meth:`features` returns."""
        return self.summary_size + 1

    def features(self, rows: Rows) -> Tensor:
        """Return the mean and how alike it is to the target."""
        return torch.cat([rows.summaries, (rows.summaries * rows.targets).sum(-1, keepdim=True)], dim=-1)


def masked_best(scores: Tensor, mask: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return the places of the best behaviors of each item, and which of them exist.

    Parameters
    ----------
    scores
        Shape ``(requests, asked, length)``.
    mask
        True where a behavior may be taken; it can be broadcast to the scores.
    number
        How many are taken at most; all where 0.

    Returns
    -------
    tuple
        Int64 and boolean, shape ``(requests, asked, found)`` each.
    """
    length = scores.shape[-1]
    best = scores.detach().masked_fill(~mask, -torch.inf).topk(min(number or length, length), dim=-1)
    return best.indices, best.values > -torch.inf
