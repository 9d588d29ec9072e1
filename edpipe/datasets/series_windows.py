"""Where windows lie in series: drawn for training, rolling for validation and test, with hidden steps.

A window is a series and an *origin*: the number of the first step to forecast. What lies before the origin
is known to a forecaster, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.frequency import Ints
from edpipe.datasets.series import SeriesSet

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
MissingPattern = Literal["random", "start", "end"]
MISSING_PATTERNS: Final = ("random", "start", "end")
# A series of zeros counts this share of the largest, so that every series can be drawn.
_LEAST_SIZE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class WindowShape:
    """What a window holds.

    Attributes
    ----------
    context_length
        Steps before the origin.
    prediction_length
        Steps from the origin on.
    lags
        Distances of lagged copies of the series, in steps.
    """

    context_length: int
    prediction_length: int
    lags: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.context_length < 1 or self.prediction_length < 1:
            raise ValueError(f"context_length and prediction_length must be at least 1; got {self}.")
        if any(lag < 1 for lag in self.lags) or len(set(self.lags)) < len(self.lags):
            raise ValueError(f"lags must be distinct and at least 1; got {self.lags}.")

    @property
    def length(self) -> int:
        """Steps of the whole window."""
        return self.context_length + self.prediction_length


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Series and origin of several windows.

    Attributes
    ----------
    series
        Number of the series. Shape ``(num_windows,)``.
    origins
        First step to forecast. Shape ``(num_windows,)``.
    """

    series: Ints
    origins: Ints

    def __post_init__(self) -> None:
        if self.series.shape != self.origins.shape or self.series.ndim != 1:
            raise ValueError(
                f"series and origins must be as long; got {self.series.shape}, {self.origins.shape}."
            )

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.series)

    def take(self, index: Ints | slice | Mask) -> Windows:
        """Return the windows that ``index`` selects, in its order."""
        return Windows(self.series[index], self.origins[index])


def mean_sizes(series: SeriesSet, ends: Ints) -> Floats:
    """Return the mean absolute value of each series before its end, above 0. Shape ``(num_series,)``."""
    sizes = np.zeros(series.num_series)
    for number, end in enumerate(ends):
        known = np.abs(series.target(number)[:end].astype(np.float64))
        known = known[np.isfinite(known)]
        sizes[number] = known.mean() if len(known) else 0.0
    floor = max(float(sizes.max(initial=0.0)), 1.0) * _LEAST_SIZE
    return sizes.clip(min=floor)


def training_windows(
    ends: Ints,
    *,
    prediction_length: int,
    min_history: int,
    num_windows: int,
    random: np.random.Generator,
    begins: Ints | None = None,
    weights: Floats | None = None,
) -> Windows:
    """Draw windows with replacement, every possible cut point equally likely unless weights are given.

    No step of a window, its future included, is at or beyond its series' end. Series too short for one
    window are never drawn.

    Parameters
    ----------
    ends
        First step of each series that training may not see. Shape ``(num_series,)``.
    prediction_length
        Steps from the origin on.
    min_history
        Steps that must lie before the origin; fewer than the context and the lags need is possible, the
        rest is unobserved then.
    num_windows
        How many to draw.
    random
        Source of the draws.
    begins
        First step that may be an origin, if that is later than ``min_history``. Shape ``(num_series,)``.
    weights
        How many times as likely a cut point of each series is, at least 0. Shape ``(num_series,)``.

    Raises
    ------
    ValueError
        If no series is long enough.
    """
    first, count = _cut_points(ends, prediction_length, min_history, begins)
    total = int(count.sum())
    if total == 0:
        raise ValueError(
            f"no series has {min_history} + {prediction_length} steps before its end; longest {ends.max()}."
        )
    if weights is not None:
        chances = count * weights / np.dot(count, weights)
        series = random.choice(len(count), size=num_windows, p=chances).astype(np.int64)
        return Windows(series, first[series] + random.integers(0, count[series]))
    drawn = random.integers(0, total, size=num_windows)
    bound = np.cumsum(count)
    series = np.searchsorted(bound, drawn, side="right").astype(np.int64)
    return Windows(series, first[series] + drawn - (bound - count)[series])


def all_windows(
    ends: Ints, *, prediction_length: int, min_history: int, begins: Ints | None = None, stride: int = 1
) -> Windows:
    """Return every ``stride``-th window before the ends, series by series, the last cut point included."""
    first, count = _cut_points(ends, prediction_length, min_history, begins)
    parts = [
        np.arange(begin + number - 1, begin - 1, -stride)[::-1]
        for begin, number in zip(first, count, strict=True)
    ]
    series = np.repeat(np.arange(len(ends)), [len(part) for part in parts])
    return Windows(series.astype(np.int64), np.concatenate([*parts, np.empty(0)]).astype(np.int64))


