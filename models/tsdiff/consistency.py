# SPDX-License-Identifier: Apache-2.0
"""One step instead of many: a student that jumps where its teacher's flow leads."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from models.batches import WindowBatch
from models.diffusion import Euler
from models.tsdiff.conditional import ConditionalForecaster

# Errors above this, in units of the scale, count as distances and no longer as squares.
HUBER_WIDTH = 0.1


def consistency_loss(
    student: ConditionalForecaster,
    target: ConditionalForecaster,
    teacher: ConditionalForecaster,
    batch: WindowBatch,
    *,
    num_times: int = 16,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return how far the student's jump is from the jump one step further along the teacher's flow.

    At neighboring times :math:`s < t` of an even grid the teacher leads from :math:`x_t` to :math:`x_s`; the
    clean values that the student sees in :math:`x_t` should be those that the target, a slow average of the
    student, sees in :math:`x_s`. At time 0 a jump is no jump, which anchors them all.

    Parameters
    ----------
    student
        Network that learns.
    target
        Average of the student's weights; no gradient reaches it.
    teacher
        Trained flow; no gradient reaches it.
    batch
        Windows with their future.
    num_times
        Times of the grid, at least 1.
    generator
        Source of times and noise; torch's global state where None.

    Returns
    -------
    Tensor
        Mean over all observed values: the square of a small error, the distance of a large one.

    References
    ----------
    Song, Dhariwal, Chen and Sutskever (2023), "Consistency models", for distillation with an averaged target.
    """
    if num_times < 1:
        raise ValueError(f"num_times must be at least 1; got {num_times}.")
    check_flow(teacher)
    process = student.process
    told = student.told(batch)
    x0 = student.clean(batch, told)
    end = student.start(told, student.white_noise(batch, generator))
    device = end.device if generator is None else generator.device
    number = torch.randint(1, num_times + 1, (len(batch),), generator=generator, device=device).to(end.device)
    later, earlier = (number / num_times).to(end.dtype), ((number - 1) / num_times).to(end.dtype)
    x = process.add_noise(x0, later, end)
    with torch.no_grad():
        led = teacher.process.estimate(teacher.output(x, later, told, batch.observed), x, later)
        # The teacher's line through x: its two ends, mixed as at the cleaner time.
        there = process.add_noise(led.x0, earlier, led.noise)
        wanted = process.estimate(target.output(there, earlier, told, batch.observed), there, earlier).x0
    found = process.estimate(student.output(x, later, told, batch.observed), x, later).x0
    error = HUBER_WIDTH * (((found - wanted) / HUBER_WIDTH).square() + 1).sqrt() - HUBER_WIDTH
    counts = batch.observed.unsqueeze(-1)
    return torch.where(counts, error, torch.zeros_like(error)).sum() / counts.sum().clamp(min=1)


@torch.no_grad()
def distance_to_teacher(
    student: ConditionalForecaster,
    teacher: ConditionalForecaster,
    batch: WindowBatch,
    noise: Tensor,
    *,
    num_steps: int = 16,
) -> Tensor:
    """Return how far the student's one step ends from many steps of its teacher, from the same noise.

    Parameters
    ----------
    student, teacher
        Forecasters of one configuration, in evaluation.
    batch
        Windows; their future is not read.
    noise
        White noise. Shape ``(batch, length, 1)``.
    num_steps
        Steps of the teacher.

    Returns
    -------
    Tensor
        Mean squared distance of the future, scaled. Shape ``(batch,)``.
    """
    told = student.told(batch)
    start = student.start(told, noise)
    ends = [
        Euler().sample(partial(model.denoise, told=told), model.process, start, steps)
        for model, steps in ((student, 1), (teacher, num_steps))
    ]
    first = student.config.context_length
    return (ends[0] - ends[1])[:, first:, 0].square().mean(dim=1)


def check_flow(teacher: ConditionalForecaster) -> None:
    """Refuse a teacher whose steps are no flow."""
    if teacher.config.dynamics != "flow":
        raise ValueError(f"only a flow can be distilled; got dynamics {teacher.config.dynamics!r}.")
