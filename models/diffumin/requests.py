# SPDX-License-Identifier: Apache-2.0
"""Ragged requests as a few rectangles of like size, in which all of them are computed at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.batches import PADDING, ImpressionBatch

# Sequences of up to this length, and requests of up to so many rows, are padded to each other; larger ones to
# at most twice their own.
SHORT, FEW = 32, 4


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Some requests side by side: behaviors padded on the left, so that the latest stand at the end.

    Attributes
    ----------
    targets
        Vectors of the items to score. Shape ``(requests, asked, item_size)``.
    target_items
        Their fields, int64. Shape ``(requests, asked, num_fields)``.
    behaviors
        Vectors of the behaviors, 0 at padding. Shape ``(requests, length, item_size)``; the length is at
        least 1.
    behavior_items
        Their fields, int64. Shape ``(requests, length, num_fields)``.
    behavior_outcomes
        Their outcomes, int64. Shape ``(requests, length)``.
    mask
        True where a behavior exists. Shape ``(requests, length)``.
    """

    targets: Tensor
    target_items: Tensor
    behaviors: Tensor
    behavior_items: Tensor
    behavior_outcomes: Tensor
    mask: Tensor

    def latest(self, number: int) -> Requests:
        """Return the requests with the latest ``number`` behaviors only; all where it is 0."""
        if number == 0 or number >= self.mask.shape[1]:
            return self
        return Requests(
            self.targets,
            self.target_items,
            self.behaviors[:, -number:],
            self.behavior_items[:, -number:],
            self.behavior_outcomes[:, -number:],
            self.mask[:, -number:],
        )


def mean_behavior(requests: Requests) -> Tensor:
    """Return the mean of the behaviors of each request, 0 where there are none.

    Shape ``(requests, item_size)``.
    """
    number = requests.mask.sum(dim=1, keepdim=True).clamp(min=1)
    # Vectors at padding are 0: a plain sum leaves them out, and copies nothing.
    return requests.behaviors.sum(dim=1) / number


def padded_latest(behaviors: Tensor, mask: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Return the latest ``window`` behaviors and which exist, padded on the left.

    Shapes ``(requests, window, item_size)`` and ``(requests, window)``, whatever the length: an exported
    network must not ask which of the two is longer.
    """
    if not torch.compiler.is_exporting():
        behaviors, mask = behaviors[:, -window:], mask[:, -window:]  # what is padded is copied
    values = nn.functional.pad(behaviors, (0, 0, window, 0))[:, -window:]
    return values, nn.functional.pad(mask, (window, 0), value=False)[:, -window:]


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """Where the rows and behaviors of some requests stand in a batch.

    Attributes
    ----------
    rows
        Place of each row, any at padding. Shape ``(requests, asked)``.
    is_row
        True where there is a row. Shape ``(requests, asked)``.
    behaviors
        Place of each behavior, any at padding. Shape ``(requests, length)``.
    mask
        True where there is a behavior. Shape ``(requests, length)``.
    """

    rows: Tensor
    is_row: Tensor
    behaviors: Tensor
    mask: Tensor


def buckets(batch: ImpressionBatch) -> list[Bucket]:
    """Group the requests of a batch by number of behaviors and of rows, each to within a factor of two.

    Behaviors that are padding in all fields are left out; requests without a row are not asked for.
    """
    real = (batch.behavior_items != PADDING).any(dim=1)
    place = real.nonzero().squeeze(1)
    before = nn.functional.pad(real.cumsum(0), (1, 0))
    offsets = before[batch.behavior_offsets]
    starts, lengths = offsets[:-1], offsets.diff()
    counts = torch.bincount(batch.requests, minlength=len(batch.students))
    first_rows = counts.cumsum(0) - counts
    classes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for request, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
        if count:
            classes[_power(max(length, SHORT)), _power(max(count, FEW))].append(request)
    found = []
    for members in classes.values():
        chosen = torch.tensor(members, device=counts.device)
        rows, is_row = _ranges(first_rows[chosen], counts[chosen], is_left_padded=False)
        behaviors, mask = _ranges(starts[chosen], lengths[chosen], is_left_padded=True)
        # One more place stands for padding where there is no behavior at all.
        spare = nn.functional.pad(place, (0, 1)) if len(place) == 0 else place
        found.append(Bucket(rows, is_row, spare[behaviors], mask))
    return found


def rows_in_order(parts: list[Tensor], found: list[Bucket], num_rows: int) -> Tensor:
    """Return what was computed for each bucket, ``(requests, asked, size)``, as rows of the batch.

    Shape ``(num_rows, size)``.
    """
    places = torch.cat([bucket.rows[bucket.is_row] for bucket in found])
    order = torch.empty_like(places)
    order[places] = torch.arange(num_rows, device=places.device)
    values = torch.cat([part[bucket.is_row] for part, bucket in zip(parts, found, strict=True)])
    return values[order]


def _power(number: int) -> int:
    """Return the number of the power of two that is at least ``number``."""
    return (number - 1).bit_length()


def _ranges(starts: Tensor, lengths: Tensor, *, is_left_padded: bool) -> tuple[Tensor, Tensor]:
    """Return the places of ranges as a rectangle, and which of them are real."""
    longest = max(1, int(lengths.max()))
    column = torch.arange(longest, device=starts.device)
    step = column - (longest - lengths).unsqueeze(1) if is_left_padded else column.expand(len(starts), -1)
    is_real = (step >= 0) & (step < lengths.unsqueeze(1))
    return (starts.unsqueeze(1) + step).where(is_real, 0), is_real
