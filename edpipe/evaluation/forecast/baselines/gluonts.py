"""Networks of GluonTS (DeepAR, temporal fusion transformer, PatchTST) under this project's windows."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import numpy as np
import torch

from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.forecasts import Forecasts
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows
from edpipe.evaluation.forecast.baselines.boosted import LEVELS
from edpipe.evaluation.forecast.baselines.forecaster import Forecaster, history_of
from edpipe.evaluation.forecast.baselines.peers import require_peer

Kind = Literal["deepar", "tft", "patchtst"]
KINDS: Final = ("deepar", "tft", "patchtst")
NUM_SAMPLES: Final = 100
# Lightning is two packages that share one log: the last one imported names it.
_LOUD: Final = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric", "gluonts")
# Of the time that training and forecasts take together; for progress only.
EPOCHS_SHARE: Final = 0.95


class GluontsForecaster(Forecaster):
    """Train one network of GluonTS on all series before the validation windows, with its own defaults.

    The weights are those of the epoch with the least loss on the validation windows. GluonTS would take the
    epoch with the least training loss, which for short series is one that knows them by heart.

    Parameters
    ----------
    kind
        Which network.
    num_epochs, batches_per_epoch, batch_size
        Length of the training; GluonTS itself would train 100 epochs.
    context_length
        By default that of the task.
    seed
        Seed of weights, windows and samples.
    name
        By default the kind.

    Raises
    ------
    SettingsError
        If GluonTS is not installed.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        num_epochs: int = 20,
        batches_per_epoch: int = 50,
        batch_size: int = 32,
        context_length: int | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}.")
        self.name = name or kind
        self.limits = f"best of {num_epochs} epochs of {batches_per_epoch} batches of {batch_size}"
        self._kind = kind
        self._num_epochs = num_epochs
        self._batches_per_epoch = batches_per_epoch
        self._batch_size = batch_size
        self._context_length = context_length
        self._seed = seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it advises other libraries when imported
            self._estimators = require_peer("gluonts.torch", kind)
        self._predictor: Any = None

    def fit(self, task: ForecastTask) -> None:
        """Train on what lies before validation, choose the epoch there. Nothing is left on disk."""
        seen = [
            _entry(task.series, number, task.series.target(number)[:end])
            for number, end in enumerate(task.train_ends)
        ]
        chosen_on = [
            _entry(task.series, int(one), task.series.target(int(one))[: origin + task.prediction_length])
            for one, origin in zip(task.valid.series, task.valid.origins, strict=True)
        ]
        with tempfile.TemporaryDirectory() as folder, _quiet(), torch.random.fork_rng():
            self._seed_everything()
            # Kept transformed: otherwise a long series costs more time than the network.
            self._predictor = self._estimator(task, folder).train(seen, chosen_on, cache_data=True)

    def predict(self, series: SeriesSet, windows: Windows) -> Forecasts:
        """Forecast each window from the history before its origin."""
        if self._predictor is None:
            raise ValueError("fit comes before predict.")
        entries = [
            _entry(series, int(one), history_of(series, windows, number).astype(np.float32))
            for number, one in enumerate(windows.series)
        ]
        with _quiet(), torch.random.fork_rng():
            self._seed_everything()
            options = {"num_samples": NUM_SAMPLES} if self._kind == "deepar" else {}
            found = list(self._predictor.predict(entries, **options))
        if self._kind == "deepar":
            return Forecasts.of_samples(windows, np.stack([one.samples for one in found]))
        quantiles = [[np.asarray(one.quantile(level)) for level in LEVELS] for one in found]
        return Forecasts.of_quantiles(windows, np.array(quantiles), LEVELS)

    def _seed_everything(self) -> None:
        # GluonTS draws windows from NumPy's global state.
        require_peer("lightning.pytorch", self._kind).seed_everything(self._seed, verbose=False)

    def _estimator(self, task: ForecastTask, folder: str) -> Any:
        callbacks = require_peer("lightning.pytorch.callbacks", self._kind)
        share = EPOCHS_SHARE / self._num_epochs
        told = callbacks.LambdaCallback(on_train_epoch_end=lambda *_: self._advance(share))
        shared: dict[str, Any] = {
            "prediction_length": task.prediction_length,
            "context_length": self._context_length or task.context_length,
            "batch_size": self._batch_size,
            "num_batches_per_epoch": self._batches_per_epoch,
            "trainer_kwargs": {
                "max_epochs": self._num_epochs,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "logger": False,
                "callbacks": [told],
                "default_root_dir": folder,
            },
        }
        code = task.series.frequency.code
        if self._kind == "deepar":
            return self._estimators.DeepAREstimator(freq=code, **shared)
        if self._kind == "tft":
            return self._estimators.TemporalFusionTransformerEstimator(
                freq=code, quantiles=list(LEVELS), **shared
            )
        return self._estimators.PatchTSTEstimator(patch_len=16, **shared)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep banners, advice and notes on every epoch from the screen; errors still show."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _entry(series: SeriesSet, number: int, target: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, Any]:
    import pandas as pd

    return {
        "item_id": series.ids[number],
        "start": pd.Period(pd.Timestamp(series.starts[number]), freq=series.frequency.code),
        "target": target,
    }
