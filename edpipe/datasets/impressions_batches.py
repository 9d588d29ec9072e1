"""Requests of a dataset as ragged batches, and the Lightning data module that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from edpipe.datasets.impressions import ImpressionDataset, Split
from edpipe.datasets.impressions_features import FeatureMap
from edpipe.datasets.impressions_fit import moments_of
from edpipe.datasets.impressions_negatives import NO_ITEM, draw_negatives
from edpipe.datasets.windows import WindowSampler
from models.batches import ImpressionBatch

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ImpressionRows:
    """Rows to score, those of one request beside each other.

    Attributes
    ----------
    requests
        Request of each row, counted from 0 among those asked for, never falling.
    targets
        Target of each row: a negative has the one that it stands against.
    items
        Row of the catalog to score.
    clicked
        1 for what was taken up (or finished, or right), else 0.
    """

    requests: Integers
    targets: Integers
    items: Integers
    clicked: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ImpressionEncoder:
    """Turn requests into batches, in the numbers of one feature map. Build it with :meth:`of`.

    Attributes
    ----------
    dataset
        Where behaviors and targets are.
    features
        Whose numbers the tensors hold: the dataset's own, or that of a model trained on other data.
    max_length
        Most behaviors that are shown before a target, the latest.
    negatives
        Items beside each next item; other targets have none.
    seed
        Seed of the negatives.
    """

    dataset: ImpressionDataset
    features: FeatureMap
    max_length: int
    negatives: int
    seed: int
    item_fields: Integers
    outcome_numbers: Integers
    cumulative: Integers

    @classmethod
    def of(
        cls,
        dataset: ImpressionDataset,
        features: FeatureMap,
        *,
        max_length: int,
        negatives: int = 1,
        seed: int = 0,
    ) -> ImpressionEncoder:
        """Look up the whole catalog of ``dataset`` in ``features`` once."""
        return cls(
            dataset,
            features,
            max_length,
            negatives,
            seed,
            features.items(dataset.catalog),
            np.append(features.outcome_numbers(dataset.outcomes), 0),  # no outcome has -1
            np.cumsum(dataset.columns["popularity"]),
        )

    def draw(self, requests: Integers, *, epoch: int = 0) -> ImpressionRows:
        """Return the rows of requests: their targets and, of next items, the negatives behind each.

        Parameters
        ----------
        requests
            Numbers of requests.
        epoch
            Another epoch draws other negatives; 0 is that of validation and test.
        """
        columns = self.dataset.columns
        bounds = np.asarray(columns["request_offsets"])
        counts = bounds[requests + 1] - bounds[requests]
        targets = _ranges(bounds[requests], counts)
        request = np.repeat(np.arange(len(requests)), counts)
        items = np.asarray(columns["item"])[columns["position"][targets]].astype(np.int64)
        clicked = np.asarray(columns["clicked"][targets]).astype(np.float32)
        if self.dataset.options.target != "next_item":
            return ImpressionRows(request, targets, items, clicked)
        negatives = draw_negatives(
            self.cumulative,
            np.asarray(columns["seen"]),
            np.asarray(columns["seen_offsets"]),
            np.asarray(columns["student"])[requests].astype(np.int64)[request],
            targets,
            num=self.negatives,
            seed=self.seed,
            epoch=epoch,
        )
        every = np.concatenate([items[:, None], negatives], axis=1)
        is_row = every != NO_ITEM
        label = np.concatenate([clicked[:, None], np.zeros(negatives.shape, dtype=np.float32)], axis=1)
        width = every.shape[1]
        return ImpressionRows(
            np.repeat(request, width)[is_row.ravel()],
            np.repeat(targets, width)[is_row.ravel()],
            every[is_row],
            label[is_row],
        )

    def encode(self, requests: Integers, *, epoch: int = 0) -> ImpressionBatch:
        """Return the batch of requests."""
        return self.encode_rows(requests, self.draw(requests, epoch=epoch))

    def encode_rows(self, requests: Integers, rows: ImpressionRows) -> ImpressionBatch:
        """Return the batch of requests with the given rows."""
        columns = self.dataset.columns
        student = np.asarray(columns["student"])[requests].astype(np.int64)
        first = np.asarray(columns["request_offsets"])[requests]
        history, gap = moments_of(columns, first, student)
        context = self.features.context(history, gap)[rows.requests]
        ends = np.asarray(columns["history_end"])[first]
        return self._batch(student, ends, history, rows, context)

    def ask(
        self, students: Integers, candidates: Integers, *, now_milliseconds: Integers | None = None
    ) -> ImpressionBatch:
        """Return the batch that asks, for each student, about each candidate after all that the student did.

        Parameters
        ----------
        students
            Rows of the dataset's students. Shape ``(num_students,)``.
        candidates
            Rows of the catalog. Shape ``(num_candidates,)``.
        now_milliseconds
            When each asks, milliseconds since 1970; by default the gap is unknown. Shape ``(num_students,)``.
        """
        columns = self.dataset.columns
        offsets = np.asarray(columns["offsets"])
        ends, history = offsets[students + 1], offsets[students + 1] - offsets[students]
        gap = np.full(len(students), np.nan)
        if now_milliseconds is not None:
            last = np.asarray(columns["milliseconds"])[np.maximum(ends - 1, 0)]
            is_known = (history > 0) & (last > 0)
            gap[is_known] = np.maximum(now_milliseconds - last, 0)[is_known] / 1000.0
        request = np.repeat(np.arange(len(students)), len(candidates))
        nothing = np.full(len(request), -1)
        items = np.tile(candidates, len(students))
        rows = ImpressionRows(request, nothing, items, np.zeros(len(request), dtype=np.float32))
        return self._batch(students, ends, history, rows, self.features.context(history, gap)[request])

    def _batch(
        self,
        student: Integers,
        ends: Integers,
        history: Integers,
        rows: ImpressionRows,
        context: NDArray[np.float32],
    ) -> ImpressionBatch:
        columns = self.dataset.columns
        lengths = np.minimum(history, self.max_length)
        places = _ranges(ends - lengths, lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return ImpressionBatch(
            target_items=torch.from_numpy(self.item_fields[rows.items]),
            clicked=torch.from_numpy(rows.clicked),
            context=torch.from_numpy(context),
            requests=torch.from_numpy(rows.requests),
            students=torch.from_numpy(student),
            behavior_items=torch.from_numpy(self.item_fields[columns["item"][places]]),
            behavior_outcomes=torch.from_numpy(self.outcome_numbers[columns["outcome"][places]]),
            behavior_offsets=torch.from_numpy(offsets),
        )


class RequestSampler:
    """Visit all requests in batches of like history, each told with the epoch, which chooses its negatives.

    Parameters
    ----------
    batches
        Order of the batches.
    """

    def __init__(self, batches: WindowSampler) -> None:
        self._batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of ``epoch``."""
        self._batches.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of batches that this process visits."""
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[int, Integers]]:
        """Yield the epoch and the numbers of the requests of each batch."""
        for batch in self._batches:
            yield self._batches.epoch, batch


class _RequestDataset(Dataset[ImpressionBatch]):
    """Answer to an epoch and an array of request numbers with their batch."""

    def __init__(self, encoder: ImpressionEncoder, requests: Integers, *, redraws: bool) -> None:
        self._encoder = encoder
        self._requests = requests
        self._redraws = redraws

    def __getitem__(self, index: tuple[int, Integers]) -> ImpressionBatch:
        epoch, places = index
        # 0 is the draw of validation and test.
        return self._encoder.encode(self._requests[places], epoch=epoch + 1 if self._redraws else 0)


class ImpressionDataModule(LightningDataModule):
    """Serve training and validation requests; negatives of training are drawn anew in each epoch.

    Parameters
    ----------
    dataset
        Where behaviors and targets are.
    max_length
        Most behaviors that are shown before a target, the latest.
    negatives
        Items beside each next item.
    batch_size
        Requests a batch.
    seed
        Seed of the order and of the negatives.
    """

    def __init__(
        self, dataset: ImpressionDataset, *, max_length: int, negatives: int, batch_size: int, seed: int
    ) -> None:
        super().__init__()
        self.encoder = ImpressionEncoder.of(
            dataset, dataset.features, max_length=max_length, negatives=negatives, seed=seed
        )
        self._train = dataset.requests("train")
        self._valid = dataset.requests("valid")
        self._batch_size = batch_size
        self._seed = seed

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches an epoch on one device."""
        return len(self._sampler(self._train, self._seed))

    def train_dataloader(self) -> DataLoader[ImpressionBatch]:
        """Return training batches in the order of the trainer's epoch."""
        return self._loader(self._train, self._seed)

    def val_dataloader(self) -> DataLoader[ImpressionBatch]:
        """Return validation batches in a fixed order, always with the same negatives."""
        return self._loader(self._valid, None)

    def _sampler(self, requests: Integers, seed: int | None) -> RequestSampler:
        trainer = self.trainer
        lengths = np.minimum(self.encoder.dataset.history_lengths(requests), self.encoder.max_length)
        batches = WindowSampler(
            lengths,
            self._batch_size,
            seed=seed,
            rank=trainer.global_rank if trainer else 0,
            num_ranks=trainer.world_size if trainer else 1,
        )
        return RequestSampler(batches)

    def _loader(self, requests: Integers, seed: int | None) -> DataLoader[ImpressionBatch]:
        sampler = self._sampler(requests, seed)
        sampler.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        dataset = _RequestDataset(self.encoder, requests, redraws=seed is not None)
        return DataLoader(dataset, batch_size=None, sampler=sampler)


def impression_batches(
    encoder: ImpressionEncoder, split: Split, batch_size: int
) -> Iterator[tuple[ImpressionRows, ImpressionBatch]]:
    """Yield the requests of a part of the split in order of their students, with their rows and their batch.

    Parameters
    ----------
    encoder
        Dataset and feature map.
    split
        Part to take.
    batch_size
        Requests a batch.
    """
    requests = encoder.dataset.requests(split)
    for start in range(0, len(requests), batch_size):
        chosen = requests[start : start + batch_size]
        rows = encoder.draw(chosen)
        yield rows, encoder.encode_rows(chosen, rows)


def _ranges(starts: Integers, lengths: Integers) -> Integers:
    """Return the numbers ``start, start + 1, …`` of each range, one range after the other."""
    ends = np.cumsum(lengths)
    places: Integers = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    return places
