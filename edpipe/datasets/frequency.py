"""Calendar grids: how often a series has a step, and which step a moment falls on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.errors import SettingsError

Ints = NDArray[np.int64]
Times = NDArray[np.datetime64]
# Moments inside edpipe count microseconds, as Polars does.
UNIT: Final = "us"
_MICROSECONDS: Final = 1_000_000
# 1970-01-05 was a Monday: weeks are counted from there.
_MONDAY: Final = 4 * 86_400


@dataclass(frozen=True, slots=True)
class Frequency:
    """One calendar grid.

    Attributes
    ----------
    name
        The word used in settings.
    code
        The letter that GluonTS and pandas use.
    season
        Steps after which the shortest usual pattern comes back.
    lags
        Default lags in steps: multiples of the day and the week, where school data repeat.
    published_lags
        Lags of the authors' configurations; empty where they have none.
    step_seconds
        Length of a step; 0 where it is not constant.
    """

    name: str
    code: str
    season: int
    lags: tuple[int, ...]
    published_lags: tuple[int, ...]
    step_seconds: int

    def number(self, times: Times) -> tuple[Ints, Ints]:
        """Return the step each moment falls on, and how far off the step's beginning it is.

        Steps count from one origin for all series, so the difference of two numbers is the distance in
        steps. The second array is in microseconds; on a grid it is the same for a whole series. It is 0
        for every moment of a month, and -1 on weekends, which are no business days.
        """
        micros = times.astype(f"datetime64[{UNIT}]").astype(np.int64)
        if self.step_seconds:
            shift = _MONDAY * _MICROSECONDS if self.name == "weekly" else 0
            step = self.step_seconds * _MICROSECONDS
            return np.floor_divide(micros - shift, step), np.mod(micros - shift, step)
        if self.name == "monthly":
            return times.astype("datetime64[M]").astype(np.int64), np.zeros_like(micros)
        days = times.astype("datetime64[D]")
        number = np.busday_count(np.datetime64("1970-01-01", "D"), days).astype(np.int64)
        offset = micros - days.astype(f"datetime64[{UNIT}]").astype(np.int64)
        return number, np.where(np.is_busday(days), offset, -1)

    def times(self, start: np.datetime64, steps: Ints) -> Times:
        """Return the moments ``steps`` after ``start``, in the shape of ``steps``.

        Months shorter than the day of ``start`` have their last day instead.
        """
        begin = np.asarray(start, dtype=f"datetime64[{UNIT}]")
        if self.step_seconds:
            shift = (steps * self.step_seconds * _MICROSECONDS).astype(f"timedelta64[{UNIT}]")
            return np.asarray(begin + shift)
        number = self.number(begin[None])[0][0] + steps
        of_day = begin - begin.astype("datetime64[D]")
        if self.name == "monthly":
            months = number.astype("datetime64[M]")
            day = begin.astype("datetime64[D]") - begin.astype("datetime64[M]").astype("datetime64[D]")
            last = (months + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
            days = np.minimum(months.astype("datetime64[D]") + day, last)
        else:
            days = np.busday_offset(np.datetime64("1970-01-01", "D"), number, roll="forward")
        return np.asarray(days.astype(f"datetime64[{UNIT}]") + of_day)

    def times_of(self, numbers: Ints) -> Times:
        """Return the moment on the grid that :meth:`number` counts as each number, in its shape."""
        # The grid of weeks begins on a Monday, all others at the epoch.
        return self.times(
            np.datetime64("1970-01-05" if self.name == "weekly" else "1970-01-01", "us"), numbers
        )


_MULTIPLES_OF_A_DAY: Final = tuple(24 * day for day in (1, 2, 3, 4, 5, 6, 7, 14, 21, 28))
_MULTIPLES_OF_A_MONTH: Final = tuple(30 * month for month in range(1, 13))

FREQUENCIES: Final = (
    Frequency("hourly", "h", 24, (24, 48, 168, 336, 504, 672), _MULTIPLES_OF_A_DAY, 3_600),
    Frequency("daily", "D", 7, (7, 14, 21, 28), _MULTIPLES_OF_A_MONTH, 86_400),
    Frequency("business-daily", "B", 5, (5, 10, 15, 20), _MULTIPLES_OF_A_MONTH, 0),
    Frequency("weekly", "W", 52, (4, 13, 26, 52), (), 7 * 86_400),
    Frequency("monthly", "M", 12, (12, 24), (), 0),
    Frequency("quarter-hourly", "15min", 96, (96, 192, 672), (), 900),
)


def frequency_named(name: str) -> Frequency:
    """Return the frequency of a name such as ``daily`` or a code such as ``D``.

    Raises
    ------
    SettingsError
        If no frequency has this name.
    """
    asked = name.strip().lower()
    for frequency in FREQUENCIES:
        if asked in {frequency.name, frequency.code.lower()}:
            return frequency
    known = ", ".join(f"{frequency.name} ({frequency.code})" for frequency in FREQUENCIES)
    raise SettingsError(
        "The frequency is unknown.",
        where="`frequency`",
        found=repr(name),
        expected=f"one of {known}",
        next_step="Name one of these, or sum the series to one of them first.",
    )


def infer_frequency(times: Times) -> Frequency | None:
    """Return the frequency on whose grid all moments of one series lie, None if there is none.

    Of several the one with the longest step: moments on a daily grid are on an hourly one too. Days
    without any weekend are business days from ten days on.

    Parameters
    ----------
    times
        Distinct moments of one series in rising order. Shape ``(n,)``.
    """
    if len(times) < 2:
        return None
    for name in ("monthly", "weekly", "business-daily", "daily", "hourly", "quarter-hourly"):
        frequency = frequency_named(name)
        if name == "business-daily" and len(times) < 10:
            continue
        number, offset = frequency.number(times)
        if (offset == offset[0]).all() and offset[0] >= 0 and (np.diff(number) > 0).all():
            return frequency
    return None