def rolling_windows(ends: Ints, *, prediction_length: int, num_windows: int) -> Windows:
    """Return the last ``num_windows`` windows before each end, one after the other without overlap.

    In order of the origins, all series of one origin together.

    Raises
    ------
    ValueError
        If a series is too short to have a step before the first of them.
    """
    first = ends - num_windows * prediction_length
    if (first < 1).any():
        short = int(ends.min())
        raise ValueError(
            f"{num_windows} windows of {prediction_length} steps do not fit; shortest series {short}."
        )
    series = np.tile(np.arange(len(ends), dtype=np.int64), num_windows)
    number = np.repeat(np.arange(num_windows, dtype=np.int64), len(ends))
    return Windows(series, first[series] + number * prediction_length)


def hidden_context(
    pattern: MissingPattern,
    *,
    num_windows: int,
    context_length: int,
    share: float = 0.5,
    random: np.random.Generator | None = None,
) -> Mask:
    """Choose steps of the context to hide.

    ``random`` hides a fixed number of steps drawn for each window, ``start`` the block furthest from the
    forecast, ``end`` the block next to it.

    Parameters
    ----------
    pattern
        Which steps.
    num_windows, context_length
        Shape of the result.
    share
        Part of the context to hide, in [0, 1]; rounded down to whole steps.
    random
        Source of the draws of ``random``.

    Returns
    -------
    numpy.ndarray
        True where hidden. Shape ``(num_windows, context_length)``.

    Raises
    ------
    ValueError
        If the pattern is unknown, the share outside [0, 1], or a source of draws is missing.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1]; got {share}.")
    num_hidden = int(share * context_length)
    hidden = np.zeros((num_windows, context_length), dtype=bool)
    if pattern == "start":
        hidden[:, :num_hidden] = True
    elif pattern == "end":
        hidden[:, context_length - num_hidden :] = True
    elif pattern != "random":
        raise ValueError(f"pattern must be one of {', '.join(MISSING_PATTERNS)}; got {pattern!r}.")
    elif random is None:
        raise ValueError("the pattern `random` needs a source of draws.")
    else:
        ranks = random.random((num_windows, context_length)).argsort(axis=1).argsort(axis=1)
        hidden = ranks < num_hidden
    return hidden


def hide(
    series: SeriesSet, windows: Windows, hidden: Mask, prediction_length: int
) -> tuple[SeriesSet, Windows]:
    """Return one series a window, with the steps of its context hidden and its own future kept.

    So any forecaster can be tried with gaps: it needs to know nothing of them.

    Parameters
    ----------
    series, windows
        Where the windows lie.
    hidden
        True where hidden; the last column is the step before the origin.
        Shape ``(num_windows, context_length)``.
    prediction_length
        Steps kept from the origin on, for the truth.
    """
    targets = []
    for number, (one, origin) in enumerate(zip(windows.series, windows.origins, strict=True)):
        values = series.target(int(one))[: origin + prediction_length].copy()
        steps = origin - hidden.shape[1] + np.flatnonzero(hidden[number])
        values[steps[steps >= 0]] = np.nan
        targets.append(values)
    names = [f"{series.ids[one]}@{number}" for number, one in enumerate(windows.series)]
    found = SeriesSet.from_arrays(names, series.starts[windows.series], targets, series.frequency)
    return found, Windows(np.arange(len(windows), dtype=np.int64), windows.origins)


def steps_of(series: SeriesSet, windows: Windows, steps: Ints) -> NDArray[np.float32]:
    """Return values at steps relative to each origin; NaN where unobserved or outside the series.

    Parameters
    ----------
    series, windows
        Where the windows lie.
    steps
        Distance from the origin, 0 for the first step to forecast. Shape ``(...)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(num_windows, ...)``.
    """
    origins = windows.origins.reshape(-1, *[1] * steps.ndim)
    owner = windows.series.reshape(origins.shape)
    place = origins + steps
    is_inside = (place >= 0) & (place < series.lengths[owner])
    index = np.where(is_inside, series.offsets[owner] + place, 0)
    return np.where(is_inside, series.values[index], np.float32(np.nan))


def future_target(series: SeriesSet, windows: Windows, prediction_length: int) -> NDArray[np.float32]:
    """Return what came; NaN where unobserved. Shape ``(num_windows, prediction_length)``."""
    return steps_of(series, windows, np.arange(prediction_length))


def past_target(series: SeriesSet, windows: Windows, context_length: int) -> NDArray[np.float32]:
    """Return the context; NaN where unobserved. Shape ``(num_windows, context_length)``."""
    return steps_of(series, windows, np.arange(-context_length, 0))


def _cut_points(
    ends: Ints, prediction_length: int, min_history: int, begins: Ints | None
) -> tuple[Ints, Ints]:
    """Return each series' first possible origin and how many there are."""
    first = np.full(len(ends), max(min_history, 0), dtype=np.int64)
    if begins is not None:
        first = np.maximum(first, begins)
    return first, np.maximum(ends - prediction_length + 1 - first, 0).astype(np.int64)
