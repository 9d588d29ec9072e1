# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of the tracers, as plain values that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from models.plain_values import config_of


@dataclass(frozen=True, slots=True)
class TracerConfig:
    """What every tracer needs to know.

    Attributes
    ----------
    num_items, num_kcs
        Sizes of the vocabularies, padding (0) and unknown (1) included; at least 2.
    size
        Width of the hidden state.
    num_layers
        Number of layers.
    dropout
        Share of activations dropped in training, in [0, 1).
    item_dropout
        Share of items shown as unknown in training, in [0, 1), so that unknown means something.
    """

    kind: ClassVar[str] = ""

    num_items: int
    num_kcs: int
    size: int = 128
    num_layers: int = 2
    dropout: float = 0.1
    item_dropout: float = 0.3

    def __post_init__(self) -> None:
        for name in ("num_items", "num_kcs"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2 (padding, unknown); got {getattr(self, name)}.")
        for name in ("size", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("dropout", "item_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1); got {getattr(self, name)}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the values with the kind of tracer, for :func:`config_from_dict`."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class DKTConfig(TracerConfig):
    """Deep knowledge tracing: a recurrent network over the answers."""

    kind: ClassVar[str] = "dkt"


@dataclass(frozen=True, slots=True)
class AttentionConfig(TracerConfig):
    """The attention tracer.

    Attributes
    ----------
    num_heads
        Attention heads; divides ``size``.
    """

    kind: ClassVar[str] = "attention"

    num_heads: int = 8

    def __post_init__(self) -> None:
        # Dataclasses with slots are new classes: a bare super() would look in the old one.
        TracerConfig.__post_init__(self)
        if self.num_heads < 1 or self.size % self.num_heads:
            raise ValueError(f"num_heads must divide size; got {self.num_heads} and {self.size}.")


CONFIGS: dict[str, type[TracerConfig]] = {config.kind: config for config in (DKTConfig, AttentionConfig)}


def config_from_dict(values: Mapping[str, Any]) -> TracerConfig:
    """Return the configuration that :meth:`TracerConfig.to_dict` described.

    Raises
    ------
    ValueError
        If the kind or a key is unknown.
    """
    return config_of(values, CONFIGS, "tracer")
