"""Fit the feature map: what training rows hold, and how the numbers about their impressions are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.columns import Array
from edpipe.datasets.impressions_features import FeatureMap
from edpipe.datasets.vocabulary import TimeMoments

ROWS_A_PIECE = 1_000_000


def fit_features(
    catalog: pl.DataFrame,
    outcomes: Sequence[str],
    counts: Mapping[str, NDArray[np.int64]],
    columns: Mapping[str, Array],
    *,
    student: NDArray[np.int64],
    first: NDArray[np.int64],
    requests: NDArray[np.int64],
    num_categories: int,
) -> FeatureMap:
    """Fit the feature map on training rows and training requests alone.

    Parameters
    ----------
    catalog
        ``item_id, category_ids, part``.
    outcomes
        Words for outcomes.
    counts
        Times that training rows hold each ``item`` of the catalog and each ``outcome``.
    columns
        Behaviors and targets: ``offsets, milliseconds, history_end, requested_milliseconds``.
    student
        Of each request of any split.
    first
        First target of each training request.
    requests
        Numbers of the training requests.
    num_categories
        Categories of an item that are shown.
    """
    trained = catalog.filter(pl.Series(counts["item"] > 0))
    shown = trained["category_ids"].list.head(num_categories).list.explode(empty_as_null=False)
    history, gap = TimeMoments(), TimeMoments()
    for at in range(0, len(first), ROWS_A_PIECE):
        targets = first[at : at + ROWS_A_PIECE]
        lengths, seconds = moments_of(columns, targets, student[requests[at : at + ROWS_A_PIECE]])
        history.add(lengths.astype(np.float32))
        gap.add(seconds.astype(np.float32))
    return FeatureMap(
        item_ids=tuple(trained["item_id"]),
        category_ids=tuple(sorted(set(shown.drop_nulls()))),
        parts=tuple(sorted(set(trained["part"].drop_nulls()))),
        outcomes=tuple(word for word, count in zip(outcomes, counts["outcome"], strict=True) if count),
        num_categories=num_categories,
        history=history.scaler(),
        gap=gap.scaler(),
    )


def moments_of(
    columns: Mapping[str, Array], targets: NDArray[np.int64], student: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how many behaviors were known at targets, and the seconds since the last of them.

    Seconds are NaN where there is no earlier behavior or no time; a clock that ran backwards counts as none.
    """
    end = np.asarray(columns["history_end"])[targets]
    lengths = end - np.asarray(columns["offsets"])[student]
    last = np.asarray(columns["milliseconds"])[np.maximum(end - 1, 0)]
    now = np.asarray(columns["requested_milliseconds"])[targets]
    is_known = (lengths > 0) & (last > 0) & (now > 0)
    return lengths, np.where(is_known, np.maximum(now - last, 0) / 1000.0, np.nan)
