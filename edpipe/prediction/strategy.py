"""Predict strategies with a trained predictor, attempt by attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edpipe.checkpoints import load_checkpoint
from edpipe.datasets.predicted import PredictedStrategies
from edpipe.datasets.strategy import Places, StrategyDataset
from edpipe.datasets.strategy_history import RunningCounts
from edpipe.datasets.strategy_memory import StrategyMemory
from edpipe.errors import TrainingError
from edpipe.mastery.embedding import Embedding

if TYPE_CHECKING:
    from models.strategy import StrategyBatch, StrategyModel

STRATEGY_FILE = "strategy.pt"
STRATEGY_FORMAT = 2
BATCH_SIZE = 128


@dataclass(frozen=True, eq=False)
class TrainedPredictor:
    """A strategy predictor ready to predict.

    Attributes
    ----------
    model
        The network, in evaluation mode, on the CPU unless it is moved.
    memory
        What it keeps of its training attempts.
    data
        ``source``, ``fingerprint``, ``embedding_key``, ``num_examples``, ``num_attempts`` and how to decode:
        ``beam_size``, ``max_length``, ``length_penalty``.
    metrics
        Validation metrics of the best epoch: ``valid_loss``, ``valid_next_accuracy``; ``best_epoch``,
        ``num_epochs`` and ``seconds`` of the training.
    """

    model: StrategyModel
    memory: StrategyMemory
    data: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)


def load_predictor(path: Path) -> TrainedPredictor:
    """Load a predictor from a run folder or its `strategy.pt`; no code in the file is run.

    Raises
    ------
    TrainingError
        If there is no such file or it has another format.
    """
    import torch

    from models.strategy import build_strategy_model, config_from_dict

    file = path / STRATEGY_FILE if path.is_dir() else path
    if not file.exists():
        raise TrainingError(
            "There is no trained strategy predictor here.",
            where=str(file),
            found="no such file",
            expected="`strategy.pt` of a finished run",
            next_step="Run `edpipe train strategy`.",
        )
    content = load_checkpoint(file)
    if content.get("format") != STRATEGY_FORMAT:
        raise TrainingError(
            "The strategy predictor has a format that this version does not read.",
            where=str(file),
            found=repr(content.get("format")),
            expected=str(STRATEGY_FORMAT),
            next_step="Train again with this version.",
        )
    with torch.random.fork_rng(devices=[]):
        model = build_strategy_model(config_from_dict(content["config"]))
    model.load_state_dict(content["state_dict"])
    model.eval()
    return TrainedPredictor(
        model, StrategyMemory.from_dict(content["memory"]), dict(content["data"]), dict(content["metrics"])
    )


def predict_strategies(
    predictor: TrainedPredictor | Path,
    dataset: StrategyDataset,
    embedding: Embedding,
    rows: Places,
    *,
    answers: RunningCounts | None = None,
    batch_size: int = BATCH_SIZE,
    on_batch: Callable[[int], None] | None = None,
) -> PredictedStrategies:
    """Predict the strategy of each attempt from what was known before it began.

    Parameters
    ----------
    predictor
        A trained predictor, or the folder of its run.
    dataset
        Attempts; what the predictor does not know of them is treated as new.
    embedding
        Vectors in the codes of ``dataset``.
    rows
        Attempts to predict. An attempt that was learned from finds itself in the predictor's memory.
        Shape ``(n,)``.
    answers
        Answers before each attempt, where they have been counted already.
    batch_size
        Attempts a batch.
    on_batch
        Called with the number of attempts of each batch once it is predicted.

    Returns
    -------
    PredictedStrategies
        In the order of ``rows``.

    Raises
    ------
    TrainingError
        If the vectors have another width than those that the predictor learned from.
    """
    from edpipe.datasets.strategy_batches import attempt_batches
    from edpipe.datasets.strategy_encoder import StrategyEncoder

    loaded = load_predictor(predictor) if isinstance(predictor, Path) else predictor
    _check_width(loaded, embedding)
    encoder = StrategyEncoder.of(
        dataset, embedding, loaded.memory, num_examples=int(loaded.data["num_examples"]), answers=answers
    )
    number = len(rows)
    predicted: list[np.ndarray[Any, np.dtype[np.int32]]] = [np.empty(0, dtype=np.int32)] * number
    confidence, log_likelihood = np.zeros(number), np.zeros(number)
    correct, asked = np.zeros(number, dtype=np.int32), np.zeros(number, dtype=np.int32)
    for places, batch in attempt_batches(encoder, rows, batch_size):
        found = _predict(loaded, batch)
        for name, part in (("confidence", confidence), ("log_likelihood", log_likelihood)):
            part[places] = found[name]
        correct[places], asked[places] = found["correct"], found["asked"]
        for place, tokens in zip(places, found["strategies"], strict=True):
            predicted[place] = encoder.histories.kcs[tokens].astype(np.int32)
        if on_batch is not None:
            on_batch(len(places))
    lengths = [len(kcs) for kcs in predicted]
    return PredictedStrategies(
        rows=rows,
        kcs=np.concatenate([np.empty(0, dtype=np.int32), *predicted]),
        start=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        confidence=confidence,
        log_likelihood=log_likelihood,
        next_correct=correct,
        next_asked=asked,
    )


def _predict(predictor: TrainedPredictor, batch: StrategyBatch) -> dict[str, Any]:
    """Return figures of each attempt of a batch, and the KCs predicted in the memory's codes."""
    import torch

    from models.strategy.model import targets_of
    from models.strategy.tokens import FIRST_KC, PAD

    model, data = predictor.model, predictor.data
    batch = batch.to(next(model.parameters()).device)
    with torch.inference_mode():
        log_probs = model(batch)
        real = batch.tokens != PAD
        likelihood = targets_of(log_probs, batch).double().sum(dim=1)
        hits = ((log_probs.argmax(dim=-1) == batch.tokens) & real).sum(dim=1)
        decoded = model.decode(
            batch,
            beam_size=int(data["beam_size"]),
            max_length=int(data["max_length"]),
            length_penalty=float(data["length_penalty"]),
        )
    tokens, lengths = decoded.tokens.cpu().numpy(), decoded.lengths.cpu().numpy()
    return {
        "confidence": decoded.log_probs.double().exp().clamp(max=1).cpu().numpy(),
        "log_likelihood": likelihood.cpu().numpy(),
        "correct": hits.cpu().numpy(),
        "asked": real.sum(dim=1).cpu().numpy(),
        "strategies": [row[:length] - FIRST_KC for row, length in zip(tokens, lengths, strict=True)],
    }


def _check_width(predictor: TrainedPredictor, embedding: Embedding) -> None:
    if embedding.dim != predictor.model.config.vector_size:
        raise TrainingError(
            "The embedding is not of the kind that the predictor learned from.",
            where="setting `embedding.dim`",
            found=f"vectors of width {embedding.dim}",
            expected=f"width {predictor.model.config.vector_size}",
            next_step="Use the embedding that the predictor was trained with, or train again.",
        )
