"""Quantiles of forecasts, and the names of their columns."""

from __future__ import annotations

from typing import Final

DEFAULT_LEVELS: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def quantile_name(level: float) -> str:
    """Return the column of a quantile: ``quantile_05`` of 0.05, ``quantile_97_5`` of 0.975."""
    percent = f"{100 * level:.4f}".rstrip("0").rstrip(".")
    whole, _, rest = percent.partition(".")
    return "_".join(["quantile", whole.zfill(2), *([rest] if rest else [])])
