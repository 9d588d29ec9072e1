"""Predict answers with a trained tracer, step by step over a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from edpipe.checkpoints import load_checkpoint
from edpipe.datasets.tracing import Split, TracingDataset
from edpipe.datasets.vocabulary import Vocabulary
from edpipe.errors import TrainingError

if TYPE_CHECKING:
    from models.tracing import KnowledgeTracer

TRACER_FILE = "tracer.pt"
TRACER_FORMAT = 1
BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class LoadedTracer:
    """A tracer ready to predict.

    Attributes
    ----------
    model
        The network, in evaluation mode, on the CPU unless it is moved.
    vocabulary
        Items, KCs and time scales it was trained with.
    data
        ``source``, ``steps``, ``fingerprint`` and ``context_length`` of its training data.
    """

    model: KnowledgeTracer
    vocabulary: Vocabulary
    data: dict[str, Any]

    @property
    def context_length(self) -> int:
        """Most steps it was trained to look back over."""
        return int(self.data["context_length"])


def load_tracer(path: Path) -> LoadedTracer:
    """Load a tracer from a run folder or its `tracer.pt`; no code in the file is run.

    Raises
    ------
    TrainingError
        If there is no such file or it has another format.
    """
    import torch

    from models.tracing import build_tracer, config_from_dict

    file = path / TRACER_FILE if path.is_dir() else path
    if not file.exists():
        raise TrainingError(
            "There is no trained tracer here.",
            where=str(file),
            found="no such file",
            expected="`tracer.pt` of a finished run",
            next_step="Run `edpipe train tracing`.",
        )
    content = load_checkpoint(file)
    if content.get("format") != TRACER_FORMAT:
        raise TrainingError(
            "The tracer has a format that this version does not read.",
            where=str(file),
            found=repr(content.get("format")),
            expected=str(TRACER_FORMAT),
            next_step="Train again with this version.",
        )
    with torch.random.fork_rng(devices=[]):
        model = build_tracer(config_from_dict(content["config"]))
    model.load_state_dict(content["state_dict"])
    model.eval()
    return LoadedTracer(model, Vocabulary.from_dict(content["vocabulary"]), dict(content["data"]))


def predict(
    tracer: LoadedTracer | Path, dataset: TracingDataset, split: Split | None, *, batch_size: int = BATCH_SIZE
) -> pl.DataFrame:
    """Predict every answer of a split from what came before it.

    Parameters
    ----------
    tracer
        A loaded tracer, or the folder of its run.
    dataset
        Answers; items that the tracer does not know are judged by their KCs.
    split
        Students to take; None takes all.
    batch_size
        Windows a batch.

    Returns
    -------
    polars.DataFrame
        ``student_key, interaction_number, item_key, is_correct, probability`` in order of student and step,
        and ``is_first_row`` where a step is a source row.
    """
    return pl.concat(list(iter_predictions(tracer, dataset, split, batch_size=batch_size)))


def iter_predictions(
    tracer: LoadedTracer | Path, dataset: TracingDataset, split: Split | None, *, batch_size: int = BATCH_SIZE
) -> Iterator[pl.DataFrame]:
    """Yield :func:`predict`'s rows in pieces, in bounded memory."""
    import torch

    from edpipe.datasets.tracing_batches import Encoder, padded_positions, window_batches

    loaded = load_tracer(tracer) if isinstance(tracer, Path) else tracer
    check_steps(loaded, dataset)
    device = next(loaded.model.parameters()).device
    encoder = Encoder.of(dataset, loaded.vocabulary)
    for windows, (batch, scored) in window_batches(encoder, split, loaded.context_length, batch_size):
        with torch.inference_mode():
            probability = loaded.model(batch.to(device)).sigmoid().cpu()
        positions, _ = padded_positions(windows)
        yield _frame(dataset, positions[scored.numpy()], probability[scored].double().numpy())


def check_steps(tracer: LoadedTracer, dataset: TracingDataset) -> None:
    """Refuse data whose steps are not what the tracer was trained on.

    Raises
    ------
    TrainingError
        If one has a step a question and the other a step a source row.
    """
    if tracer.data["steps"] != dataset.steps:
        raise TrainingError(
            "The tracer was trained on other steps than the data has.",
            where="setting `tracing.steps`",
            found=f"data {dataset.steps!r}",
            expected=repr(tracer.data["steps"]),
            next_step=f"Set `tracing.steps` to {tracer.data['steps']!r}, or train again.",
        )


def _frame(
    dataset: TracingDataset,
    rows: np.ndarray[Any, np.dtype[np.int64]],
    probability: np.ndarray[Any, np.dtype[np.float64]],
) -> pl.DataFrame:
    columns = dataset.columns
    student = np.searchsorted(dataset.offsets, rows, side="right") - 1
    values: dict[str, Any] = {
        "student_key": np.asarray(columns["student_key"][student]),
        "interaction_number": np.asarray(columns["interaction_number"][rows]).astype(np.int64),
        "item_key": dataset.item_keys[columns["item"][rows]],
        "is_correct": np.asarray(columns["is_correct"][rows]).astype(bool),
        "probability": probability,
    }
    if dataset.steps == "rows":
        values["is_first_row"] = np.asarray(columns["is_first_row"][rows])
    return pl.DataFrame(values)
