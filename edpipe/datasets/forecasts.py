"""Forecasts of several windows, as sample paths or as quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.frequency import Ints
from edpipe.datasets.series import SeriesSet
from edpipe.datasets.series_windows import Windows

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
# Every percent: holds the deciles and the ends of the 50, 80 and 90 % intervals exactly.
PERCENTS: Final = tuple(number / 100 for number in range(1, 100))


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """Forecasts of windows, either as samples or as quantiles; the other field is None.

    Attributes
    ----------
    series
        Number of each window's series. Shape ``(n,)``.
    origins
        First step forecast, counted from the begin of its series. Shape ``(n,)``.
    samples
        Paths in the unit of the series. Shape ``(n, num_samples, prediction_length)``.
    quantiles
        Not falling with the level. Shape ``(n, num_levels, prediction_length)``.
    quantile_levels
        Rising, between 0 and 1. Shape ``(num_levels,)``.
    """

    series: Ints
    origins: Ints
    samples: Singles | None = None
    quantiles: Singles | None = None
    quantile_levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if (self.samples is None) == (self.quantiles is None):
            raise ValueError("forecasts are samples or quantiles, one of the two.")
        values = self.values
        if values.ndim != 3 or len(values) != len(self.series) or len(self.series) != len(self.origins):
            raise ValueError(
                f"forecasts of {len(self.series)} windows must have three axes; got {values.shape}."
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{int((~np.isfinite(values)).sum())} forecast values are not finite.")
        levels = np.array(self.quantile_levels)
        if self.quantiles is not None:
            if len(levels) != values.shape[1] or (np.diff(levels) <= 0).any():
                raise ValueError(f"quantile_levels must rise, one a quantile; got {self.quantile_levels}.")
            if levels[0] <= 0 or levels[-1] >= 1:
                raise ValueError(f"quantile_levels must lie between 0 and 1; got {self.quantile_levels}.")
            if (np.diff(values, axis=1) < 0).any():
                raise ValueError("quantiles must not fall with the level; sort them.")

    @classmethod
    def of_samples(cls, windows: Windows, samples: NDArray[np.floating]) -> Forecasts:
        """Keep paths. Shape ``(n, num_samples, prediction_length)``."""
        return cls(windows.series, windows.origins, samples=np.asarray(samples, dtype=np.float32))

    @classmethod
    def of_quantiles(
        cls, windows: Windows, quantiles: NDArray[np.floating], levels: Sequence[float]
    ) -> Forecasts:
        """Keep quantiles, those that cross put in order. Shape ``(n, num_levels, prediction_length)``."""
        ordered = np.sort(np.asarray(quantiles, dtype=np.float32), axis=1)
        return cls(windows.series, windows.origins, quantiles=ordered, quantile_levels=tuple(levels))

    @classmethod
    def of_points(cls, windows: Windows, points: NDArray[np.floating]) -> Forecasts:
        """Keep one value a step, as a forecast without spread. Shape ``(n, prediction_length)``."""
        return cls.of_samples(windows, points[:, None, :])

    @property
    def values(self) -> Singles:
        """Samples or quantiles, whichever there are."""
        return self.samples if self.samples is not None else self.quantiles  # type: ignore[return-value]  # __post_init__ refuses neither

    @property
    def windows(self) -> Windows:
        """Series and origins."""
        return Windows(self.series, self.origins)

    @property
    def prediction_length(self) -> int:
        """Steps forecast."""
        return int(self.values.shape[2])

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.series)

    def quantile(self, levels: Sequence[float]) -> Singles:
        """Return quantiles of each step. Shape ``(n, len(levels), prediction_length)``.

        Of samples the one whose rank is nearest to ``level * (num_samples - 1)``, as in the published
        scores; of quantiles by straight lines between the levels that are there.

        Raises
        ------
        ValueError
            If a level lies outside those that are there.
        """
        asked = np.asarray(levels, dtype=np.float64)
        if self.samples is not None:
            ranks = np.round(asked * (self.samples.shape[1] - 1)).astype(np.int64)
            return np.asarray(np.sort(self.samples, axis=1)[:, ranks])
        known = np.array(self.quantile_levels)
        if (asked < known[0] - 1e-9).any() or (asked > known[-1] + 1e-9).any():
            raise ValueError(f"levels must lie in [{known[0]}, {known[-1]}]; got {list(levels)}.")
        return _between(known, self.values, asked)

    def paths(self, num_samples: int) -> Singles:
        """Return paths. Shape ``(n, num_samples, prediction_length)``.

        Samples are returned as they are, ``num_samples`` of them spread evenly. From quantiles come paths
        that keep their level over all steps; beyond the outermost level they stay at it.
        """
        if self.samples is not None:
            number = np.arange(num_samples) * self.samples.shape[1] // num_samples
            return np.asarray(self.samples[:, number])
        levels = np.clip(
            (np.arange(num_samples) + 0.5) / num_samples, self.quantile_levels[0], self.quantile_levels[-1]
        )
        return _between(np.array(self.quantile_levels), self.values, levels)

    def take(self, index: Ints | slice | NDArray[np.bool_]) -> Forecasts:
        """Return the windows that ``index`` selects, in its order."""
        chosen = self.samples if self.samples is None else self.samples[index]
        quantiles = self.quantiles if self.quantiles is None else self.quantiles[index]
        return Forecasts(self.series[index], self.origins[index], chosen, quantiles, self.quantile_levels)

    def at_least(self, minimum: float | None) -> Forecasts:
        """Return the forecasts with values below ``minimum`` raised to it."""
        return self if minimum is None else self.map(np.maximum(self.values, np.float32(minimum)))

    def map(self, values: NDArray[np.floating]) -> Forecasts:
        """Return forecasts of the same windows with other values of the same kind and shape."""
        singles = np.asarray(values, dtype=np.float32)
        if self.samples is not None:
            return replace(self, samples=singles)
        return replace(self, quantiles=singles)

    def to_frame(self, series: SeriesSet, levels: Sequence[float]) -> pl.DataFrame:
        """Return the long table ``series_id, origin_time, time, step, quantile_level, target``.

        Parameters
        ----------
        series
            The series that were forecast. ``origin_time`` is the last moment known, ``step`` counts from 1.
        levels
            Quantile levels, one row each.
        """
        keys = pl.Series("quantile_level", levels, dtype=pl.Float64)
        return self._long(series, self.quantile(levels), keys)

    def to_sample_frame(self, series: SeriesSet, num_samples: int) -> pl.DataFrame:
        """Return the long table ``series_id, origin_time, time, step, sample, target``, samples from 0."""
        keys = pl.Series("sample", range(num_samples), dtype=pl.Int64)
        return self._long(series, self.paths(num_samples), keys)

    def _long(self, series: SeriesSet, values: Singles, keys: pl.Series) -> pl.DataFrame:
        window, step, key = np.indices((len(self), self.prediction_length, len(keys))).reshape(3, -1)
        owner = self.series[window]
        return pl.DataFrame(
            {
                "series_id": np.array(series.ids)[owner],
                "origin_time": series.time_at(self.series, self.origins - 1)[window],
                "time": series.time_at(owner, self.origins[window] + step),
                "step": step + 1,
                keys.name: keys.gather(key),
                "target": values[window, key, step].astype(np.float64),
            }
        )


def pool(forecasts: Sequence[Forecasts]) -> Forecasts:
    """Return one forecast whose paths are all paths of several, of seeds or checkpoints for example.

    Raises
    ------
    ValueError
        If they are not samples of the same windows.
    """
    first = forecasts[0]
    parts = []
    for one in forecasts:
        if one.samples is None:
            raise ValueError("only samples can be pooled.")
        if not (np.array_equal(one.series, first.series) and np.array_equal(one.origins, first.origins)):
            raise ValueError("pooled forecasts must be of the same windows in the same order.")
        parts.append(one.samples)
    return Forecasts(first.series, first.origins, samples=np.concatenate(parts, axis=1))


def _between(known: Floats, quantiles: Singles, asked: Floats) -> Singles:
    """Return quantiles on straight lines between the known levels, along axis 1."""
    right = np.clip(np.searchsorted(known, asked - 1e-12), 1, max(len(known) - 1, 1))
    if len(known) == 1:
        return np.repeat(quantiles, len(asked), axis=1)
    left = right - 1
    share = np.clip((asked - known[left]) / (known[right] - known[left]), 0.0, 1.0)[:, None]
    low, high = quantiles[:, left], quantiles[:, right]
    return np.asarray(low + share * (high - low), dtype=np.float32)
