# SPDX-License-Identifier: Apache-2.0
"""Where a flow begins: white noise, or paths that already look like the window's past."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from models.tsdiff.config import ConditionalConfig
from models.tsdiff.guesses import level_and_spread, repeated, typical_error

# Share of a process's variance that is white: it keeps matrices invertible and known values a little open.
NUGGET = 0.01


class Prior(nn.Module, ABC):
    """The noisy end of a flow, given the known values of a window.

    Whatever stands at unknown values is never read, and known ones are those of the context only. All draws
    are made of white noise that the caller brings, so that equal noise gives equal draws.
    """

    @abstractmethod
    def mean(self, past: Tensor, known: Tensor) -> Tensor:
        """Return the center of the prior. Shape ``(batch, length)``; ``known`` is boolean."""

    @abstractmethod
    def draw(self, past: Tensor, known: Tensor, noise: Tensor) -> Tensor:
        """Return a draw made of white ``noise``. Shape ``(batch, length)`` each."""


class WhitePrior(Prior):
    """Standard normal values that know nothing of the past."""

    def mean(self, past: Tensor, known: Tensor) -> Tensor:
        """Return zeros."""
        del known
        return torch.zeros_like(past)

    def draw(self, past: Tensor, known: Tensor, noise: Tensor) -> Tensor:
        """Return the noise."""
        del past, known
        return noise


class GaussianProcessPrior(Prior):
    """A stationary Gaussian process, given the known values of the window.

    Mean and variance are those of the known values. Known steps are drawn close to their values, the future
    leaves them as the kernel lets it, with the right spread and correlation.

    Parameters
    ----------
    kernel
        Correlation at a distance in steps, float64 in and out; 1 at 0.

    References
    ----------
    Kollovieh, Lienen, Luedke, Schwinn and Guennemann (2025), "Flow matching with Gaussian process priors for
    probabilistic time series forecasting", for the idea.
    """

    def __init__(self, kernel: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.kernel = kernel
        # Windows mostly share one pattern of known steps, batch after batch.
        self._latest: tuple[Tensor, Tensor, Tensor] | None = None

    def mean(self, past: Tensor, known: Tensor) -> Tensor:
        """Return the mean given the known values. Shape ``(batch, length)``."""
        return self._draw(past, known, None)

    def draw(self, past: Tensor, known: Tensor, noise: Tensor) -> Tensor:
        """Return a path given the known values. Shape ``(batch, length)``."""
        return self._draw(past, known, noise)

    def _draw(self, past: Tensor, known: Tensor, noise: Tensor | None) -> Tensor:
        center, spread = level_and_spread(past, known)
        centered = (past - center).masked_fill(~known, 0.0)
        result = torch.empty_like(past)
        patterns, pattern_of = torch.unique(known, dim=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            rows = pattern_of == number
            weights, factor = self._given(pattern, past)
            path = centered[rows] @ weights.T
            if noise is not None:
                path = path + spread[rows] * (noise[rows] @ factor.T)
            result[rows] = path
        return center + result

    def _given(self, known: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights of the known values and the factor of what they leave open, ``(length, length)``."""
        if self._latest is not None:
            pattern, weights, factor = self._latest
            if weights.device == like.device and weights.dtype == like.dtype and torch.equal(pattern, known):
                return weights, factor
        weights, factor = (values.to(like) for values in self._regress(known))
        self._latest = (known, weights, factor)
        return weights, factor

    def _regress(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """Regress all steps on the known ones, in double precision."""
        place = torch.arange(len(known), device=known.device, dtype=torch.float64)
        correlation = self.kernel((place.unsqueeze(1) - place).abs())
        one = torch.eye(len(known), device=known.device, dtype=torch.float64)
        with_known = correlation * known
        among_known = torch.where(known.unsqueeze(1) & known, correlation + NUGGET * one, one)
        weights = torch.linalg.solve(among_known, with_known.T).T
        open_ = correlation - weights @ with_known.T + NUGGET * one
        return weights, torch.linalg.cholesky((open_ + open_.T) / 2)


class SeasonalNaivePrior(Prior):
    """Paths around what was seen a season ago, as far off as that was in the context.

    The spread grows with the square root of the number of seasons that lie between. Steps of the first
    season, which have nothing before them, are drawn around the level of the window.

    Parameters
    ----------
    season
        Steps of a season; 1 repeats the last value.
    """

    def __init__(self, season: int) -> None:
        super().__init__()
        self.season = season

    def mean(self, past: Tensor, known: Tensor) -> Tensor:
        """Return what was seen a season ago. Shape ``(batch, length)``."""
        return repeated(past, known, self.season)[0]

    def draw(self, past: Tensor, known: Tensor, noise: Tensor) -> Tensor:
        """Return a path around what was seen a season ago. Shape ``(batch, length)``."""
        mean, seasons = repeated(past, known, self.season)
        return mean + typical_error(past, known, mean, self.season) * seasons.sqrt() * noise


def build_prior(config: ConditionalConfig) -> Prior:
    """Return the prior that ``config`` names."""
    length, season = config.prior_length, config.season
    if config.prior == "ornstein_uhlenbeck":
        return GaussianProcessPrior(partial(ornstein_uhlenbeck, length=length))
    if config.prior == "squared_exponential":
        return GaussianProcessPrior(partial(squared_exponential, length=length))
    if config.prior == "periodic":
        return GaussianProcessPrior(partial(periodic, season=season, length=length))
    if config.prior == "seasonal_naive":
        return SeasonalNaivePrior(season)
    return WhitePrior()


def ornstein_uhlenbeck(distance: Tensor, *, length: float) -> Tensor:
    """Return the correlation of a process that forgets at a constant rate. Shape of ``distance``."""
    return torch.exp(-distance / length)


def squared_exponential(distance: Tensor, *, length: float) -> Tensor:
    """Return the correlation of a smooth process. Shape of ``distance``."""
    return torch.exp(-0.5 * (distance / length).square())


def periodic(distance: Tensor, *, season: int, length: float) -> Tensor:
    """Return a correlation that comes back each season, weaker over ``length`` of them.

    Shape of ``distance``, in steps.
    """
    wave = torch.sin(math.pi * distance / season)
    return torch.exp(-2 * wave.square() - distance / (length * season))
