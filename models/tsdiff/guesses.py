# SPDX-License-Identifier: Apache-2.0
"""Simple forecasts that a diffusion model may start from: it then learns what they miss."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.tsdiff.config import ConditionalConfig

# Smallest spread in units of the scale, so that a constant past leaves something to learn from.
SMALLEST_SPREAD = 0.02
# Smallest typical error of a guess, likewise: what is measured in its unit must not blow up where a context
# happens to repeat itself.
SMALLEST_ERROR = 0.1
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

    def forward(self, past: Tensor, known: Tensor, lags: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Return the guess at each step, and its typical error, at least ``SMALLEST_ERROR``.

        The error is the root mean square over the known steps that have a season before them; where there
        is none, how much the known values move.

        Shapes: ``past`` and ``known`` ``(batch, length)``, ``lags`` and ``usable`` ``(batch, length,
        num_lags)``; what is unknown is not read. Returns ``(batch, length)`` and ``(batch, 1)``.
        """
        del lags, usable
        guess, _ = self.repeated(past, known)
        return guess, self.typical_error(past, known, guess).clamp(min=SMALLEST_ERROR)

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
    """A linear map from the context, and from the lags of each step, to the future; fitted before training.

    All is measured from the level of the known values, so a window that is moved up moves its guess. Until
    :meth:`fit` is called the future is guessed by that level. Steps of the context are guessed as a season
    before; so are unknown ones there, and lags that are unknown.

    Parameters
    ----------
    season
        Steps of a season.
    context_length, prediction_length
        Steps of the context and of the future.
    num_lags
        Lag channels.
    """

    weight: Tensor

    def __init__(self, season: int, context_length: int, prediction_length: int, num_lags: int) -> None:
        super().__init__(season)
        self.context_length = context_length
        # One set of coefficients a step of the future: context, lags, intercept.
        size = context_length + num_lags + 1
        self.register_buffer("weight", torch.zeros(prediction_length, size))

    def forward(self, past: Tensor, known: Tensor, lags: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Return the guess at each step, and the typical error of a season ago; see the base class."""
        guess, _ = self.repeated(past, known)
        level, _ = level_and_spread(past, known)
        inputs = self._inputs(past, known, lags, usable)
        future = level + torch.einsum("bhi,hi->bh", inputs, self.weight.to(past))
        whole = torch.cat([guess[:, : self.context_length], future], dim=1)
        return whole, self.typical_error(past, known, guess).clamp(min=SMALLEST_ERROR)

    @torch.no_grad()
    def fit(
        self, windows: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]], *, penalty: float = PENALTY
    ) -> None:
        """Fit the map by least squares with a penalty on squared coefficients.

        Parameters
        ----------
        windows
            Scaled values and which are observed, ``(batch, length)`` each, future included; lags and which
            are usable, ``(batch, length, num_lags)``. Windows with a gap in their future are passed over.
        penalty
            Above 0; the intercept bears none.

        Raises
        ------
        ValueError
            If no window has a whole future.
        """
        horizon, size = self.weight.shape
        gram = torch.zeros(horizon, size, size, dtype=torch.float64)
        moment = torch.zeros(horizon, size, dtype=torch.float64)
        for values, observed, lags, usable in windows:
            whole = observed[:, self.context_length :].all(1)
            known = observed[whole]
            known[:, self.context_length :] = False
            past = values[whole].double()
            level, _ = level_and_spread(past, known)
            inputs = self._inputs(past, known, lags[whole].double(), usable[whole]).cpu()
            future = (past[:, self.context_length :] - level).cpu()
            each = inputs.transpose(0, 1)  # (horizon, batch, size)
            gram += each.transpose(1, 2) @ each
            moment += torch.einsum("hbi,bh->hi", each, future)
        if gram[0, -1, -1] == 0:
            raise ValueError("no window has a future without gaps.")
        weights = torch.full((size,), penalty, dtype=torch.float64)
        weights[-1] = 0.0
        self.weight.copy_(torch.linalg.solve(gram + torch.diag(weights), moment))

    def _inputs(self, past: Tensor, known: Tensor, lags: Tensor, usable: Tensor) -> Tensor:
        """Return what the map reads, measured from the level. Shape ``(batch, prediction_length, size)``."""
        guess, _ = self.repeated(past, known)
        level, _ = level_and_spread(past, known)
        first, horizon = self.context_length, len(self.weight)
        context = torch.where(known[:, :first], past[:, :first], guess[:, :first]) - level
        there = torch.where(usable[:, first:], lags[:, first:], guess[:, first:].unsqueeze(-1))
        context = context.unsqueeze(1).expand(-1, horizon, -1)
        ones = torch.ones_like(context[..., :1])
        return torch.cat([context, there - level.unsqueeze(-1), ones], dim=-1)


def build_guess(config: ConditionalConfig) -> SeasonalNaiveGuess | None:
    """Return what ``config`` measures values from; None for the plain scale."""
    if config.center == "seasonal_naive":
        return SeasonalNaiveGuess(config.season)
    if config.center == "linear":
        return LinearGuess(config.season, config.context_length, config.prediction_length, config.num_lags)
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
