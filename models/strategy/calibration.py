# SPDX-License-Identifier: Apache-2.0
"""Chances of examples that hold what they promise: two numbers, fitted once the weights are final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Grids of the logarithm of the temperature and of the offset, each round a fourth as wide as the one before.
WIDTH_TEMPERATURE = 1.5
WIDTH_OFFSET = 4.0
POINTS = 9
ROUNDS = 4
# What a whole width away from no change costs, in nats of all attempts together: few attempts change little.
PENALTY = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """How each source of a mixture explains the true strategies.

    Attributes
    ----------
    prior
        Logarithm of the chance of each example and of free writing. Shape ``(batch, num_examples + 1)``.
    follows
        Whether the strategy is that of the example. Shape ``(batch, num_examples)``.
    written
        Log-likelihood under free writing. Shape ``(batch,)``.
    """

    prior: Tensor
    follows: Tensor
    written: Tensor

    def log_likelihood(self, temperature: Tensor, offset: Tensor) -> Tensor:
        """Return the log-likelihood of all strategies together under changed chances."""
        chances = calibrated(self.prior, temperature, offset)
        copied = chances[:, :-1].masked_fill(~self.follows, -torch.inf)
        written = (chances[:, -1] + self.written).unsqueeze(1)
        return torch.cat([copied, written], dim=1).logsumexp(dim=1).sum()


class Calibration(nn.Module):
    """Temperature of the chances among examples, and what is added to the logit of free writing.

    Both are no weights: training leaves them at 1 and 0, where nothing changes.
    """

    temperature: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, prior: Tensor) -> Tensor:
        """Return the chances to predict with; in training those learned. Shape of ``prior``."""
        return prior if self.training else calibrated(prior, self.temperature, self.offset)

    @torch.no_grad()
    def fit(self, parts: Sequence[Explained]) -> None:
        """Find the temperature and the offset under which attempts not learned from are likeliest."""
        center, width = torch.zeros(2), torch.tensor([WIDTH_TEMPERATURE, WIDTH_OFFSET])
        full = width.clone()
        steps = torch.linspace(-1, 1, POINTS)
        for _ in range(ROUNDS):
            points = torch.cartesian_prod(steps, steps) * width + center
            scores = [
                sum(float(part.log_likelihood(point[0].exp(), point[1])) for part in parts)
                - PENALTY * float((point / full).square().sum())
                for point in points
            ]
            center, width = points[int(torch.tensor(scores, dtype=torch.float64).argmax())], width / 4
        self.temperature.fill_(float(center[0].exp()))
        self.offset.fill_(float(center[1]))


def calibrated(prior: Tensor, temperature: Tensor, offset: Tensor) -> Tensor:
    """Return the logarithms of changed chances; of the last, free writing, only the odds are shifted.

    Shape of ``prior``.
    """
    copied = prior[:, :-1]
    is_alone = (copied == -torch.inf).all(dim=1, keepdim=True)  # nothing to copy, and no gradient there
    before, after = (
        part.masked_fill(is_alone, 0.0).logsumexp(dim=1, keepdim=True)
        for part in (copied, copied / temperature)
    )
    shift = (before - after).masked_fill(is_alone, 0.0)
    return torch.cat([copied / temperature + shift, prior[:, -1:] + offset], dim=1).log_softmax(dim=1)
