"""Whoever has the model itself: how much better it denoises what it was trained on."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series_batches import WindowEncoder
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.synthesis.measured import Measured
from edpipe.evaluation.synthesis.privacy import membership
from edpipe.evaluation.synthesis.real_windows import Pieces
from edpipe.prediction.forecast import TrainedForecaster
from edpipe.prediction.synthesize import unconditional_members

Floats = NDArray[np.float64]
# Pieces of each kind: each costs eight calls of the network for every member.
MAX_PIECES: Final = 500
_WINDOWS_AT_ONCE: Final = 64


def membership_by_loss(
    trained: TrainedForecaster,
    task: ForecastTask,
    training: Pieces,
    held_out: Pieces,
    *,
    num_draws: int = 200,
    seed: int = 0,
) -> Measured | None:
    """Return the AUC of guessing that windows with a low denoising loss were trained on; 0.5 leaks nothing.

    It matters where the model is handed out, and bounds what a release can leak. Both kinds are shown alike:
    steps of a window before its piece are hidden, and only the series' own loss counts. None where pieces
    are no longer than the prediction, so that a window would keep no context.

    Parameters
    ----------
    trained
        An unconditional model.
    task
        What it was trained on.
    training, held_out
        Pieces that it was trained on, and others.
    num_draws
        Draws of the interval; 0 gives none.
    seed
        Seed of the draws and of the choice of pieces.

    Raises
    ------
    SettingsError
        If the model is told the past.
    """
    unconditional_members(trained)
    length = held_out.values.shape[1]
    if length <= trained.shape.prediction_length:
        return None
    random = np.random.default_rng(seed)
    number = min(len(training), len(held_out), MAX_PIECES)
    members, others = (
        pieces.take(np.sort(random.permutation(len(pieces))[:number])) for pieces in (training, held_out)
    )
    losses = np.concatenate([piece_losses(trained, task, part) for part in (members, others)])
    return membership(members, others, -losses, num_draws=num_draws, random=random)


def piece_losses(trained: TrainedForecaster, task: ForecastTask, pieces: Pieces) -> Floats:
    """Return the denoising loss of each piece, the mean over the networks. Shape ``(num_pieces,)``."""
    import torch

    from models.tsdiff.synthesis import series_losses

    shape, length = trained.shape, pieces.values.shape[1]
    windows = Windows(pieces.cuts.series, pieces.cuts.origins + length - shape.prediction_length)
    num_hidden = max(shape.length - length, 0)
    scaling = Scaling.fit(task.series, task.train_ends, trained.scaling)
    encoder = WindowEncoder(task.series, shape, scaling)
    parts = []
    for first in range(0, len(windows), _WINDOWS_AT_ONCE):
        some = windows.take(slice(first, first + _WINDOWS_AT_ONCE))
        hidden = np.zeros((len(some), shape.context_length), dtype=bool)
        hidden[:, :num_hidden] = True
        batch = encoder.encode(some, with_future=True, hidden=hidden)
        losses: list[Any] = [
            series_losses(member, batch.to(next(member.parameters()).device)).cpu()
            for member in unconditional_members(trained)
        ]
        parts.append(torch.stack(losses).double().mean(dim=0).numpy())
    return np.concatenate(parts)
