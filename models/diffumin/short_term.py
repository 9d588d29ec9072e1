# SPDX-License-Identifier: Apache-2.0
"""The latest behaviors and the target item, read in order by a small transformer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from models.diffumin.config import DiffuMINConfig
from models.diffumin.encoder import EncoderLayer
from models.diffumin.requests import Requests, padded_latest


class ShortTermEncoder(nn.Module):
    """What the latest behaviors say of a target item: the last state of a transformer over both.

    With a ``shared`` history the behaviors see each other and not the target, so they are read once however
    many items are scored; the target sees them and itself. ``joint`` is the plain transformer over behaviors
    and target, one sequence for each item.

    Parameters
    ----------
    config
        Hyper-parameters.

    References
    ----------
    Equation 21 of "Modeling long-term user behaviors with diffusion-driven multi-interest network for CTR
    prediction" (RecSys 2025), which is ``joint`` without positions.
    """

    def __init__(self, config: DiffuMINConfig) -> None:
        super().__init__()
        size, window = config.item_size, config.short_term_window
        self.config = config
        self.position = nn.Parameter(0.02 * torch.randn(window + 1, size)) if config.has_positions else None
        self.layers = nn.ModuleList(
            EncoderLayer(
                size,
                config.num_short_term_heads,
                config.short_term_expansion,
                condition="own" if config.short_term_condition == "last_channel" else "none",
                dropout=config.dropout,
            )
            for _ in range(config.num_short_term_layers)
        )

    def forward(self, requests: Requests, condition: Tensor | None = None) -> Tensor:
        """Return what the latest behaviors say of each item.

        Parameters
        ----------
        requests
            Requests.
        condition
            What the layers are told of each item; shape ``(requests, asked, item_size)``.

        Returns
        -------
        Tensor
            Shape ``(requests, asked, item_size)``.
        """
        window = self.config.short_term_window
        behaviors, mask = padded_latest(requests.behaviors, requests.mask, window)
        if self.config.short_term_history == "shared":
            return self.read(requests.targets, self.histories(behaviors, mask), mask)
        return self._joint(requests.targets, behaviors, mask, condition)

    def histories(self, behaviors: Tensor, mask: Tensor) -> list[Tensor]:
        """Return what each layer reads of the latest behaviors, whatever the target.

        Shapes: ``behaviors`` ``(requests, window, item_size)``, ``mask`` ``(requests, window)``; returns one
        ``(requests, window, item_size)`` a layer.
        """
        states = [behaviors if self.position is None else behaviors + self.position[:-1]]
        for layer in list(self._encoder_layers())[:-1]:
            states.append(layer(states[-1], states[-1], mask))
        return states

    def read(self, targets: Tensor, histories: list[Tensor], mask: Tensor) -> Tensor:
        """Return what target items find in the histories. Shape ``(requests, asked, item_size)``."""
        hidden = targets if self.position is None else targets + self.position[-1]
        for layer, history in zip(self._encoder_layers(), histories, strict=True):
            hidden = layer(hidden, history, mask, sees_itself=True)
        return hidden

    def _joint(self, targets: Tensor, behaviors: Tensor, mask: Tensor, condition: Tensor | None) -> Tensor:
        requests, asked, size = targets.shape
        history = behaviors.unsqueeze(1).expand(-1, asked, -1, -1)
        hidden = torch.cat([history, targets.unsqueeze(2)], dim=2).flatten(0, 1)
        if self.position is not None:
            hidden = hidden + self.position
        seen = nn.functional.pad(mask, (0, 1), value=True).repeat_interleave(asked, dim=0)
        told = None if condition is None else condition.reshape(-1, 1, size)
        layers = list(self._encoder_layers())
        for layer in layers[:-1]:
            hidden = layer(hidden, hidden, seen, condition=told)
        last: Tensor = layers[-1](hidden[:, -1:], hidden, seen, condition=told)
        return last.view(requests, asked, size)

    def _encoder_layers(self) -> Iterator[EncoderLayer]:
        return (layer for layer in self.layers if isinstance(layer, EncoderLayer))
