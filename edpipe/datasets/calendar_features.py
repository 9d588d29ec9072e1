"""What the calendar says of each step: known for the future as for the past."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edpipe.datasets.frequency import Frequency, Times

_DAY_SECONDS: Final = 86_400
# Waves a day or a year: one alone tells morning from evening, two tell a morning peak from an evening one.
_NUM_WAVES: Final = 2
_WEEKDAYS: Final = 7


def num_calendar_features(frequency: Frequency) -> int:
    """Return the number of channels that :func:`calendar_features` gives."""
    if _is_coarse(frequency):
        return 2 * _NUM_WAVES
    return _WEEKDAYS + (2 * _NUM_WAVES if _is_within_days(frequency) else 0)


def calendar_features(frequency: Frequency, times: Times) -> NDArray[np.float32]:
    """Return what a network is told of each moment.

    Steps of a day or less: one channel a weekday, from Monday, 1 on that day. Shorter steps also: sine and
    cosine of one and two waves a day. Weeks and months: of one and two waves a year instead.

    Parameters
    ----------
    frequency
        Grid of the moments.
    times
        Any shape ``(...)``.

    Returns
    -------
    numpy.ndarray
        Values in [-1, 1]. Shape ``(..., num_calendar_features)``.
    """
    days = times.astype("datetime64[D]")
    if _is_coarse(frequency):
        years = times.astype("datetime64[Y]")
        since = (days - years.astype("datetime64[D]")).astype(np.int64)
        return _waves(since / 365.25)
    # 1970-01-01 was a Thursday.
    weekday = (days.astype(np.int64) + 3) % _WEEKDAYS
    parts = [(weekday[..., None] == np.arange(_WEEKDAYS)).astype(np.float32)]
    if _is_within_days(frequency):
        seconds = (times.astype("datetime64[s]") - days.astype("datetime64[s]")).astype(np.int64)
        parts.append(_waves(seconds / _DAY_SECONDS))
    return np.concatenate(parts, axis=-1)


def _waves(share: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return sines and cosines of a share of a period. Shape ``(..., 2 * _NUM_WAVES)``."""
    angle = 2 * np.pi * share[..., None] * np.arange(1, _NUM_WAVES + 1)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1).astype(np.float32)


def _is_coarse(frequency: Frequency) -> bool:
    return frequency.name in {"weekly", "monthly"}


def _is_within_days(frequency: Frequency) -> bool:
    return 0 < frequency.step_seconds < _DAY_SECONDS
