"""How well a strategy predictor foretells validation attempts, outside of the training loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from edpipe.datasets.strategy import Places
from edpipe.datasets.strategy_batches import attempt_batches
from edpipe.datasets.strategy_encoder import StrategyEncoder
from edpipe.training.figures import StrategyEpoch
from models.strategy import StrategyBatch, StrategyModel
from models.strategy.model import targets_of
from models.strategy.tokens import PAD

# Validation attempts that a predictor is judged by, drawn once.
MAX_VALID_ATTEMPTS = 2_000
BATCH_SIZE = 128
# The epoch of weights as they are before training.
UNTRAINED = -1


def judging_rows(valid_rows: Places, seed: int) -> Places:
    """Return at most ``MAX_VALID_ATTEMPTS`` of the attempts, drawn by the seed."""
    if len(valid_rows) <= MAX_VALID_ATTEMPTS:
        return valid_rows
    random = np.random.default_rng([seed, MAX_VALID_ATTEMPTS])
    return np.sort(random.choice(valid_rows, MAX_VALID_ATTEMPTS, replace=False))


def validation_batches(encoder: StrategyEncoder, rows: Places) -> list[StrategyBatch]:
    """Return the attempts as batches."""
    return [batch for _, batch in attempt_batches(encoder, rows, BATCH_SIZE)]


def judge_untrained(model: StrategyModel, batches: Sequence[StrategyBatch]) -> StrategyEpoch:
    """Return the figures of a network before training: on little data a lookup may be best."""
    likelihood = hits = number = 0.0
    model.eval()
    with torch.inference_mode():
        for batch in batches:
            log_probs = model(batch)
            real = batch.tokens != PAD
            likelihood += float(targets_of(log_probs, batch).double().sum())
            hits += int(((log_probs.argmax(dim=-1) == batch.tokens) & real).sum())
            number += int(real.sum())
    return StrategyEpoch(UNTRAINED, float("nan"), -likelihood / max(number, 1), hits / max(number, 1))
