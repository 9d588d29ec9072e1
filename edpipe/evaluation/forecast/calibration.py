"""Make the spread of forecasts right, from how they did on validation windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.forecasts import PERCENTS, Forecasts
from edpipe.evaluation.forecast.metrics import DECILES, pinball

Floats = NDArray[np.float64]
Criterion = Literal["coverage", "crps"]
MOST_WIDENED: Final = 20.0
# Fewer observed steps than this do not make a group of steps with offsets of its own.
MIN_ENTRIES: Final = 100


class Calibration(ABC):
    """A correction fitted on validation windows and applied to forecasts of the same forecaster."""

    @abstractmethod
    def apply(self, forecasts: Forecasts) -> Forecasts:
        """Return corrected forecasts of the same kind."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, to be kept beside a model."""


@dataclass(frozen=True, slots=True)
class SpreadFactor(Calibration):
    """Stretch each forecast around its median.

    Attributes
    ----------
    factor
        Above 1 widens. At least 0.
    """

    factor: float

    @classmethod
    def fit(
        cls,
        forecasts: Forecasts,
        truth: NDArray[np.floating],
        *,
        criterion: Criterion = "coverage",
        percent: float = 90.0,
    ) -> SpreadFactor:
        """Choose the factor.

        Parameters
        ----------
        forecasts
            Of validation windows.
        truth
            What came, NaN where unobserved. Shape ``(n, prediction_length)``.
        criterion
            ``coverage``: the least factor with which the central interval covers ``percent`` of the
            observed steps, one more counted as missed (as in conformal prediction). ``crps``: that with
            the least pinball loss over the deciles.
        percent
            Width of the interval.

        Raises
        ------
        ValueError
            If nothing is observed.
        """
        tail = (100 - percent) / 200
        levels = [tail, 0.5, 1 - tail] if criterion == "coverage" else [*DECILES]
        quantiles = forecasts.quantile(levels).astype(np.float64)
        observed = ~np.isnan(truth)
        if not observed.any():
            raise ValueError("calibration needs observed steps.")
        median = quantiles[:, len(levels) // 2]
        if criterion == "coverage":
            error = truth - median
            side = np.where(error >= 0, quantiles[:, 2] - median, median - quantiles[:, 0])
            with np.errstate(divide="ignore", invalid="ignore"):
                needed = np.where(error == 0, 0.0, np.abs(error) / side)[observed]
            rank = int(np.ceil((len(needed) + 1) * percent / 100)) - 1
            found = float(np.sort(needed)[min(rank, len(needed) - 1)])
            return cls(min(found, MOST_WIDENED))
        # Pinball loss is convex in the factor.
        actual = np.where(observed, truth, 0.0)
        spread = quantiles - median[:, None]

        def loss(factor: float) -> float:
            each = pinball(median[:, None] + factor * spread, actual, levels).mean(axis=1)
            return float(each[observed].sum())

        return cls(_least(loss, 0.0, MOST_WIDENED))

    def apply(self, forecasts: Forecasts) -> Forecasts:
        """Return the forecasts with each value moved to ``median + factor * (value - median)``."""
        median = forecasts.quantile([0.5])
        return forecasts.map(median + np.float32(self.factor) * (forecasts.values - median))

    def to_dict(self) -> dict[str, Any]:
        """Return the factor."""
        return {"kind": "spread_factor", "factor": self.factor}


@dataclass(frozen=True, slots=True, eq=False)
class QuantileOffsets(Calibration):
    """Move each quantile by an offset of its level and step ahead, in units of the forecast's own spread.

    The spread of a forecast is the distance between its outer deciles, averaged over the steps, so offsets
    follow the unit of each series. Quantiles stay in order.

    Attributes
    ----------
    levels
        Levels with an offset, rising; others lie on lines between. Shape ``(num_levels,)``.
    offsets
        Shape ``(num_levels, prediction_length)``.
    """

    levels: tuple[float, ...]
    offsets: Floats

    @classmethod
    def fit(
        cls,
        forecasts: Forecasts,
        truth: NDArray[np.floating],
        *,
        levels: tuple[float, ...] = (0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95),
        min_entries: int = MIN_ENTRIES,
        symmetric: bool = False,
    ) -> QuantileOffsets:
        """Take the ``level`` quantile of ``(truth - quantile) / spread`` as the offset of each level.

        Neighboring steps ahead share offsets where one alone has fewer than ``min_entries`` observed
        values.

        Parameters
        ----------
        forecasts
            Of validation windows.
        truth
            What came, NaN where unobserved. Shape ``(n, prediction_length)``.
        levels
            Levels to correct.
        min_entries
            Observed values that a group of steps needs; fewer in all make one group.
        symmetric
            Treat errors above and below alike: the median stays, and a drift of the validation steps is
            not carried on. Needs levels that mirror one another.

        Raises
        ------
        ValueError
            If nothing is observed, or levels do not mirror one another where they must.
        """
        observed = ~np.isnan(truth)
        if not observed.any():
            raise ValueError("calibration needs observed steps.")
        if symmetric and not np.allclose(np.array(levels) + np.array(levels[::-1]), 1.0):
            raise ValueError(f"symmetric offsets need mirrored levels; got {levels}.")
        unit = _unit(forecasts)
        error = (truth[:, None] - forecasts.quantile(levels)) / unit[:, None, None]
        offsets = np.zeros((len(levels), truth.shape[1]))
        for steps in _groups(observed.sum(axis=0), min_entries):
            inside = observed[:, steps]
            for number, level in enumerate(levels):
                values = error[:, number, steps][inside]
                if symmetric:
                    values = np.concatenate([values, -error[:, -1 - number, steps][inside]])
                offsets[number, steps] = _conformal_quantile(np.sort(values), level)
        return cls(levels, offsets)

    def apply(self, forecasts: Forecasts) -> Forecasts:
        """Return the forecasts with every value moved by the offset of its level."""
        values = forecasts.values
        if forecasts.samples is not None:
            ranks = values.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
            level = (np.arange(values.shape[1]) + 0.5) / values.shape[1]
        else:
            ranks = np.broadcast_to(np.arange(values.shape[1])[None, :, None], values.shape)
            level = np.array(forecasts.quantile_levels)
        known = np.array(self.levels)
        offsets = np.stack([np.interp(level, known, column) for column in self.offsets.T], axis=1)
        ordered = np.sort(values, axis=1) + _unit(forecasts)[:, None, None] * offsets
        # Each path keeps its rank, so paths stay paths.
        return forecasts.map(np.take_along_axis(np.sort(ordered, axis=1), ranks, axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Return levels and offsets."""
        return {
            "kind": "quantile_offsets",
            "levels": list(self.levels),
            "offsets": self.offsets.tolist(),
        }


def calibration_from_dict(values: Mapping[str, Any]) -> Calibration:
    """Return the calibration that ``to_dict`` wrote.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    kind = values.get("kind")
    if kind == "spread_factor":
        return SpreadFactor(float(values["factor"]))
    if kind == "quantile_offsets":
        return QuantileOffsets(tuple(values["levels"]), np.asarray(values["offsets"], dtype=np.float64))
    raise ValueError(f"unknown calibration {kind!r}.")


def in_quantiles(forecasts: Forecasts) -> Forecasts:
    """Return the forecasts as quantiles of every percent, which offsets move one by one."""
    return Forecasts.of_quantiles(forecasts.windows, forecasts.quantile(PERCENTS), PERCENTS)


def _unit(forecasts: Forecasts) -> Floats:
    """Return each forecast's spread; a share of the typical one where it has none. Shape ``(n,)``."""
    low, high = forecasts.quantile([0.1, 0.9]).astype(np.float64).transpose(1, 0, 2)
    width = (high - low).mean(axis=1)
    usable = width[width > 0]
    if not len(usable):
        # No spread at all: the size of the values themselves gives the unit.
        size = np.abs(forecasts.quantile([0.5])[:, 0].astype(np.float64)).mean(axis=1)
        return np.asarray(np.where(size > 0, size, max(float(size.mean()), 1.0)))
    return np.asarray(np.maximum(width, 1e-3 * float(np.median(usable))))


def _groups(counts: NDArray[np.integer], min_entries: int) -> list[slice]:
    """Return neighboring steps with at least ``min_entries`` observed values each."""
    groups: list[slice] = []
    begin = total = 0
    for step, count in enumerate(counts):
        total += int(count)
        if total >= min_entries:
            groups.append(slice(begin, step + 1))
            begin, total = step + 1, 0
    if begin < len(counts):
        first = groups.pop().start if groups else 0
        groups.append(slice(first, len(counts)))
    return groups


def _conformal_quantile(ordered: Floats, level: float) -> float:
    """Return the quantile with the rank of one more value to come, drawn away from the median."""
    position = (len(ordered) + 1) * level - 1
    return float(np.interp(position, np.arange(len(ordered)), ordered))


def _least(loss: Any, low: float, high: float) -> float:
    """Return where a convex function is least, by golden sections."""
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-4:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return (low + high) / 2
