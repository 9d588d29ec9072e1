"""Numbers as people read them, axis ticks, and the interval of a share."""

from __future__ import annotations

import math
from itertools import pairwise

NOTHING = "–"
Z_95 = 1.959964


def whole(value: float | None) -> str:
    """Return a count with thousands separated: ``12,345``."""
    return NOTHING if absent(value) else f"{value:,.0f}"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals."""
    return NOTHING if absent(value) else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in [0, 1] as a percentage; no line breaks before its sign."""
    return NOTHING if absent(value) else f"{100 * (value or 0.0):.{digits}f}\u00a0%"


def counted(number: int, thing: str) -> str:
    """Return a number with what it counts, in the plural unless it is 1."""
    return f"{whole(number)} {thing}{'' if number == 1 else 's'}"


def compact(value: float) -> str:
    """Return a short axis label: ``1.5k``, ``2M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.4g}"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers from at most ``low`` to at least ``high``, about ``most`` of them."""
    span = high - low
    if span <= 0:
        span = abs(high) or 1.0
        low, high = low - span / 2, high + span / 2
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def tick_labels(values: list[float]) -> list[str]:
    """Return labels with as many decimals as the step needs."""
    step = min((b - a for a, b in pairwise(values)), default=1.0)
    if step >= 1:
        return [compact(value) for value in values]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{value:.{digits}f}" for value in values]


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share; (0, 1) without trials.

    Unlike the normal interval it stays in [0, 1] and is not empty when all or none succeeded.
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    spread = Z_95**2 / trials
    center = (share + spread / 2) / (1 + spread)
    half = Z_95 * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, center - half), min(1.0, center + half)


def absent(value: float | None) -> bool:
    """Tell whether there is no number: None or NaN."""
    return value is None or math.isnan(value)
