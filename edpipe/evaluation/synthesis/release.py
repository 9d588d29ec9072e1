"""The figure that goes with every release of synthetic series: whether it tells who was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.errors import ContractError
from edpipe.evaluation.synthesis.measured import Measured
from edpipe.evaluation.synthesis.privacy import membership_by_distance
from edpipe.evaluation.synthesis.real_windows import (
    Pieces,
    held_out_pieces,
    piece_length,
    some_series,
    training_pieces,
    unit_pieces,
)
from edpipe.evaluation.synthesis.verdict import verdict

Floats = NDArray[np.float64]
METRIC: Final = "membership_distance"


@dataclass(frozen=True, slots=True)
class ReleaseFigure:
    """Whether a release tells training pieces from held-out pieces of the same series.

    Attributes
    ----------
    auc
        AUC of whoever has the release alone and guesses that real pieces near a synthetic one were trained
        on, with its interval; 0.5 tells nothing, NaN where it could not be measured.
    num_training, num_held_out, piece_length
        Real pieces, and their steps.
    sentence
        The finding in words.
    """

    auc: Measured
    num_training: int
    num_held_out: int
    piece_length: int
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values; what was not measured is None."""
        values = (self.auc.value, self.auc.low, self.auc.high)
        auc, low, high = (None if np.isnan(one) else round(one, 4) for one in values)
        return {
            "metric": "AUC of a membership attack by distance; 0.5: nothing leaks",
            "auc": auc,
            "low": low,
            "high": high,
            "num_training_pieces": self.num_training,
            "num_held_out_pieces": self.num_held_out,
            "piece_length": self.piece_length,
            "finding": self.sentence,
        }


def release_figure(
    task: ForecastTask, windows: NDArray[np.floating], *, name: str, num_draws: int = 200, seed: int = 0
) -> ReleaseFigure:
    """Measure a release; where too little was held out, say that it could not be measured.

    Parameters
    ----------
    task
        Series and windows; the generator saw steps before ``task.train_ends`` only.
    windows
        Synthetic windows, divided by the mean size of their context. Shape ``(num_windows, length)``.
    name
        Of the generator, for the sentence.
    num_draws
        Draws of the interval; 0 gives none.
    seed
        Seed of the draws and of the choice of pieces.
    """
    random = np.random.default_rng([seed, 4])
    length = piece_length(task)
    try:
        chosen = some_series(task, length, random)
        training, held_out = training_pieces(task, length, chosen), held_out_pieces(task, length, chosen)
    except ContractError as error:
        told = f"Whether {name} leaks could not be measured: {error.what}"
        return ReleaseFigure(Measured(float("nan")), 0, 0, length, told)
    return figure_of(windows, training, held_out, name=name, num_draws=num_draws, seed=seed)


def figure_of(
    windows: NDArray[np.floating],
    training: Pieces,
    held_out: Pieces,
    *,
    name: str,
    num_draws: int = 200,
    seed: int = 0,
) -> ReleaseFigure:
    """Measure a release against pieces that were trained on and pieces that were not."""
    length = training.values.shape[1]
    pieces = unit_pieces(np.asarray(windows, dtype=np.float64)[:, -length:])
    auc = membership_by_distance(
        pieces, training, held_out, num_draws=num_draws, random=np.random.default_rng(seed)
    )
    told = verdict(name, {METRIC: auc}).sentence
    return ReleaseFigure(auc, len(training), len(held_out), length, told)
