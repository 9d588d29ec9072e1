"""Shares of a feature by bin, kept without a row of it, and the population stability index between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.evaluation.metrics import Float

Kind = Literal["number", "category"]
NUM_BINS = 10
MOST_CATEGORIES = 20
OTHERS, MISSING = "(others)", "(missing)"
# A share below it counts as it: the index of a bin that was empty would be infinite.
LEAST_SHARE = 1e-4


def stability_index(expected: Float, actual: Float) -> float:
    r"""Return the population stability index, :math:`\sum_b (a_b - e_b) \ln(a_b / e_b)`.

    It is the symmetric Kullback-Leibler divergence of two histograms: 0 where they are equal. Shares below
    0.0001 count as that.

    Parameters
    ----------
    expected, actual
        Shares by bin. Shape ``(num_bins,)``.
    """
    first, second = (np.maximum(shares, LEAST_SHARE) for shares in (expected, actual))
    return float(((second - first) * np.log(second / first)).sum())


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of one feature.

    Attributes
    ----------
    kind
        Of numbers, or of categories.
    bins
        Of numbers the edges between bins, which lie at deciles; of categories their names, the most frequent.
        Two bins stand behind them: of categories the others, and of both what is missing.
    shares
        Share of each bin; they add up to 1.
    num_rows
        Rows that they are of.
    """

    kind: Kind
    bins: tuple[Any, ...]
    shares: tuple[float, ...]
    num_rows: int

    @classmethod
    def of(cls, values: pl.Series, kind: Kind) -> Histogram:
        """Choose bins from values and count them; an edge that several deciles share stands once."""
        known = values.drop_nulls()
        if kind == "number":
            numbers = known.cast(pl.Float64).drop_nans().to_numpy()
            deciles = np.quantile(numbers, np.arange(1, NUM_BINS) / NUM_BINS) if len(numbers) else []
            bins: tuple[Any, ...] = tuple(float(edge) for edge in np.unique(deciles))
        else:
            counts = known.cast(pl.String).value_counts(sort=True, name="n")
            bins = tuple(sorted(counts[known.name].head(MOST_CATEGORIES).to_list()))
        empty = cls(kind, bins, (), len(values))
        counted = np.bincount(empty.places(values), minlength=empty.num_bins)
        return cls(kind, bins, tuple((counted / max(1, len(values))).tolist()), len(values))

    @property
    def num_bins(self) -> int:
        """Number of bins: between and outside of the edges, or categories and the others; and missing."""
        return len(self.bins) + 2

    def places(self, values: pl.Series) -> NDArray[np.int64]:
        """Return the bin of each value. Shape ``(num_rows,)``."""
        missing = self.num_bins - 1
        if self.kind == "number":
            numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            # On an edge a value lies above it.
            places = np.searchsorted(np.array(self.bins), numbers, side="right")
            return np.where(np.isnan(numbers), missing, places).astype(np.int64)
        names = {name: place for place, name in enumerate(self.bins)}
        others = len(self.bins)
        found = values.cast(pl.String).replace_strict(names, default=others, return_dtype=pl.Int64)
        return np.where(values.is_null().to_numpy(), missing, found.fill_null(missing).to_numpy()).astype(
            np.int64
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "kind": self.kind,
            "bins": list(self.bins),
            "shares": list(self.shares),
            "num_rows": self.num_rows,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Histogram:
        """Return what :meth:`to_dict` wrote."""
        return cls(values["kind"], tuple(values["bins"]), tuple(values["shares"]), int(values["num_rows"]))
