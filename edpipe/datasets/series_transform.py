"""Values as a network is to see them where large ones vary more than small ones, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np

from edpipe.datasets.series import SeriesSet, Singles

Transform = Literal["none", "sqrt", "log1p"]
# Paths beyond this logarithm would not be numbers any more.
LARGEST_LOGARITHM: Final = 80.0


def transformed(series: SeriesSet, transform: Transform) -> SeriesSet:
    """Return the same series with every value transformed; gaps stay gaps.

    Quantiles of what is transformed are transformed quantiles, so forecasts are as honest as they were.

    Parameters
    ----------
    series
        Values of at least 0, unless the transform is ``none``.
    transform
        ``sqrt`` evens out counts whose spread grows with the root of their size, ``log1p`` those whose
        spread grows with their size.
    """
    if transform == "none":
        return series
    change = np.sqrt if transform == "sqrt" else np.log1p
    return replace(series, values=change(series.values))


def restored(values: Singles, transform: Transform) -> Singles:
    """Return paths or quantiles in the unit of the series. Any shape."""
    if transform == "sqrt":
        return np.square(np.maximum(values, 0.0))
    return np.expm1(np.minimum(values, LARGEST_LOGARITHM)) if transform == "log1p" else values
