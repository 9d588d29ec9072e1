# SPDX-License-Identifier: Apache-2.0
"""Simple forecasts that a diffusion model may start from: it then learns what they miss."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.tsdiff.config import ConditionalConfig

# Smallest spread in units of the scale, so that a constant past leaves something to learn from.
SMALLEST_SPREAD = 0.02
# Weight of the squared coefficients of a linear guess, in units of one window.
PENALTY = 1.0


class SeasonalNaiveGuess(nn.Module):
    """What was seen a season ago.

    Steps of the first season, which have nothing before them, are guessed by the level of the window.

    Parameters
    ----------
    season
        Steps of a season; 1 repeats the last value.
    """

    def __init__(self, season: int) -> None:
        super().__init__()
        self.season = season

    def forward(self, past: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return the guess at each step, and its typical error.

        The error is the root mean square over the known steps that have a season before them; where there
        is none, how much the known values move. At least ``SMALLEST_SPREAD``.

        Shapes: ``past`` and ``known`` ``(batch, length)``; what is unknown is not read. Returns
        ``(batch, length)`` and ``(batch, 1)``.
        """
        guess, _ = self.repeated(past, known)
        return guess, self.typical_error(past, known, guess)

    def typical_error(self, past: Tensor, known: Tensor, guess: Tensor) -> Tensor:
        """Return the root mean square error of ``guess`` where it can be judged. Shape ``(batch, 1)``."""
        judged = known & (torch.arange(past.shape[1], device=past.device) >= self.season)
        error = (past - guess).masked_fill(~judged, 0.0)
        typical = (error.square().sum(1, keepdim=True) / judged.sum(1, keepdim=True).clamp(min=1)).sqrt()
        _, spread = level_and_spread(past, known)
        # Nothing to judge by: the past moves as much as it moves.
        return torch.where(judged.any(1, keepdim=True), typical, spread).clamp(min=SMALLEST_SPREAD)

    def repeated(self, past: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return the guess at each step and the number of seasons it looks back."""
        level, _ = level_and_spread(past, known)
        guess = level.expand_as(past).contiguous()
        seasons = torch.ones_like(past)
        best = torch.where(known, past, guess)
        age = torch.zeros_like(past).masked_fill(~known, 1.0)
        for first in range(self.season, past.shape[1], self.season):
            here = slice(first, first + self.season)
            width = guess[:, here].shape[1]
            before = slice(first - self.season, first - self.season + width)
            guess[:, here] = best[:, before]
            seasons[:, here] = age[:, before] + 1
            best[:, here] = torch.where(known[:, here], past[:, here], guess[:, here])
            age[:, here] = torch.where(known[:, here], torch.zeros_like(age[:, here]), seasons[:, here])
        return guess, seasons


class LinearGuess(SeasonalNaiveGuess):
    """A linear map from the context to the future, fitted once before the network is trained.

    Both are measured from the level of the known values, so a window that is moved up moves its guess. Until
    :meth:`fit` is called the future is guessed by that level. Steps of the context are guessed as a season
    before, and so is what is unknown there.

    Parameters
    ----------
    season
        Steps of a season.
    context_length, prediction_length
        Steps of the context and of the future.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, season: int, context_length: int, prediction_length: int) -> None:
        super().__init__(season)
        self.context_length = context_length
        self.register_buffer("weight", torch.zeros(context_length, prediction_length))
        self.register_buffer("bias", torch.zeros(prediction_length))

    def forward(self, past: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return the guess at each step, and the typical error of a season ago; see the base class."""
        guess, _ = self.repeated(past, known)
        typical = self.typical_error(past, known, guess)
        level, _ = level_and_spread(past, known)
        future = level + self._inputs(past, known, guess) @ self.weight.to(past) + self.bias.to(past)
        return torch.cat([guess[:, : self.context_length], future], dim=1), typical

    @torch.no_grad()
    def fit(self, windows: Iterable[tuple[Tensor, Tensor]], *, penalty: float = PENALTY) -> None:
        """Fit the map by least squares with a penalty on squared coefficients.

        Parameters
        ----------
        windows
            Scaled values and which are known, ``(batch, length)`` each, future included. Windows with a gap
            in their future are passed over.
        penalty
            Above 0.

        Raises
        ------
        ValueError
            If no window has a whole future.
        """
        size, horizon = self.weight.shape
        products = torch.zeros(size + 1, size + 1 + horizon, dtype=torch.float64)
        for raw, is_observed in windows:
            values, observed = raw.double().cpu(), is_observed.cpu()
            known = observed.clone()
            known[:, size:] = False
            guess, _ = self.repeated(values, known)
            level, _ = level_and_spread(values, known)
            inputs = self._inputs(values, known, guess)
            whole = observed[:, size:].all(1)
            left = torch.cat([inputs, torch.ones_like(level)], dim=1)[whole]
            right = torch.cat([left, (values[:, size:] - level)[whole]], dim=1)
            products += left.T @ right
        count = products[size, size].item()
        if count == 0:
            raise ValueError("no window has a future without gaps.")
        gram = products[:, : size + 1]
        gram[:size, :size] += penalty * torch.eye(size, dtype=torch.float64)
        found = torch.linalg.solve(gram, products[:, size + 1 :])
        self.weight.copy_(found[:size])
        self.bias.copy_(found[size])

    def _inputs(self, past: Tensor, known: Tensor, guess: Tensor) -> Tensor:
        """Return the context measured from its level, guessed where unknown."""
        here = slice(0, self.context_length)
        level, _ = level_and_spread(past, known)
        return torch.where(known[:, here], past[:, here], guess[:, here]) - level


def build_guess(config: ConditionalConfig) -> SeasonalNaiveGuess | None:
    """Return what ``config`` measures values from; None for the plain scale."""
    if config.center == "seasonal_naive":
        return SeasonalNaiveGuess(config.season)
    if config.center == "linear":
        return LinearGuess(config.season, config.context_length, config.prediction_length)
    return None


def level_and_spread(past: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the known values, at least ``SMALLEST_SPREAD``.

    Shape ``(batch, 1)`` each; 0 and 1 where nothing is known.
    """
    count = known.sum(1, keepdim=True)
    total = past.masked_fill(~known, 0.0).sum(1, keepdim=True)
    level = total / count.clamp(min=1)
    off = (past - level).masked_fill(~known, 0.0)
    spread = (off.square().sum(1, keepdim=True) / count.clamp(min=1)).sqrt().clamp(min=SMALLEST_SPREAD)
    return level, torch.where(count > 0, spread, torch.ones_like(spread))
