"""Strategy prediction: networks that say which KCs a student will use on a problem, in order."""

from models.strategy.batch import EXAMPLE_FEATURES, StrategyBatch
from models.strategy.beam import Decoded
from models.strategy.build import build_strategy_model
from models.strategy.config import (
    LSTMStrategyConfig,
    StrategyConfig,
    TransformerStrategyConfig,
    config_from_dict,
)
from models.strategy.lstm import LSTMStrategyModel
from models.strategy.model import StrategyModel
from models.strategy.transformer import TransformerStrategyModel

__all__ = [
    "EXAMPLE_FEATURES",
    "Decoded",
    "LSTMStrategyConfig",
    "LSTMStrategyModel",
    "StrategyBatch",
    "StrategyConfig",
    "StrategyModel",
    "TransformerStrategyConfig",
    "TransformerStrategyModel",
    "build_strategy_model",
    "config_from_dict",
]
