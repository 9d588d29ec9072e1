# SPDX-License-Identifier: Apache-2.0
"""Simple forecasts that a diffusion model may start from: it then learns what they miss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from models.tsdiff.config import ConditionalConfig

# Smallest spread in units of the scale, so that a constant past leaves something to learn from.
SMALLEST_SPREAD = 0.02
# Smallest typical error of a guess, likewise: what is measured in its unit must not blow up where a context
# happens to repeat itself; and its smallest growth.
SMALLEST_ERROR = 0.1
SMALLEST_GROWTH = 0.05
# Weight of the squared coefficients of a linear guess, in units of one window.
PENALTY = 1.0
# Nine of ten draws of a standard normal law are no further from 0.
NINE_TENTHS = 1.6448536

# Scaled values, which are observed, lags, and which of these are usable.
FitWindows = tuple[Tensor, Tensor, Tensor, Tensor]


class SeasonalNaiveGuess(nn.Module):
    """What was seen a season ago.

    Steps of the first season, which have nothing before them, are guessed by the level of the window.

    Parameters
    ----------
    season
        Steps of a season; 1 repeats the last value.
    context_length, prediction_length
        Steps of the context and of the future.
    """

    growth: Tensor

    def __init__(self, season: int, context_length: int, prediction_length: int) -> None:
        super().__init__()
        self.season = season
        self.context_length = context_length
        # Error at each step ahead, in units of that of a season ago within the context.
        self.register_buffer("growth", torch.ones(prediction_length))

    def forward(self, past: Tensor, known: Tensor, lags: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Return the guess at each step, and how far off it is to be expected.

        Within the context that is the typical error of a season ago, at least ``SMALLEST_ERROR``; in the
        future it grows or shrinks as :meth:`fit` found for each step ahead.

        Shapes: ``past`` and ``known`` ``(batch, length)``, ``lags`` and ``usable`` ``(batch, length,
        num_lags)``; what is unknown is not read. Returns ``(batch, length)`` twice.
        """
        naive, _ = repeated(past, known, self.season)
        error = typical_error(past, known, naive, self.season).clamp(min=SMALLEST_ERROR)
        first = self.context_length
        guess = torch.cat([naive[:, :first], self.future(past, known, lags, usable, naive)], dim=1)
        return guess, torch.cat([error.expand(-1, first), error * self.growth.to(past)], dim=1)

    def future(self, past: Tensor, known: Tensor, lags: Tensor, usable: Tensor, naive: Tensor) -> Tensor:
        """Return the guess of the future; ``naive`` is what was seen a season ago, at all steps.

        Shape ``(batch, prediction_length)``.
        """
        del past, known, lags, usable
        return naive[:, self.context_length :]

    @torch.no_grad()
    def fit(self, windows: Callable[[], Iterable[FitWindows]]) -> None:
        """Learn how far off the guess is at each step ahead.

        Nine of ten errors of training windows, each in its window's unit, come to lie where nine of ten draws
        of a standard normal law do. Unlike a mean square this does not follow a few windows far off.

        Parameters
        ----------
        windows
            Yields the same windows at each call: scaled values and which are observed, ``(batch, length)``
            each, future included; lags and which are usable, ``(batch, length, num_lags)``. Windows with a
            gap in their future are passed over.

        Raises
        ------
        ValueError
            If no window has a whole future.
        """
        self.growth.fill_(1.0)
        first = self.context_length
        errors = []
        for values, known, lags, usable in self._whole(windows):
            guess, unit = self(values, known, lags, usable)
            errors.append(((values - guess).abs() / unit)[:, first:].cpu())
        if not errors:
            raise ValueError("no window has a future without gaps.")
        growth = torch.cat(errors).quantile(0.9, dim=0) / NINE_TENTHS
        self.growth.copy_(growth.clamp(min=SMALLEST_GROWTH))

    def _whole(self, windows: Callable[[], Iterable[FitWindows]]) -> Iterator[FitWindows]:
        """Yield windows with a whole future, and which of their values are known before it."""
        for values, observed, lags, usable in windows():
            whole = observed[:, self.context_length :].all(1)
            if whole.any():
                known = observed[whole]
                known[:, self.context_length :] = False
                yield values[whole], known, lags[whole], usable[whole]


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
        super().__init__(season, context_length, prediction_length)
        # One set of coefficients a step of the future: context, lags, intercept.
        size = context_length + num_lags + 1
        self.register_buffer("weight", torch.zeros(prediction_length, size))

    def future(self, past: Tensor, known: Tensor, lags: Tensor, usable: Tensor, naive: Tensor) -> Tensor:
        """Return what the map makes of the window; see the base class."""
        level, _ = level_and_spread(past, known)
        inputs = self._inputs(past, known, lags, usable, naive, level)
        return level + torch.einsum("bhi,hi->bh", inputs, self.weight.to(past))

    @torch.no_grad()
    def fit(self, windows: Callable[[], Iterable[FitWindows]], *, penalty: float = PENALTY) -> None:
        """Fit the map by least squares with a penalty on squared coefficients, then measure its errors.

        Parameters
        ----------
        windows
            See the base class.
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
        for values, known, lags, usable in self._whole(windows):
            past = values.double()
            naive, _ = repeated(past, known, self.season)
            level, _ = level_and_spread(past, known)
            inputs = self._inputs(past, known, lags.double(), usable, naive, level).cpu()
            future = (past[:, self.context_length :] - level).cpu()
            each = inputs.transpose(0, 1)  # (horizon, batch, size)
            gram += each.transpose(1, 2) @ each
            moment += torch.einsum("hbi,bh->hi", each, future)
        if gram[0, -1, -1] == 0:
            raise ValueError("no window has a future without gaps.")
        weights = torch.full((size,), penalty, dtype=torch.float64)
        weights[-1] = 0.0
        self.weight.copy_(torch.linalg.solve(gram + torch.diag(weights), moment))
        super().fit(windows)

    def _inputs(
        self, past: Tensor, known: Tensor, lags: Tensor, usable: Tensor, naive: Tensor, level: Tensor
    ) -> Tensor:
        """Return what the map reads, measured from the level. Shape ``(batch, prediction_length, size)``."""
        first, horizon = self.context_length, len(self.weight)
        context = torch.where(known[:, :first], past[:, :first], naive[:, :first]) - level
        there = torch.where(usable[:, first:], lags[:, first:], naive[:, first:].unsqueeze(-1))
        context = context.unsqueeze(1).expand(-1, horizon, -1)
        ones = torch.ones_like(context[..., :1])
        return torch.cat([context, there - level.unsqueeze(-1), ones], dim=-1)


def build_guess(config: ConditionalConfig) -> SeasonalNaiveGuess | None:
    """Return what ``config`` measures values from; None for the plain scale."""
    lengths = config.season, config.context_length, config.prediction_length
    if config.center == "seasonal_naive":
        return SeasonalNaiveGuess(*lengths)
    return LinearGuess(*lengths, config.num_lags) if config.center == "linear" else None


def repeated(past: Tensor, known: Tensor, season: int) -> tuple[Tensor, Tensor]:
    """Return the latest known value a whole number of seasons before each step, and that number.

    Steps of the first season are guessed by the level of the window. Shape ``(batch, length)`` each.
    """
    level, _ = level_and_spread(past, known)
    guess = level.expand_as(past).contiguous()
    seasons = torch.ones_like(past)
    best = torch.where(known, past, guess)
    age = torch.zeros_like(past).masked_fill(~known, 1.0)
    for first in range(season, past.shape[1], season):
        here = slice(first, first + season)
        width = guess[:, here].shape[1]
        before = slice(first - season, first - season + width)
        guess[:, here] = best[:, before]
        seasons[:, here] = age[:, before] + 1
        best[:, here] = torch.where(known[:, here], past[:, here], guess[:, here])
        age[:, here] = torch.where(known[:, here], torch.zeros_like(age[:, here]), seasons[:, here])
    return guess, seasons


def typical_error(past: Tensor, known: Tensor, guess: Tensor, season: int) -> Tensor:
    """Return the root mean square error of ``guess`` over the known steps that have a season before them.

    Where there is none, how much the known values move. Shape ``(batch, 1)``.
    """
    judged = known & (torch.arange(past.shape[1], device=past.device) >= season)
    error = (past - guess).masked_fill(~judged, 0.0)
    typical = (error.square().sum(1, keepdim=True) / judged.sum(1, keepdim=True).clamp(min=1)).sqrt()
    _, spread = level_and_spread(past, known)
    return torch.where(judged.any(1, keepdim=True), typical, spread).clamp(min=SMALLEST_SPREAD)


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
