"""How well a forecaster does on validation windows at the end of each epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.forecast.metrics import mean_weighted_quantile_loss
from edpipe.prediction.forecast import TrainedForecaster, forecast_windows
from models.optimization import OptimizedModule

# Windows and paths that an epoch is judged by. A few large series decide the score, so many windows and few
# paths tell epochs apart better than the other way round.
MAX_WINDOWS: Final = 192
NUM_SAMPLES: Final = 16
# Steps where the settings leave them to be chosen after training.
VALIDATION_STEPS: Final = 8


def some_windows(windows: Windows, most: int) -> Windows:
    """Return at most ``most`` windows, spread evenly."""
    if len(windows) <= most:
        return windows
    return windows.take(np.arange(most, dtype=np.int64) * len(windows) // most)


class ValidationCrps(Callback):
    """Log ``valid/crps`` of forecasts with the averaged weights, from the same noise at every epoch.

    Parameters
    ----------
    untuned
        What the network in training becomes a member of.
    task
        Series and validation windows.
    num_steps
        Steps of the sampler.
    seed
        Seed of the noise.
    """

    def __init__(self, untuned: TrainedForecaster, task: ForecastTask, *, num_steps: int, seed: int) -> None:
        self._untuned = untuned.with_sampling(num_samples=NUM_SAMPLES, num_steps=num_steps)
        self._task = task
        self._windows = some_windows(task.valid, MAX_WINDOWS)
        self._seed = seed

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forecast and log."""
        del trainer
        if not isinstance(pl_module, OptimizedModule):  # pragma: no cover - edpipe trains no other
            raise TypeError(f"weights of {type(pl_module).__name__} are not averaged.")
        network: Any = pl_module.trained()
        forecaster = replace(self._untuned, members=(network,))
        found = forecast_windows(forecaster, self._task.series, self._windows, seed=self._seed)
        crps = mean_weighted_quantile_loss(found, self._task.truth(self._windows))
        pl_module.log("valid/crps", crps)
