# SPDX-License-Identifier: Apache-2.0
"""Batches of tensors: all that the data side and the networks share."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

PADDING = 0
UNKNOWN = 1
FIRST_KNOWN = 2


@dataclass(frozen=True, slots=True, eq=False)
class InteractionBatch:
    """Answer histories of several students, right-padded to a common length.

    ``elapsed`` of a step becomes known with its answer, so a prediction at that step may not read it;
    ``lag`` is known when the item is shown, so it may.

    Attributes
    ----------
    items
        Asked items, int64; 0 is padding, 1 an item unseen in training. Shape ``(batch, length)``.
    kcs
        KCs of each item, int64, right-padded with 0; 1 is an unseen KC. Shape ``(batch, length, width)``.
    correct
        1 for right, 0 for wrong, float. Shape ``(batch, length)``.
    mask
        True where an answer exists. Shape ``(batch, length)``.
    elapsed
        Time spent on the item, logarithm of seconds, standardized; 0 if unknown. Shape ``(batch, length)``.
    lag
        Time from the previous answer to the showing of this item, logarithm of seconds, standardized;
        0 if unknown. Shape ``(batch, length)``.
    """

    items: Tensor
    kcs: Tensor
    correct: Tensor
    mask: Tensor
    elapsed: Tensor
    lag: Tensor

    def __post_init__(self) -> None:
        shape = self.items.shape
        if len(shape) != 2:
            raise ValueError(f"items must have shape (batch, length); got {tuple(shape)}.")
        for name in ("correct", "mask", "elapsed", "lag"):
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} must have the shape of items {tuple(shape)}; got {tuple(found)}.")
        if self.kcs.ndim != 3 or self.kcs.shape[:2] != shape:
            raise ValueError(f"kcs must have shape {tuple(shape)} and a width; got {tuple(self.kcs.shape)}.")
        if self.mask.dtype != torch.bool:
            raise ValueError(f"mask must be boolean; got {self.mask.dtype}.")

    def __len__(self) -> int:
        """Return the number of histories."""
        return int(self.items.shape[0])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> InteractionBatch:
        """Return the same batch on ``device``."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=non_blocking)
            for field in fields(self)
        }
        return InteractionBatch(**moved)

    def rows(self, index: Tensor | slice) -> InteractionBatch:
        """Return the histories that ``index`` selects, in its order."""
        return InteractionBatch(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class WindowBatch:
    """Windows of several series, one a row: a context and the steps to forecast, of one length in a batch.

    Where the context ends is known to the configuration of a model. At prediction the future is unobserved.
    Any step may be unobserved; whatever value stands there is never read.

    Attributes
    ----------
    target
        Values in their own unit, float. Shape ``(batch, length)``.
    observed
        True where the value is known. Shape ``(batch, length)``.
    lags
        Values of the same series some steps earlier, one lag a channel, float, in the unit of ``target``.
        Shape ``(batch, length, num_lags)``.
    lags_observed
        True where the earlier value is known. Shape ``(batch, length, num_lags)``.
    loc
        What is subtracted before a network sees a value, in the unit of ``target``. Shape ``(batch,)``.
    scale
        What it is then divided by, above 0, in the unit of ``target``. Shape ``(batch,)``.
    calendar
        What the calendar says of each step, float, known for the future too. Shape ``(batch, length,
        num_calendar)``; models that are told less read none of it.
    series
        Number of the series each window comes from, int64. Shape ``(batch,)``.
    """

    target: Tensor
    observed: Tensor
    lags: Tensor
    lags_observed: Tensor
    loc: Tensor
    scale: Tensor
    calendar: Tensor
    series: Tensor

    def __post_init__(self) -> None:
        shape = self.target.shape
        if len(shape) != 2:
            raise ValueError(f"target must have shape (batch, length); got {tuple(shape)}.")
        for name in ("lags", "calendar"):
            found = getattr(self, name).shape
            if len(found) != 3 or found[:2] != shape:
                raise ValueError(f"{name} must have shape {tuple(shape)} and channels; got {tuple(found)}.")
        expected: dict[str, tuple[int, ...]] = {"observed": shape, "lags_observed": self.lags.shape}
        expected |= dict.fromkeys(("loc", "scale", "series"), tuple(shape[:1]))
        for name, size in expected.items():
            found = getattr(self, name).shape
            if found != size:
                raise ValueError(f"{name} must have shape {tuple(size)}; got {tuple(found)}.")
        for name in ("observed", "lags_observed"):
            if getattr(self, name).dtype != torch.bool:
                raise ValueError(f"{name} must be boolean; got {getattr(self, name).dtype}.")

    def __len__(self) -> int:
        """Return the number of windows."""
        return int(self.target.shape[0])

    def scaled(self) -> tuple[Tensor, Tensor]:
        """Return what a diffusion sees: target and lags, centered, divided by the scale, 0 where unobserved.

        Returns
        -------
        tuple
            Values and which of them are observed; channel 0 is the target, the others are the lags.
            Shape ``(batch, length, 1 + num_lags)`` each.
        """
        values = torch.cat([self.target.unsqueeze(-1), self.lags], dim=-1)
        observed = torch.cat([self.observed.unsqueeze(-1), self.lags_observed], dim=-1)
        values = (values - self.loc.view(-1, 1, 1)) / self.scale.view(-1, 1, 1)
        return values.masked_fill(~observed, 0.0), observed

    def unscale(self, values: Tensor) -> Tensor:
        """Return scaled paths in the unit of ``target``. Shape ``(batch, num_samples, any length)``."""
        return values * self.scale.view(-1, 1, 1) + self.loc.view(-1, 1, 1)

    def repeat(self, times: int) -> WindowBatch:
        """Return each window ``times`` times in a row, all copies of one beside each other."""
        return self.rows(torch.arange(len(self), device=self.target.device).repeat_interleave(times))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> WindowBatch:
        """Return the same batch on ``device``."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=non_blocking)
            for field in fields(self)
        }
        return WindowBatch(**moved)

    def rows(self, index: Tensor | slice) -> WindowBatch:
        """Return the windows that ``index`` selects, in its order."""
        return WindowBatch(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class ImpressionBatch:
    """Target items to score for students, with what each student did before; ragged, never padded.

    A request is one student at one time: its target items share one behavior sequence, which ends strictly
    before that time. Rows of one request stand beside each other, in the order of requests.

    Attributes
    ----------
    target_items
        Fields of the item to score (the item itself, its KC, its part, ...), each a row of its own
        vocabulary, int64; 0 is padding, 1 unseen in training. Shape ``(num_rows, num_fields)``.
    clicked
        1 where the item was taken up, else 0, float. Shape ``(num_rows,)``.
    context
        Numbers about the impression that belong to neither item nor behaviors, standardized, float.
        Shape ``(num_rows, num_context)``.
    requests
        Request of each row, int64, never falling. Shape ``(num_rows,)``.
    students
        Number of the student of each request, int64; equal numbers are one student. Shape
        ``(num_requests,)``.
    behavior_items
        The same fields of every behavior, all sequences one after the other, oldest first, int64.
        Shape ``(num_behaviors, num_fields)``.
    behavior_outcomes
        What came of each behavior (right, wrong, finished, ...), int64; 0 is unknown. Shape
        ``(num_behaviors,)``.
    behavior_offsets
        Where the sequence of each request begins, and the end of the last, int64. Shape
        ``(num_requests + 1,)``.
    """

    target_items: Tensor
    clicked: Tensor
    context: Tensor
    requests: Tensor
    students: Tensor
    behavior_items: Tensor
    behavior_outcomes: Tensor
    behavior_offsets: Tensor

    def __post_init__(self) -> None:
        for name in ("target_items", "behavior_items", "context"):
            if getattr(self, name).ndim != 2:
                raise ValueError(f"{name} must have two axes; got {tuple(getattr(self, name).shape)}.")
        if self.target_items.shape[1] != self.behavior_items.shape[1]:
            raise ValueError(
                f"target and behaviors must have equal fields; got {self.target_items.shape[1]} and "
                f"{self.behavior_items.shape[1]}."
            )
        num_rows, num_requests = len(self.target_items), len(self.students)
        expected = {
            "clicked": (num_rows,),
            "requests": (num_rows,),
            "behavior_outcomes": (len(self.behavior_items),),
            "behavior_offsets": (num_requests + 1,),
        }
        for name, size in expected.items():
            found = tuple(getattr(self, name).shape)
            if found != size:
                raise ValueError(f"{name} must have shape {size}; got {found}.")
        if len(self.context) != num_rows:
            raise ValueError(f"context must have {num_rows} rows; got {len(self.context)}.")

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.target_items.shape[0])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> ImpressionBatch:
        """Return the same batch on ``device``."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=non_blocking)
            for field in fields(self)
        }
        return ImpressionBatch(**moved)
