"""Windows of series as tensors, and the Lightning data module that serves them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from edpipe.datasets.calendar_features import calendar_features
from edpipe.datasets.forecast_task import ForecastTask
from edpipe.datasets.frequency import Ints
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_scaling import Scaling
from edpipe.datasets.series_windows import (
    Mask,
    Windows,
    WindowShape,
    mean_sizes,
    steps_of,
    training_windows,
)
from models.batches import WindowBatch

# An epoch that no training reaches, for draws that are none of its.
NO_EPOCH = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class WindowEncoder:
    """Turn windows of a set of series into batches.

    Attributes
    ----------
    series
        Where the values are.
    shape
        What a window holds.
    scaling
        Rule for location and scale, fitted to these series.
    """

    series: SeriesSet
    shape: WindowShape
    scaling: Scaling

    def encode(self, windows: Windows, *, with_future: bool, hidden: Mask | None = None) -> WindowBatch:
        """Return the batch of ``windows``.

        A lag never shows a step at or beyond the origin, in training as at prediction: a lag shorter than
        the prediction is unobserved where it would. Neither does it show a hidden step. Location and scale
        come from what is observed of the context.

        Parameters
        ----------
        windows
            Where they lie. Steps before the begin of a series are unobserved.
        with_future
            True in training: the steps to forecast are observed where known. False at prediction.
        hidden
            Steps of the context to hide. Shape ``(num_windows, context_length)``.
        """
        context_length = self.shape.context_length
        steps = np.arange(-context_length, self.shape.prediction_length)
        values = steps_of(self.series, windows, steps)
        pointed = steps[:, None] - np.array(self.shape.lags, dtype=np.int64)  # (length, num_lags)
        lags = np.where(pointed < 0, steps_of(self.series, windows, pointed), np.float32(np.nan))
        if hidden is not None:
            in_context = (pointed >= -context_length) & (pointed < 0)
            place = np.where(in_context, pointed + context_length, 0)
            lags = np.where(in_context & hidden[:, place], np.float32(np.nan), lags)
            values[:, :context_length][hidden] = np.nan
        if not with_future:
            values[:, context_length:] = np.nan
        loc, scale = self.scaling.of_context(values[:, :context_length], windows.series)
        return WindowBatch(
            target=torch.from_numpy(np.nan_to_num(values, nan=0.0)),
            observed=torch.from_numpy(~np.isnan(values)),
            lags=torch.from_numpy(np.nan_to_num(lags, nan=0.0)),
            lags_observed=torch.from_numpy(~np.isnan(lags)),
            loc=torch.from_numpy(loc.astype(np.float32)),
            scale=torch.from_numpy(scale.astype(np.float32)),
            calendar=torch.from_numpy(self._calendar(windows, steps)),
            series=torch.from_numpy(windows.series),
        )

    def _calendar(self, windows: Windows, steps: Ints) -> NDArray[np.float32]:
        """Return what the calendar says. Shape ``(num_windows, length, num_calendar_features)``."""
        frequency = self.series.frequency
        first = frequency.number(self.series.starts)[0][windows.series] + windows.origins
        return calendar_features(frequency, frequency.times_of(first[:, None] + steps))

    def batches(
        self, windows: Windows, batch_size: int, *, with_future: bool, hidden: Mask | None = None
    ) -> Iterator[WindowBatch]:
        """Yield all windows in order, at most ``batch_size`` a batch."""
        for begin in range(0, len(windows), batch_size):
            rows = slice(begin, begin + batch_size)
            part = None if hidden is None else hidden[rows]
            yield self.encode(windows.take(rows), with_future=with_future, hidden=part)


class _BatchKeys(Sampler[tuple[int, int, int]]):
    """Epoch, rank and number of each batch. Lightning tells it the epoch by ``set_epoch``."""

    def __init__(self, batches_per_epoch: int, *, epoch: int, rank: int) -> None:
        self._batches_per_epoch = batches_per_epoch
        self._epoch = epoch
        self._rank = rank

    def set_epoch(self, epoch: int) -> None:
        """Draw the windows of this epoch from now on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._batches_per_epoch

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for number in range(self._batches_per_epoch):
            yield self._epoch, self._rank, number


class _DrawnBatches(Dataset[WindowBatch]):
    """The batch of an epoch, rank and number."""

    def __init__(self, module: WindowDataModule) -> None:
        self._module = module

    def __getitem__(self, key: tuple[int, int, int]) -> WindowBatch:
        return self._module.draw(*key)


class _FixedBatches(Dataset[WindowBatch]):
    """Windows in their order."""

    def __init__(self, encoder: WindowEncoder, windows: Windows, batch_size: int) -> None:
        self._encoder = encoder
        self._windows = windows
        self._batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self._windows) / self._batch_size)

    def __getitem__(self, number: int) -> WindowBatch:
        rows = slice(number * self._batch_size, (number + 1) * self._batch_size)
        return self._encoder.encode(self._windows.take(rows), with_future=True)


class WindowDataModule(LightningDataModule):
    """Serve drawn training windows and the validation windows of a task.

    Parameters
    ----------
    task
        Series and parts. Training windows end before ``task.train_ends``.
    scaling
        Rule for location and scale.
    batch_size
        Windows a batch.
    batches_per_epoch
        Training batches an epoch on each device.
    seed
        Seed of the draws: the same windows come in each epoch, whatever was trained before it.
    min_history
        Steps before the origin of a training window; by default the context. Lags that reach further back
        are unobserved.
    level_weight
        Training windows of a series are as likely as its mean size to this power: 0 draws all alike, 1 as
        the score weighs them.
    """

    def __init__(
        self,
        task: ForecastTask,
        scaling: Scaling,
        *,
        batch_size: int,
        batches_per_epoch: int,
        seed: int,
        min_history: int | None = None,
        level_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = WindowEncoder(task.series, task.shape, scaling)
        self.batches_per_epoch = batches_per_epoch
        self._task = task
        self._batch_size = batch_size
        self._seed = seed
        self._min_history = task.context_length if min_history is None else min_history
        self._weights = mean_sizes(task.series, task.train_ends) ** level_weight if level_weight else None

    def draw(self, epoch: int, rank: int, number: int) -> WindowBatch:
        """Return one training batch; the same for the same numbers."""
        windows = training_windows(
            self._task.train_ends,
            prediction_length=self._task.prediction_length,
            min_history=self._min_history,
            num_windows=self._batch_size,
            random=np.random.default_rng([self._seed, epoch, rank, number]),
            weights=self._weights,
        )
        return self.encoder.encode(windows, with_future=True)

    def windows_to_fit(self, num_windows: int) -> Iterator[WindowBatch]:
        """Yield about as many training windows, for what is fitted before training; always the same ones."""
        for number in range(math.ceil(num_windows / self._batch_size)):
            yield self.draw(NO_EPOCH, 0, number)

    def train_dataloader(self) -> DataLoader[WindowBatch]:
        """Return the training batches of the trainer's epoch and device."""
        trainer = self.trainer
        keys = _BatchKeys(
            self.batches_per_epoch,
            epoch=trainer.current_epoch if trainer else 0,
            rank=trainer.global_rank if trainer else 0,
        )
        return DataLoader(_DrawnBatches(self), batch_size=None, sampler=keys)

    def val_dataloader(self) -> DataLoader[WindowBatch]:
        """Return the validation windows in order, their future observed."""
        batches = _FixedBatches(self.encoder, self._task.valid, self._batch_size)
        return DataLoader(batches, batch_size=None, shuffle=False)
