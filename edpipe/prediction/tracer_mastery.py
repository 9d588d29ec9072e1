"""A trained tracer as an estimator of mastery: its predictions at the steps of a tutor log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.tracing import TracingDataset
from edpipe.errors import TrainingError
from edpipe.prediction.tracing import LoadedTracer, iter_predictions, load_tracer

if TYPE_CHECKING:
    from edpipe.mastery.steps import MasterySteps

KEYS = ["student_key", "interaction_number"]


def tracer_answers(
    tracer: LoadedTracer | Path, dataset: TracingDataset
) -> Callable[[MasterySteps], NDArray[np.float64]]:
    """Return what :func:`~edpipe.mastery.choose.estimated_mastery` takes as ``tracer``.

    The tracer must have been trained on training students alone. Its prediction at a step looks at all
    earlier steps of the student in ``dataset``; so this suits splits by student, where a training student has
    no held-out steps, and no others.

    Parameters
    ----------
    tracer
        A loaded tracer, or the folder of its run.
    dataset
        Answers of the same source, one step an answered item.

    Returns
    -------
    Callable
        Takes steps, and returns the chance that each is right. Raises TrainingError where the dataset lacks
        one of them.
    """
    loaded = load_tracer(tracer) if isinstance(tracer, Path) else tracer
    predicted: list[pl.DataFrame] = []

    def answers(steps: MasterySteps) -> NDArray[np.float64]:
        if not predicted:
            pieces = iter_predictions(loaded, dataset, None)
            predicted.append(pl.concat(piece.select(*KEYS, "probability") for piece in pieces))
        found = steps.keys.join(
            predicted[0].with_columns(pl.col(KEYS).cast(pl.Int64)), on=KEYS, how="left", maintain_order="left"
        )["probability"]
        if found.null_count():
            raise TrainingError(
                "The tracer's data lacks steps whose mastery is to be estimated.",
                where="training.tracing_examples",
                found=f"no prediction for {found.null_count():,} of {len(found):,} steps",
                expected="the same source, and a step an answered item",
                next_step="Set `tracing.source` to `strategy.source` and `tracing.steps` to 'questions'.",
                state="Nothing was written.",
            )
        return found.to_numpy()

    return answers
