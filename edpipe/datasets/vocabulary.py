"""Which items and KCs a tracer knows, and how times become features: all from training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PADDING = 0
UNKNOWN = 1
FIRST_KNOWN = 2


@dataclass(frozen=True, slots=True)
class TimeScaler:
    """Standardize the logarithm of a number of seconds.

    Attributes
    ----------
    mean, deviation
        Of ``log(1 + seconds)`` over the training rows that have a value.
    """

    mean: float = 0.0
    deviation: float = 1.0

    def __call__(self, seconds: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return features near 0 with spread near 1; a missing value (NaN) becomes 0."""
        logarithm = np.log1p(
            np.maximum(seconds, 0.0, where=~np.isnan(seconds), out=np.full_like(seconds, np.nan))
        )
        scaled = (logarithm - self.mean) / self.deviation
        return np.nan_to_num(scaled, nan=0.0).astype(np.float32)


class TimeMoments:
    """Collect what a :class:`TimeScaler` needs, piece by piece."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._squares = 0.0

    def add(self, seconds: NDArray[np.float32]) -> None:
        """Count the values that are there."""
        logarithm = np.log1p(np.maximum(seconds[~np.isnan(seconds)], 0.0)).astype(np.float64)
        self._count += len(logarithm)
        self._sum += float(logarithm.sum())
        self._squares += float(np.square(logarithm).sum())

    def scaler(self) -> TimeScaler:
        """Return the scaler of the values seen; without any, one that changes nothing."""
        if self._count == 0:
            return TimeScaler()
        mean = self._sum / self._count
        variance = max(self._squares / self._count - mean**2, 0.0)
        # Rounded, so that sums over pieces cut elsewhere give the same scaler.
        return TimeScaler(round(mean, 6), round(max(variance**0.5, 1e-3), 6))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Items and KCs of the training rows, by their published ids.

    The first of them has number 2; 0 is padding and 1 whatever training has not seen.

    Attributes
    ----------
    item_ids, kc_ids
        Published ids in the order of their numbers.
    item_kcs
        KC numbers of each item number, right-padded with 0. Shape ``(num_items, width)``.
    elapsed, lag
        Scalers of the two times.
    """

    item_ids: tuple[str, ...]
    kc_ids: tuple[str, ...]
    item_kcs: NDArray[np.int64]
    elapsed: TimeScaler = TimeScaler()
    lag: TimeScaler = TimeScaler()

    @property
    def num_items(self) -> int:
        """Number of item numbers, padding and unknown included."""
        return len(self.item_ids) + FIRST_KNOWN

    @property
    def num_kcs(self) -> int:
        """Number of KC numbers, padding and unknown included."""
        return len(self.kc_ids) + FIRST_KNOWN

    def item_numbers(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of each id, 1 for those not known."""
        return _numbers(self.item_ids, item_ids)

    def kc_numbers(self, kc_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of each id, 1 for those not known."""
        return _numbers(self.kc_ids, kc_ids)

    def kc_sets(self, kc_ids: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """Return the KC numbers of several sets, right-padded with 0.

        Shape ``(number of sets, width)`` with the size of the largest set, at least 1, as width.
        """
        number = {kc_id: index for index, kc_id in enumerate(self.kc_ids, FIRST_KNOWN)}
        width = max((len(kcs) for kcs in kc_ids), default=1) or 1
        sets = np.full((len(kc_ids), width), PADDING, dtype=np.int64)
        for row, kcs in enumerate(kc_ids):
            sets[row, : len(kcs)] = [number.get(kc, UNKNOWN) for kc in kcs]
        return sets

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ``item_kcs`` as nested lists."""
        return {
            "item_ids": list(self.item_ids),
            "kc_ids": list(self.kc_ids),
            "item_kcs": self.item_kcs.tolist(),
            "elapsed": [self.elapsed.mean, self.elapsed.deviation],
            "lag": [self.lag.mean, self.lag.deviation],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabulary:
        """Return what :meth:`to_dict` described; ``item_kcs`` may also be an array or a tensor."""
        return cls(
            tuple(values["item_ids"]),
            tuple(values["kc_ids"]),
            np.asarray(values["item_kcs"], dtype=np.int64),
            TimeScaler(*values["elapsed"]),
            TimeScaler(*values["lag"]),
        )


def _numbers(known: Sequence[str], ids: Sequence[str]) -> NDArray[np.int64]:
    number = {name: index for index, name in enumerate(known, FIRST_KNOWN)}
    return np.array([number.get(name, UNKNOWN) for name in ids], dtype=np.int64)
