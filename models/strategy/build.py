# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a network."""

from __future__ import annotations

from models.strategy.config import LSTMStrategyConfig, StrategyConfig, TransformerStrategyConfig
from models.strategy.lstm import LSTMStrategyModel
from models.strategy.model import StrategyModel
from models.strategy.transformer import TransformerStrategyModel


def build_strategy_model(config: StrategyConfig) -> StrategyModel:
    """Return a fresh strategy predictor; its weights follow from torch's random state.

    Raises
    ------
    ValueError
        If no predictor belongs to this kind of configuration.
    """
    if isinstance(config, TransformerStrategyConfig):
        return TransformerStrategyModel(config)
    if isinstance(config, LSTMStrategyConfig):
        return LSTMStrategyModel(config)
    raise ValueError(f"no strategy predictor belongs to {type(config).__name__}.")
