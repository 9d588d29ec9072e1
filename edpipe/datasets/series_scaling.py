"""Location and scale of windows, from observed steps of the context only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.frequency import Ints
from edpipe.datasets.series import SeriesSet

Floats = NDArray[np.float64]
ScaleRule = Literal["context_mean", "series_mean", "standard", "robust"]
SCALE_RULES: Final = ("context_mean", "series_mean", "standard", "robust")
# A window's scale is at least this share of its series' own: a context of zeros would blow its future up.
FLOOR_SHARE: Final = 0.1
# Half the distance between the quartiles of a normal law, in standard deviations.
_QUARTILE: Final = 0.6744897501960817


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """A rule for location and scale, with what it needs to know of each series. Build it with :meth:`fit`.

    - ``context_mean``: location 0, scale the mean absolute value of the context (the published rule).
    - ``series_mean``: location 0, scale the mean absolute value of the series.
    - ``standard``: mean and standard deviation of the context.
    - ``robust``: median of the context, and half its distance between quartiles in units of a normal law.

    The scale is never below ``floor_share`` of the same figure of the whole series, nor that below the
    same share of the typical series; if that is zero too, the scale is 1.

    Attributes
    ----------
    rule
        One of these.
    series_loc, series_scale
        The figures of each whole series, for the floor and for contexts without an observed step.
        Shape ``(num_series,)``.
    floor_share
        See above.
    """

    rule: ScaleRule
    series_loc: Floats
    series_scale: Floats
    floor_share: float = FLOOR_SHARE

    @classmethod
    def fit(
        cls, series: SeriesSet, ends: Ints, rule: ScaleRule, *, floor_share: float = FLOOR_SHARE
    ) -> Scaling:
        """Measure each series before its end.

        Parameters
        ----------
        series
            The series.
        ends
            First step of each that may not be seen. Shape ``(num_series,)``.
        rule, floor_share
            See the class.

        Raises
        ------
        ValueError
            If the rule is unknown.
        """
        if rule not in SCALE_RULES:
            raise ValueError(f"rule must be one of {', '.join(SCALE_RULES)}; got {rule!r}.")
        loc, scale = np.zeros(series.num_series), np.zeros(series.num_series)
        for number in range(series.num_series):
            values = series.target(number)[: ends[number]].astype(np.float64)[None]
            loc[number : number + 1], scale[number : number + 1] = _loc_and_scale(values, rule)
        loc = np.where(np.isnan(loc), 0.0, loc)
        usable = scale[scale > 0]  # NaN is not above 0
        typical = float(np.median(usable)) if len(usable) else 1.0
        scale = np.where(scale > floor_share * typical, scale, floor_share * typical)
        return cls(rule, loc, scale if len(usable) else np.ones_like(scale), floor_share)

    def of_context(self, context: NDArray[np.floating], series: Ints) -> tuple[Floats, Floats]:
        """Return location and scale of each window, both ``(num_windows,)``; scales are above 0.

        Parameters
        ----------
        context
            NaN where unobserved. Shape ``(num_windows, context_length)``.
        series
            Number of each window's series. Shape ``(num_windows,)``.
        """
        of_series = self.series_loc[series], self.series_scale[series]
        if self.rule == "series_mean":
            return of_series
        loc, scale = _loc_and_scale(np.asarray(context, dtype=np.float64), self.rule)
        is_empty = np.isnan(loc)
        floored = np.maximum(scale, self.floor_share * of_series[1])
        return np.where(is_empty, of_series[0], loc), np.where(is_empty, of_series[1], floored)


def _loc_and_scale(values: Floats, rule: ScaleRule) -> tuple[Floats, Floats]:
    """Return both of each row's observed values; both NaN where there is none."""
    observed = ~np.isnan(values)
    count = observed.sum(axis=1)
    is_empty = count == 0
    filled = np.where(observed, values, 0.0)
    at_least_one = np.maximum(count, 1)
    if rule in {"context_mean", "series_mean"}:
        scale = np.abs(filled).sum(axis=1) / at_least_one
        loc = np.zeros_like(scale)
    elif rule == "standard":
        loc = filled.sum(axis=1) / at_least_one
        scale = np.sqrt((np.where(observed, values - loc[:, None], 0.0) ** 2).sum(axis=1) / at_least_one)
    else:
        safe = np.where(is_empty[:, None], 0.0, values)
        low, loc, high = np.nanquantile(safe, [0.25, 0.5, 0.75], axis=1)
        scale = (high - low) / (2 * _QUARTILE)
    return np.where(is_empty, np.nan, loc), np.where(is_empty, np.nan, scale)
