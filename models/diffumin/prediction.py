# SPDX-License-Identifier: Apache-2.0
"""From features to the logit of a click, and from a logit under sampled negatives to a probability."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.diffumin.config import Activation, DiffuMINConfig


class RowNorm(nn.BatchNorm1d):
    """Batch normalization that does with a single row, or none, what it does with new data."""

    def forward(self, values: Tensor) -> Tensor:
        """Return normalized values. Shape ``(rows, size)``."""
        if self.training and len(values) < 2:
            return nn.functional.batch_norm(
                values,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=False,
                eps=self.eps,
            )
        return super().forward(values)


class Dice(nn.Module):
    r"""A rectifier whose corner lies where the data are: :math:`x (p + \alpha (1 - p))`.

    :math:`p` is the logistic function of the normalized value.

    Parameters
    ----------
    size
        Number of values of a row.

    References
    ----------
    Zhou et al. (2018), "Deep interest network for click-through rate prediction".
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = RowNorm(size, affine=False)
        self.slope = nn.Parameter(torch.zeros(size))

    def forward(self, values: Tensor) -> Tensor:
        """Return activations. Shape ``(rows, size)``."""
        share = torch.sigmoid(self.norm(values))
        return values * torch.addcmul(self.slope, share, 1 - self.slope)


def activation(kind: Activation, size: int) -> nn.Module:
    """Return a fresh activation of rows of a size."""
    if kind == "dice":
        return Dice(size)
    return nn.PReLU(size) if kind == "prelu" else nn.ReLU()


def hidden_layers(
    inputs: int, sizes: Sequence[int], kind: Activation, *, has_batch_norm: bool, dropout: float = 0.0
) -> list[nn.Module]:
    """Return linear maps, each with normalization, activation and dropout as asked for."""
    layers: list[nn.Module] = []
    for size in sizes:
        layers.append(nn.Linear(inputs, size))
        if has_batch_norm:
            layers.append(RowNorm(size))
        layers.append(activation(kind, size))
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = size
    return layers


class Prediction(nn.Module):
    """The network that turns features into the logit of a click.

    Parameters
    ----------
    config
        Hyper-parameters.
    inputs
        Number of features.
    """

    def __init__(self, config: DiffuMINConfig, inputs: int) -> None:
        super().__init__()
        # An interest is a product of three small vectors, the short-term encoder's state is as long as it is
        # wide: at one scale all are heard from the first step on.
        layers: list[nn.Module] = [RowNorm(inputs)] if config.has_input_norm else []
        layers += hidden_layers(
            inputs,
            config.mlp_sizes,
            config.activation,
            has_batch_norm=config.has_batch_norm,
            dropout=config.dropout,
        )
        layers.append(nn.Linear(config.mlp_sizes[-1], 1))
        if config.has_logit_norm:
            layers.append(RowNorm(1))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits. Shape ``(rows, inputs)`` in, ``(rows,)`` out."""
        logits: Tensor = self.layers(features)
        return logits.squeeze(-1)


def corrected(probabilities: Tensor, negative_sample_rate: float) -> Tensor:
    r"""Return probabilities as they are among all impressions, if training kept few without a click.

    :math:`p / (p + (1 - p) / w)` with the kept share :math:`w` of impressions without a click. The order of
    scores stays. Shape of ``probabilities``.

    Raises
    ------
    ValueError
        If the rate lies outside (0, 1].
    """
    if not 0 < negative_sample_rate <= 1:
        raise ValueError(f"negative_sample_rate must lie in (0, 1]; got {negative_sample_rate}.")
    return probabilities / (probabilities + (1 - probabilities) / negative_sample_rate)
