# SPDX-License-Identifier: Apache-2.0
"""Noise schedules chosen from the data: each step should take away as much structure as any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.diffusion.nonstationarity import autocorrelation_time
from models.diffusion.schedules import (
    NoiseSchedule,
    alpha_bar_of,
    betas_of,
    cosine_betas,
    linear_betas,
    sigmoid_betas,
)

# Signal left by the first and the last step of a schedule made for the data: those of the linear one.
FIRST_ALPHA_BAR = 1 - 1e-4
LAST_ALPHA_BAR = 0.0056
# Levels between which the curve of a schedule made for the data is interpolated.
NUM_LEVELS = 400


@dataclass(frozen=True, slots=True, eq=False)
class ScheduleScore:
    """How well a schedule fits the data; less is better.

    Attributes
    ----------
    name
        Name among the candidates.
    betas
        The schedule. Shape ``(num_steps,)``.
    times
        Integrated absolute autocorrelation time after each step. Shape ``(num_steps,)``.
    bend
        Mean distance of ``times``, scaled to [0, 1], from a straight fall; 0 to 1.
    rest
        Time after the last step as a share of that after the first.
    score
        ``bend`` · (1 + ``rest``) · (1 + 1 / number of steps).
    """

    name: str
    betas: Tensor
    times: Tensor
    bend: float
    rest: float
    score: float


def score_schedule(windows: Tensor, betas: Tensor, name: str = "") -> ScheduleScore:
    """Return how evenly a schedule takes the structure out of windows, and how much it leaves.

    Parameters
    ----------
    windows
        Training windows on the scale that the model sees, without gaps. Shape ``(num_windows, length)``.
    betas
        Noise variances. Shape ``(num_steps,)``.
    name
        What to call the schedule.

    Returns
    -------
    ScheduleScore
        ``bend`` is 0 where no step changes anything, since there is nothing to spread out.

    References
    ----------
    Lee, Lee and Park (2024), "ANT: adaptive noise schedule for time series diffusion models".
    """
    NoiseSchedule(betas)
    times = autocorrelation_time(windows, alpha_bar_of(betas))
    bend = distance_from_line(times)
    rest = float(times[-1] / times[0])
    return ScheduleScore(name, betas, times, bend, rest, bend * (1 + rest) * (1 + 1 / len(betas)))


def distance_from_line(curve: Tensor) -> float:
    """Return the area between a curve, scaled to [0, 1], and the straight line from 1 to 0.

    Shape of ``curve`` ``(num_steps,)``; 0 if it is constant.
    """
    width = curve.max() - curve.min()
    # Rounding is no structure: without this a constant curve would be blown up.
    if float(width) <= 1e-9 * float(curve.abs().max()):
        return 0.0
    line = torch.linspace(1, 0, len(curve), dtype=curve.dtype, device=curve.device)
    away = ((curve - curve.min()) / width - line).abs()
    return float(torch.trapezoid(away, dx=1 / (len(curve) - 1)))


def candidate_schedules(num_steps: Sequence[int] = (10, 20, 50, 75, 100)) -> dict[str, Tensor]:
    """Return linear, cosine and sigmoid schedules of several shapes for each number of steps.

    Linear ones add the same noise in all, whatever the number of steps. Names say kind, shape and steps, for
    example ``"cosine 0.5, 100 steps"``.
    """
    found: dict[str, Tensor] = {}
    for steps in num_steps:
        found[f"linear, {steps} steps"] = linear_betas(steps, last=min(0.1 * 100 / steps, 0.999))
        for power in (0.5, 1.0, 2.0):
            found[f"cosine {power}, {steps} steps"] = cosine_betas(steps, power=power)
        for width in (0.3, 0.5, 1.0):
            found[f"sigmoid {width}, {steps} steps"] = sigmoid_betas(steps, width=width)
    return found


def rank_schedules(windows: Tensor, candidates: Mapping[str, Tensor] | None = None) -> list[ScheduleScore]:
    """Return the scores of all candidates, best first; equal scores keep the order of the candidates.

    Parameters
    ----------
    windows
        Training windows on the scale that the model sees, without gaps; a thousand are plenty.
        Shape ``(num_windows, length)``.
    candidates
        Noise variances by name; those of :func:`candidate_schedules` where None.

    Raises
    ------
    ValueError
        If there is no candidate.
    """
    found = candidate_schedules() if candidates is None else candidates
    if not found:
        raise ValueError("there must be at least one candidate schedule.")
    scores = [score_schedule(windows, betas, name) for name, betas in found.items()]
    return sorted(scores, key=lambda score: score.score)


def choose_schedule(windows: Tensor, candidates: Mapping[str, Tensor] | None = None) -> ScheduleScore:
    """Return the candidate that fits the data best; arguments as in :func:`rank_schedules`."""
    return rank_schedules(windows, candidates)[0]


def straightened_betas(windows: Tensor, num_steps: int = 100) -> Tensor:
    """Return a schedule under which the autocorrelation time of the windows falls along a straight line.

    It starts and ends with as much signal as the linear schedule of 100 steps. Among candidates it has the
    least ``bend`` by construction, which says nothing of forecasts: compare it on validation.

    Parameters
    ----------
    windows
        Training windows on the scale that the model sees, without gaps. Shape ``(num_windows, length)``.
    num_steps
        Number of steps, at least 2.

    Returns
    -------
    Tensor
        Float64, shape ``(num_steps,)``.
    """
    if num_steps < 2:
        raise ValueError(f"num_steps must be at least 2; got {num_steps}.")
    # Even in log signal-to-noise: structure may vanish anywhere between almost clean and almost noise.
    ends = torch.tensor([FIRST_ALPHA_BAR, LAST_ALPHA_BAR], dtype=torch.float64).logit()
    share = torch.linspace(0, 1, NUM_LEVELS, dtype=torch.float64)
    logits = ends[0] + share * (ends[1] - ends[0])
    times = autocorrelation_time(windows, logits.sigmoid()).cpu()
    # A little fall everywhere, so that windows without structure give even steps in the logits.
    falling = times.flip(0).cummax(dim=0).values.flip(0)
    falling = falling - 1e-3 * share * (1 + falling[0] - falling[-1])
    line = torch.linspace(1, 0, num_steps, dtype=torch.float64)
    wanted = falling[-1] + line * (falling[0] - falling[-1])
    right = torch.searchsorted(-falling, -wanted).clamp(1, NUM_LEVELS - 1)
    left = right - 1
    place = ((falling[left] - wanted) / (falling[left] - falling[right])).clamp(0, 1)
    return betas_of((logits[left] + place * (logits[right] - logits[left])).sigmoid())
