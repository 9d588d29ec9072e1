"""Windows over long histories, and the order in which they are visited."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Windows = NDArray[np.int64]

# Batches among which windows of like length are sought: enough to save padding, few enough for chance.
BUCKET_BATCHES = 16


def cut_windows(offsets: Integers, students: Integers, *, length: int, overlap: int = 0) -> Windows:
    """Cut histories into windows of at most ``length`` steps; each step is scored in exactly one.

    A window that follows another begins with ``overlap`` steps of history that are seen and not scored,
    so that in evaluation no late step of a long history is judged without context.

    Parameters
    ----------
    offsets
        Start of each student's steps in the flat columns, and their end at last.
        Shape ``(num_students + 1,)``.
    students
        Rows of ``offsets`` to cut.
    length
        Most steps a window holds, at least 1.
    overlap
        Steps repeated as history, from 0 to ``length - 1``.

    Returns
    -------
    Windows
        Columns: first step, first scored step, end. Shape ``(num_windows, 3)``.
    """
    if not 0 <= overlap < length:
        raise ValueError(f"overlap must lie in 0 to {length - 1}; got {overlap}.")
    starts, ends = offsets[students], offsets[students + 1]
    lengths = ends - starts
    stride = length - overlap
    counts = np.where(lengths > 0, 1 + np.maximum(0, -(-(lengths - length) // stride)), 0)
    owner = np.repeat(np.arange(len(students)), counts)
    # 0, 1, 2, … within each student
    order = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = starts[owner] + order * stride
    end = np.minimum(first + length, ends[owner])
    scored = np.where(order == 0, first, first + overlap)
    return np.stack([first, scored, end], axis=1).astype(np.int64).reshape(-1, 3)


class WindowSampler:
    """Visit all windows in batches of like length, in an order given by seed and epoch alone.

    The order does not depend on what was visited before, so a training run that goes on in epoch ``e`` sees
    the batches that an unbroken one would.

    Parameters
    ----------
    lengths
        Steps of each window.
    batch_size
        Windows a batch, at least 1.
    seed
        Seed of the order; None keeps one fixed order from short to long.
    rank, num_ranks
        Which of how many processes this is: each takes every ``num_ranks``-th batch, and the last batches
        are repeated so that all take equally many.
    """

    def __init__(
        self, lengths: Integers, batch_size: int, *, seed: int | None, rank: int = 0, num_ranks: int = 1
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._num_ranks = num_ranks
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Epoch whose order is visited."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of ``epoch``."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches that this process visits."""
        batches = math.ceil(len(self._lengths) / self._batch_size)
        return math.ceil(batches / self._num_ranks)

    def __iter__(self) -> Iterator[Integers]:
        """Yield the window numbers of each batch."""
        batches = list(self._fixed() if self._seed is None else self._shuffled(self._seed))
        missing = -len(batches) % self._num_ranks
        if missing:
            batches += [batches[index % len(batches)] for index in range(missing)]
        yield from batches[self._rank :: self._num_ranks]

    def _fixed(self) -> Iterator[Integers]:
        order = np.argsort(self._lengths, kind="stable")
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]

    def _shuffled(self, seed: int) -> Iterator[Integers]:
        generator = np.random.default_rng([seed, self._epoch])
        order = generator.permutation(len(self._lengths))
        batches = []
        for start in range(0, len(order), self._batch_size * BUCKET_BATCHES):
            bucket = order[start : start + self._batch_size * BUCKET_BATCHES]
            bucket = bucket[np.argsort(self._lengths[bucket], kind="stable")]
            batches += [bucket[at : at + self._batch_size] for at in range(0, len(bucket), self._batch_size)]
        for index in generator.permutation(len(batches)):
            yield batches[index]
