# SPDX-License-Identifier: Apache-2.0
"""The network that sees through noise on one interest, given the others and its channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.encoder import EncoderLayer

SLOWEST_WAVE = 10_000.0


class StepEmbedding(nn.Module):
    """Tell a network the diffusion step by sines and cosines and two linear maps.

    Parameters
    ----------
    size
        Width, at least 2.
    """

    frequencies: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        half = max(1, size // 2)
        frequencies = SLOWEST_WAVE ** (-torch.arange(half) / max(1, half - 1))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.widen = nn.Linear(2 * half, 4 * size)
        self.narrow = nn.Linear(4 * size, size)

    def forward(self, time: Tensor) -> Tensor:
        """Return what the network is told. Shape ``(...)`` in, ``(..., size)`` out."""
        angle = time.unsqueeze(-1) * self.frequencies.to(time.dtype)
        waves = torch.cat([angle.sin(), angle.cos()], dim=-1)
        about: Tensor = self.narrow(nn.functional.silu(self.widen(waves)))
        return about


class Denoiser(nn.Module):
    """A small transformer over the interests of a row, one of which is noisy; all channels in one pass.

    For each channel the noisy interest stands among the clean others, and is read at the end; the last layer
    computes nothing else.

    Parameters
    ----------
    config
        Hyper-parameters.

    References
    ----------
    Equations 11 and 14 to 17 of "Modeling long-term user behaviors with diffusion-driven multi-interest
    network for CTR prediction" (RecSys 2025).
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__()
        size = config.item_size
        self.config = config
        self.step = StepEmbedding(size)
        self.marker = nn.Parameter(0.02 * torch.randn(size)) if config.noisy_mark == "embedding" else None
        self.layers = nn.ModuleList(
            EncoderLayer(
                size,
                config.num_denoiser_heads,
                config.denoiser_expansion,
                condition=config.channel_condition,
                dropout=config.dropout,
                scale=config.attention_scale,
            )
            for _ in range(config.num_denoiser_layers)
        )
        self.head: nn.Linear | None = None
        if config.has_output_head:
            self.head = nn.Linear(size, size)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, noisy: Tensor, clean: Tensor, channels: Tensor, time: Tensor) -> Tensor:
        """Return what the process asks for, of every interest given the clean others.

        Parameters
        ----------
        noisy, clean, channels
            Shape ``(rows, num_channels, item_size)``.
        time
            The process's time for networks. Shape ``(rows,)`` or ``(rows, num_channels)``.

        Returns
        -------
        Tensor
            Shape ``(rows, num_channels, item_size)``.
        """
        rows, number, size = noisy.shape
        told = self.step(time.to(noisy.dtype))
        told = told.view(rows, -1, 1, size)
        if self.config.is_interest_conditioned:
            # Sequence i of a row holds the noisy interest i among the clean others.
            is_noisy = torch.eye(number, dtype=torch.bool, device=noisy.device).unsqueeze(-1)
            tokens = torch.where(is_noisy, noisy.unsqueeze(2), clean.unsqueeze(1))
        else:
            is_noisy = torch.ones(1, 1, dtype=torch.bool, device=noisy.device)
            tokens = noisy.unsqueeze(2)
        tokens = tokens + (told * is_noisy if self.config.noisy_mark == "time" else told)
        if self.marker is not None:
            tokens = tokens + self.marker * is_noisy
        hidden = tokens.flatten(0, 1)
        condition = self._condition(channels)
        last = len(self.layers) - 1
        for place, layer in enumerate(self.layers):
            asked = self._noisy(hidden, rows, number) if place == last else hidden
            hidden = layer(asked, hidden, condition=condition)
        output: Tensor = hidden.view(rows, number, size)
        return output if self.head is None else self.head(output)

    def _condition(self, channels: Tensor) -> Tensor | None:
        """Return what each sequence is told of channels."""
        if self.config.channel_condition == "own":
            return channels.flatten(0, 1).unsqueeze(1)
        if self.config.channel_condition == "all":
            return channels.repeat_interleave(channels.shape[1], dim=0)
        return None

    def _noisy(self, hidden: Tensor, rows: int, number: int) -> Tensor:
        """Return the noisy token of each sequence. Shape ``(rows * num_channels, 1, item_size)``."""
        if hidden.shape[1] == 1:
            return hidden
        own = hidden.view(rows, number, number, -1).diagonal(dim1=1, dim2=2).transpose(1, 2)
        return own.reshape(rows * number, 1, -1)
