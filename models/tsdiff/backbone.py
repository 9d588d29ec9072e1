# SPDX-License-Identifier: Apache-2.0
"""The network of all diffusion models of series: residual blocks around long convolutions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.tsdiff.config import BackboneConfig
from models.tsdiff.s4d import S4D

SLOWEST_WAVE = 10_000.0


class Backbone(nn.Module):
    """Read noisy values and the diffusion step; say what the process asks for, at every step and channel.

    With the default configuration and no condition this is the network of the paper with a diagonal state
    space, without the projection in the last block that nothing reads. A condition enters each block between
    convolution and gate, and the input where asked for.

    Parameters
    ----------
    config
        Sizes.
    channels
        Channels of input and output.
    num_conditions
        Channels of the condition; 0 is none.
    num_features
        Numbers that describe a whole window; 0 is none.
    is_condition_early
        Whether the condition is also added to the input.

    References
    ----------
    Kollovieh et al. (2023), "Predict, refine, synthesize: self-guiding diffusion models for probabilistic
    time series forecasting"; Kong et al. (2021), "DiffWave", for gates and the sum over blocks.
    """

    def __init__(
        self,
        config: BackboneConfig,
        channels: int,
        *,
        num_conditions: int = 0,
        num_features: int = 0,
        is_condition_early: bool = False,
    ) -> None:
        super().__init__()
        size = config.hidden_size
        self.config = config
        self.enter = nn.Linear(channels, size)
        self.condition = (
            nn.Linear(num_conditions, size, bias=False) if num_conditions and is_condition_early else None
        )
        self.features = nn.Linear(num_features, size) if num_features else None
        self.step = StepEmbedding(config.step_embedding_size, size)
        last = config.num_blocks - 1
        self.blocks = nn.ModuleList(
            Block(config, num_conditions, is_last=number == last) for number in range(config.num_blocks)
        )
        self.gather = nn.Linear(size, size)
        self.leave = nn.Linear(size, channels)
        if config.zero_output:
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        values: Tensor,
        network_time: Tensor,
        condition: Tensor | None = None,
        features: Tensor | None = None,
        *,
        first: int = 0,
    ) -> Tensor:
        """Return what the process asks for.

        Parameters
        ----------
        values
            Noisy values. Shape ``(batch, length, channels)``, any length.
        network_time
            The process's time for networks. Shape ``(batch,)``.
        condition
            Shape ``(batch, length, num_conditions)``; None where the network has none.
        features
            Shape ``(batch, num_features)``; None where the network has none.
        first
            First step that is asked for; what only earlier ones need is not computed.

        Returns
        -------
        Tensor
            Shape ``(batch, length - first, channels)``.
        """
        hidden = self.enter(values)
        if self.condition is not None and condition is not None:
            hidden = hidden + self.condition(condition)
        hidden = torch.relu(hidden)
        about = self.step(network_time.to(values.dtype))
        if self.features is not None and features is not None:
            about = about + self.features(features)
        total = torch.zeros_like(hidden[:, first:])
        for block in self.blocks:
            hidden, added = block(hidden, about, condition, first)
            total = total + added
        if self.config.scaled_residuals:
            total = total / math.sqrt(self.config.num_blocks)
        output: Tensor = self.leave(torch.relu(self.gather(torch.relu(total))))
        if self.config.output_skip:
            output = output + values[:, first:]
        return output


class Block(nn.Module):
    """One long convolution, what is known besides, and a gate."""

    def __init__(self, config: BackboneConfig, num_conditions: int, *, is_last: bool) -> None:
        super().__init__()
        size = config.hidden_size
        self.is_scaled = config.scaled_residuals
        self.about = nn.Linear(size, size)
        self.norm = nn.LayerNorm(size)
        self.convolution = S4D(
            size, config.state_size, discretization=config.discretization, start=config.start
        )
        self.mix = nn.Linear(size, size)
        self.dropout = nn.Dropout(config.dropout)
        self.condition = nn.Linear(num_conditions, size) if num_conditions else None
        self.split = nn.Linear(size, 2 * size) if config.split_gate else None
        # Nothing reads what the last block would hand on: weights without a gradient stop several devices.
        self.stay = None if is_last else nn.Linear(size, size)
        self.hand_over = nn.Linear(size, size)

    def forward(
        self, hidden: Tensor, about: Tensor, condition: Tensor | None, first: int
    ) -> tuple[Tensor, Tensor]:
        """Return what goes on to the next block, and to the output from step ``first`` on.

        Shape ``(batch, length, size)`` and ``(batch, length - first, size)``; nothing goes on from the last.
        """
        values = hidden + self.about(about).unsqueeze(1)
        # Channels stand last for all but the convolution: on a CPU that is quicker than last for none.
        turned = self.norm(values).transpose(1, 2).contiguous()
        convolved = self.convolution(turned).transpose(1, 2)
        if self.stay is None:
            values, convolved = values[:, first:], convolved[:, first:]
            condition = None if condition is None else condition[:, first:]
        convolved = convolved.contiguous()
        values = values + self.dropout(self.mix(nn.functional.gelu(convolved)))
        if self.condition is not None:
            values = values + self.condition(condition)
        if self.split is None:
            gated = torch.tanh(values) * torch.sigmoid(values)
        else:
            signal, gate = self.split(values).chunk(2, dim=-1)
            gated = torch.tanh(signal) * torch.sigmoid(gate)
        if self.stay is not None:
            hidden = hidden + self.stay(gated)
            if self.is_scaled:
                hidden = hidden * math.sqrt(0.5)
            gated = gated[:, first:]
        return hidden, self.hand_over(gated)


class StepEmbedding(nn.Module):
    """Tell a network the diffusion step by sines and cosines of many wavelengths and two layers."""

    frequencies: Tensor

    def __init__(self, waves: int, size: int) -> None:
        super().__init__()
        half = waves // 2
        frequencies = SLOWEST_WAVE ** (-torch.arange(half) / (half - 1))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.widen = nn.Linear(waves, size)
        self.project = nn.Linear(size, size)

    def forward(self, time: Tensor) -> Tensor:
        """Return what blocks are told. Shape ``(batch,)`` in, ``(batch, size)`` out."""
        angle = time.unsqueeze(-1) * self.frequencies.to(time.dtype)
        waves = torch.cat([angle.sin(), angle.cos()], dim=-1)
        about: Tensor = nn.functional.silu(self.project(nn.functional.silu(self.widen(waves))))
        return about
