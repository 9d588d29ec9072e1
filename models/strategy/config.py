# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of the strategy predictors, as plain values that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from models.plain_values import config_of
from models.strategy.tokens import FIRST_KC


@dataclass(frozen=True, slots=True)
class StrategyConfig:
    """What every strategy predictor needs to know.

    Attributes
    ----------
    num_tokens
        Tokens of all KCs and the four others; at least 5.
    vector_size
        Width of the embeddings of students, sections and problems.
    size
        Width of the hidden state.
    num_layers
        Layers of the decoder.
    dropout
        Share of activations dropped in training, in [0, 1).
    """

    kind: ClassVar[str] = ""

    num_tokens: int
    vector_size: int
    size: int = 64
    num_layers: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.num_tokens <= FIRST_KC:
            raise ValueError(f"num_tokens must be at least {FIRST_KC + 1} (one KC); got {self.num_tokens}.")
        for name in ("vector_size", "size", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the values with the kind of predictor, for :func:`config_from_dict`."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class LSTMStrategyConfig(StrategyConfig):
    """The parity model: two recurrent networks, 200 units and dropout 0.3 as published."""

    kind: ClassVar[str] = "lstm"

    size: int = 200
    num_layers: int = 1
    dropout: float = 0.3


@dataclass(frozen=True, slots=True)
class TransformerStrategyConfig(StrategyConfig):
    """A small causal transformer that may copy from strategies seen in training.

    Attributes
    ----------
    num_heads
        Attention heads; divides ``size``.
    max_positions
        Positions told apart; later ones look alike.
    vector_dropout
        Share of whole vectors (of student, section, problem) hidden in training, in [0, 1): new ones come.
    writing_weight
        Weight, at least 0, of the loss of what is written freely, added in training so that writing is
        learned from attempts that could be copied, too.
    """

    kind: ClassVar[str] = "transformer"

    num_heads: int = 4
    max_positions: int = 64
    vector_dropout: float = 0.1
    writing_weight: float = 0.1

    def __post_init__(self) -> None:
        # Dataclasses with slots are new classes: a bare super() would look in the old one.
        StrategyConfig.__post_init__(self)
        if self.num_heads < 1 or self.size % self.num_heads:
            raise ValueError(f"num_heads must divide size; got {self.num_heads} and {self.size}.")
        if self.max_positions < 1:
            raise ValueError(f"max_positions must be at least 1; got {self.max_positions}.")
        if not 0 <= self.vector_dropout < 1:
            raise ValueError(f"vector_dropout must lie in [0, 1); got {self.vector_dropout}.")
        if self.writing_weight < 0:
            raise ValueError(f"writing_weight must be at least 0; got {self.writing_weight}.")


CONFIGS: dict[str, type[StrategyConfig]] = {
    config.kind: config for config in (LSTMStrategyConfig, TransformerStrategyConfig)
}


def config_from_dict(values: Mapping[str, Any]) -> StrategyConfig:
    """Return the configuration that :meth:`StrategyConfig.to_dict` described.

    Raises
    ------
    ValueError
        If the kind or a key is unknown.
    """
    return config_of(values, CONFIGS, "strategy predictor")
