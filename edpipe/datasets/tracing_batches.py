"""Windows of a tracing dataset as tensors, and the Lightning data module that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edpipe.datasets.columns import Array
from edpipe.datasets.tracing import Split, TracingDataset
from edpipe.datasets.vocabulary import PADDING, UNKNOWN, Vocabulary
from edpipe.datasets.windows import Windows, WindowSampler
from models.batches import InteractionBatch

ScoredBatch = tuple[InteractionBatch, Tensor]


@dataclass(frozen=True, eq=False)
class Encoder:
    """Turn stretches of a dataset into batches, in the numbers of one vocabulary.

    Build it with :meth:`of`.

    Attributes
    ----------
    dataset
        Where the answers are.
    vocabulary
        Whose numbers the tensors hold: the dataset's own, or that of a tracer trained on other data.
    """

    dataset: TracingDataset
    vocabulary: Vocabulary
    item_numbers: NDArray[np.int64]
    item_kcs: NDArray[np.int64]
    kc_numbers: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: TracingDataset, vocabulary: Vocabulary) -> Encoder:
        """Look up the whole catalog of ``dataset`` in ``vocabulary`` once."""
        return cls(
            dataset,
            vocabulary,
            dataset.item_numbers(vocabulary),
            dataset.kc_table(vocabulary),
            np.append(vocabulary.kc_numbers(dataset.kc_ids), UNKNOWN),  # rows without a KC have -1
        )

    def encode(self, windows: Windows) -> ScoredBatch:
        """Return the batch of ``windows`` and which of its steps are scored, ``(batch, length)``."""
        positions, mask = padded_positions(windows)
        scored = mask & (positions >= windows[:, 1:2])
        item = self._take("item", positions)
        times = {
            name: np.where(mask, scaler(self._take(name, positions)), 0.0).astype(np.float32)
            for name, scaler in (
                ("elapsed_seconds", self.vocabulary.elapsed),
                ("lag_seconds", self.vocabulary.lag),
            )
        }
        batch = InteractionBatch(
            items=torch.from_numpy(np.where(mask, self.item_numbers[item], PADDING)),
            kcs=torch.from_numpy(np.where(mask[..., None], self._kcs(item, positions), PADDING)),
            correct=torch.from_numpy((self._take("is_correct", positions) * mask).astype(np.float32)),
            mask=torch.from_numpy(mask),
            elapsed=torch.from_numpy(times["elapsed_seconds"]),
            lag=torch.from_numpy(times["lag_seconds"]),
        )
        return batch, torch.from_numpy(scored)

    def _kcs(self, item: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.dataset.steps == "rows":
            return self.kc_numbers[self._take("kc", positions)][..., None]
        kcs = self.item_kcs[item]
        width = max(1, int((kcs != PADDING).any(axis=(0, 1)).sum()))
        return kcs[..., :width]

    def _take(self, name: str, positions: NDArray[np.int64]) -> Array:
        return np.asarray(self.dataset.columns[name][positions])


def padded_positions(windows: Windows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return rows of the flat columns as a rectangle, and where they are real.

    Beyond a window's end the first row of the window stands. Both have shape ``(num_windows, length)``.
    """
    lengths = windows[:, 2] - windows[:, 0]
    steps = np.arange(int(lengths.max(initial=0)))
    mask = steps < lengths[:, None]
    return windows[:, :1] + steps * mask, mask


class _WindowDataset(Dataset[ScoredBatch]):
    """Answer to an array of window numbers with their batch."""

    def __init__(self, encoder: Encoder, windows: Windows) -> None:
        self._encoder = encoder
        self._windows = windows

    def __getitem__(self, index: NDArray[np.int64]) -> ScoredBatch:
        return self._encoder.encode(self._windows[index])


class TracingDataModule(LightningDataModule):
    """Serve training and validation windows.

    Parameters
    ----------
    dataset
        Where the answers are.
    context_length
        Most steps a window holds.
    batch_size
        Windows a batch.
    seed
        Seed of the order of the training windows.
    """

    def __init__(self, dataset: TracingDataset, *, context_length: int, batch_size: int, seed: int) -> None:
        super().__init__()
        self._encoder = Encoder.of(dataset, dataset.vocabulary)
        self._train = dataset.windows("train", context_length, overlap=False)
        self._valid = dataset.windows("valid", context_length, overlap=True)
        self._batch_size = batch_size
        self._seed = seed

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches an epoch on one device."""
        return len(WindowSampler(self._lengths(self._train), self._batch_size, seed=self._seed))

    def train_dataloader(self) -> DataLoader[ScoredBatch]:
        """Return training batches in the order of the trainer's epoch."""
        return self._loader(self._train, self._seed)

    def val_dataloader(self) -> DataLoader[ScoredBatch]:
        """Return validation batches in a fixed order."""
        return self._loader(self._valid, None)

    def _loader(self, windows: Windows, seed: int | None) -> DataLoader[ScoredBatch]:
        trainer = self.trainer
        sampler = WindowSampler(
            self._lengths(windows),
            self._batch_size,
            seed=seed,
            rank=trainer.global_rank if trainer else 0,
            num_ranks=trainer.world_size if trainer else 1,
        )
        sampler.set_epoch(trainer.current_epoch if trainer else 0)
        return DataLoader(_WindowDataset(self._encoder, windows), batch_size=None, sampler=sampler)

    @staticmethod
    def _lengths(windows: Windows) -> NDArray[np.int64]:
        return windows[:, 2] - windows[:, 0]


def window_batches(
    encoder: Encoder, split: Split | None, context_length: int, batch_size: int
) -> Iterator[tuple[Windows, ScoredBatch]]:
    """Yield evaluation windows in order of their students, with their batch.

    Parameters
    ----------
    encoder
        Dataset and vocabulary.
    split
        Students to take; None takes all.
    context_length, batch_size
        Most steps a window, windows a batch.
    """
    windows = encoder.dataset.windows(split, context_length, overlap=True)
    for start in range(0, len(windows), batch_size):
        chosen = windows[start : start + batch_size]
        yield chosen, encoder.encode(chosen)
