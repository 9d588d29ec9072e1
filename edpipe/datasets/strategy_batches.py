"""The Lightning data module that serves problem attempts, and batches of them for prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from edpipe.datasets.strategy import Places
from edpipe.datasets.strategy_encoder import StrategyEncoder
from edpipe.datasets.windows import WindowSampler
from models.strategy import StrategyBatch

# Share of training attempts whose student is shown as one whom the embedding has not met: such will come.
NEW_STUDENT_SHARE = 0.5


class AttemptSampler:
    """Visit attempts in batches of like length, pass after pass, in an order that the seed gives.

    Parameters
    ----------
    lengths
        Length of each attempt's strategy.
    batch_size
        Attempts a batch, at least 1.
    seed
        Seed of the order; None keeps one fixed order from short to long.
    num_batches
        Batches of an epoch over all processes, whatever the number of attempts; by default those of one
        pass.
    rank, num_ranks
        Which of how many processes this is.
    """

    def __init__(
        self,
        lengths: Places,
        batch_size: int,
        *,
        seed: int | None,
        num_batches: int | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self._windows = WindowSampler(lengths, batch_size, seed=seed, rank=rank, num_ranks=num_ranks)
        self._num_batches = None if num_batches is None else math.ceil(num_batches / num_ranks)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of ``epoch``."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches that this process visits."""
        return len(self._windows) if self._num_batches is None else self._num_batches

    def __iter__(self) -> Iterator[Places]:
        """Yield the places of each batch."""
        first = self._epoch * len(self)
        number, skipped = divmod(first, len(self._windows))
        left = len(self)
        while left:
            self._windows.set_epoch(number)
            for batch in list(self._windows)[skipped : skipped + left]:
                left -= 1
                yield batch
            number, skipped = number + 1, 0


class _AttemptDataset(Dataset[StrategyBatch]):
    """Answer to an array of places with their batch."""

    def __init__(self, encoder: StrategyEncoder, rows: Places, is_new: NDArray[np.bool_] | None) -> None:
        self._encoder = encoder
        self._rows = rows
        self._is_new = is_new

    def __getitem__(self, index: Places) -> StrategyBatch:
        is_new = None if self._is_new is None else self._is_new[index]
        return self._encoder.encode(self._rows[index], is_new=is_new)


class _Encoded(Dataset[StrategyBatch]):
    """Batches that stay in memory."""

    def __init__(self, batches: list[StrategyBatch]) -> None:
        self._batches = batches

    def __getitem__(self, index: int) -> StrategyBatch:
        return self._batches[index]

    def __len__(self) -> int:
        return len(self._batches)


class StrategyDataModule(LightningDataModule):
    """Serve training and validation attempts.

    Training batches are made when they are asked for; validation batches, which are few and always the same,
    once.

    Parameters
    ----------
    encoder
        Attempts and what is known of them; made with the training attempts as ``train_rows``.
    train_rows, valid_rows
        Attempts.
    batch_size
        Attempts a batch.
    seed
        Seed of the order, and of who is shown as a new student.
    num_batches
        Batches of an epoch; by default as many as the attempts fill.
    """

    def __init__(
        self,
        encoder: StrategyEncoder,
        train_rows: Places,
        valid_rows: Places,
        *,
        batch_size: int,
        seed: int,
        num_batches: int | None = None,
    ) -> None:
        super().__init__()
        self._encoder = encoder
        self._train = train_rows
        self._valid = valid_rows
        self._batch_size = batch_size
        self._seed = seed
        self._num_batches = num_batches
        self._is_new = (
            np.random.default_rng([seed, len(train_rows)]).random(len(train_rows)) < NEW_STUDENT_SHARE
        )
        self._encoded: DataLoader[StrategyBatch] | None = None

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches an epoch on one device."""
        return len(self._sampler(self._train, self._seed, self._num_batches))

    def train_dataloader(self) -> DataLoader[StrategyBatch]:
        """Return training batches in the order of the trainer's epoch."""
        trainer = self.trainer
        sampler = self._sampler(
            self._train,
            self._seed,
            self._num_batches,
            rank=trainer.global_rank if trainer else 0,
            num_ranks=trainer.world_size if trainer else 1,
        )
        sampler.set_epoch(trainer.current_epoch if trainer else 0)
        dataset = _AttemptDataset(self._encoder, self._train, self._is_new)
        return DataLoader(dataset, batch_size=None, sampler=sampler)

    def val_dataloader(self) -> DataLoader[StrategyBatch]:
        """Return validation batches in a fixed order."""
        if self._encoded is None:
            trainer = self.trainer
            sampler = self._sampler(
                self._valid,
                None,
                None,
                rank=trainer.global_rank if trainer else 0,
                num_ranks=trainer.world_size if trainer else 1,
            )
            batches = [self._encoder.encode(self._valid[places]) for places in sampler]
            self._encoded = DataLoader(_Encoded(batches), batch_size=None)
        return self._encoded

    def _sampler(
        self, rows: Places, seed: int | None, num_batches: int | None, *, rank: int = 0, num_ranks: int = 1
    ) -> AttemptSampler:
        lengths = np.diff(self._encoder.dataset.strategy_start)[rows]
        return AttemptSampler(
            lengths, self._batch_size, seed=seed, num_batches=num_batches, rank=rank, num_ranks=num_ranks
        )


def attempt_batches(
    encoder: StrategyEncoder, rows: Places, batch_size: int
) -> Iterator[tuple[Places, StrategyBatch]]:
    """Yield the places of attempts in ``rows`` with their batch, sections together.

    Attempts of one section decode quickest side by side: they have few KCs to choose from.
    """
    dataset = encoder.dataset
    length = np.diff(dataset.strategy_start)[rows]
    order = np.lexsort((rows, length, dataset.section[rows]))
    for at in range(0, len(order), batch_size):
        places = order[at : at + batch_size]
        yield places, encoder.encode(rows[places])
