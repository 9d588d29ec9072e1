"""Plain predictors that know no behavior sequence: how often an item is taken up, and by whom."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
import polars as pl

from edpipe.evaluation.metrics import Float, Int
from edpipe.mastery.logistic_fit import fit_weights

# Rows that the mean of all rows counts for beside those of an item.
PRIOR_ROWS: Final = 10.0
STRENGTH: Final = 1.0


class ClickFloor(Protocol):
    """A predictor fitted on training rows; it looks at ``student``, ``item`` and ``history`` alone."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    def predict(self, rows: pl.DataFrame) -> Float:
        """Return the probability of a click of each row."""
        ...


class ItemRate:
    """Predict the share of an item's training rows that were clicks, drawn towards the mean of all.

    Parameters
    ----------
    rows
        Training rows: ``item, clicked``.
    num_items
        Items of the catalog.
    """

    name: Final = "item CTR"

    def __init__(self, rows: pl.DataFrame, num_items: int) -> None:
        item, clicked = rows["item"].to_numpy(), rows["clicked"].cast(pl.Float64).to_numpy()
        mean = clicked.mean()
        clicks = np.bincount(item, weights=clicked, minlength=num_items) + PRIOR_ROWS * mean
        self._rates = clicks / (np.bincount(item, minlength=num_items) + PRIOR_ROWS)

    def predict(self, rows: pl.DataFrame) -> Float:
        """Return the probability of a click of each row."""
        found: Float = self._rates[rows["item"].to_numpy()]
        return found


class StudentItemLogistic:
    """Predict by a logistic regression on student, item, the item's popularity and the length of the history.

    Parameters
    ----------
    rows
        Training rows: ``student, item, history, clicked``.
    popularity
        How often training rows hold each item. Shape ``(num_items,)``.
    num_students
        Number of students.
    """

    name: Final = "logistic regression"

    def __init__(self, rows: pl.DataFrame, popularity: Int, num_students: int) -> None:
        self._popularity = np.log1p(popularity)
        self._num_students = num_students
        clicked = rows["clicked"].cast(pl.Float64).to_numpy()
        self._weights = fit_weights(self._features(rows), clicked, strength=STRENGTH)

    def predict(self, rows: pl.DataFrame) -> Float:
        """Return the probability of a click of each row."""
        logit = self._features(rows) @ self._weights[:-1] + self._weights[-1]
        found: Float = 1 / (1 + np.exp(-logit))
        return found

    def _features(self, rows: pl.DataFrame) -> Any:
        from scipy.sparse import csr_matrix

        student, item, history = (rows[name].to_numpy() for name in ("student", "item", "history"))
        number, first = len(rows), self._num_students
        last = first + len(self._popularity)
        columns = np.stack([student, first + item, np.full(number, last), np.full(number, last + 1)], axis=1)
        values = np.stack(
            [np.ones(number), np.ones(number), self._popularity[item], np.log1p(history)], axis=1
        )
        offsets = np.arange(0, 4 * number + 1, 4)
        shape = (number, last + 2)
        return csr_matrix((values.ravel(), columns.ravel().astype(np.int32), offsets), shape=shape)
