# SPDX-License-Identifier: Apache-2.0
"""One step instead of many: a student that says at once where the diffusion of all channels leads."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from models.diffumin.augmentation import Augmentation, data_points
from models.diffumin.config import DiffuMINConfig
from models.diffumin.encoder import EncoderLayer
from models.diffumin.keyed_noise import NoiseSource
from models.diffumin.omie import Interests


class DistilledDMIG(Augmentation):
    """The mean of generated interests given interests and channels, in one pass over the channels.

    The diffusion needs a pass for each channel and step. The student begins as the interest itself.

    Parameters
    ----------
    config
        Hyper-parameters; layers and heads are those of the denoiser.
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__(config)
        size = config.item_size
        self.layers = nn.ModuleList(
            EncoderLayer(
                size,
                config.num_denoiser_heads,
                config.denoiser_expansion,
                condition="own",
                dropout=config.dropout,
            )
            for _ in range(config.num_denoiser_layers)
        )
        self.head = nn.Linear(size, size)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, interests: Interests, noise: NoiseSource) -> Tensor:
        """Return the second view. Shape ``(rows, num_channels, item_size)``."""
        del noise
        points = data_points(interests.values, self.config.interest_scale)
        hidden = points
        for layer in self.layers:
            hidden = layer(hidden, hidden, condition=interests.channels)
        moved: Tensor = points + self.head(hidden)
        return moved


def distillation_loss(
    student: Augmentation, teacher: Augmentation, interests: Interests, noise: NoiseSource
) -> Tensor:
    """Return the squared distance of the student from what its teacher generates.

    Parameters
    ----------
    student
        Learns.
    teacher
        Generates; no gradient reaches it.
    interests
        Of some rows; no gradient reaches them.
    noise
        Of the teacher. Where it differs from call to call, the student learns the mean.

    Returns
    -------
    Tensor
        Mean over all entries of channels that are not empty.
    """
    given = replace(interests, values=interests.values.detach(), channels=interests.channels.detach())
    with torch.no_grad():
        wanted = teacher(given, noise)
    counts = (interests.num_kept > 0).unsqueeze(-1).expand_as(wanted)
    error = torch.where(counts, (student(given, noise) - wanted).square(), torch.zeros_like(wanted))
    return error.sum() / counts.sum().clamp(min=1)
