"""What a recommender is told of items, behaviors and moments: fitted on training rows, kept as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.vocabulary import FIRST_KNOWN, PADDING, UNKNOWN, TimeScaler
from edpipe.errors import TrainingError

FORMAT = 1
CONTEXT = ("history_length", "gap_seconds")


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Numbers for what training rows hold. 0 is padding, 1 whatever they do not; of outcomes, 0 is both.

    The fields of an item are the item itself, its categories one a field, and its part where the source has
    parts. An item that training has not seen still has its categories.

    Attributes
    ----------
    item_ids, category_ids, parts
        What training rows hold, in the order of their numbers; the first has number 2.
    outcomes
        Words for outcomes in the order of their numbers; the first has number 1.
    num_categories
        Fields for categories.
    history, gap
        Scalers of the two numbers of the context: behaviors so far, and seconds since the last of them.
    """

    item_ids: tuple[str, ...]
    category_ids: tuple[str, ...]
    parts: tuple[int, ...]
    outcomes: tuple[str, ...]
    num_categories: int
    history: TimeScaler
    gap: TimeScaler

    @property
    def field_names(self) -> tuple[str, ...]:
        """Vocabulary of each field; equal names share their numbers."""
        part = ("part",) if self.parts else ()
        return ("item", *("category",) * self.num_categories, *part)

    @property
    def field_sizes(self) -> tuple[int, ...]:
        """Numbers of each field, padding and unknown included."""
        sizes = {"item": self.item_ids, "category": self.category_ids, "part": self.parts}
        return tuple(len(sizes[name]) + FIRST_KNOWN for name in self.field_names)

    @property
    def num_outcomes(self) -> int:
        """Numbers of outcomes, 0 for unknown included."""
        return len(self.outcomes) + 1

    @property
    def num_context(self) -> int:
        """Numbers about an impression."""
        return len(CONTEXT)

    def items(self, catalog: pl.DataFrame) -> NDArray[np.int64]:
        """Return the fields of items.

        Parameters
        ----------
        catalog
            ``item_id``, ``category_ids`` (a list), ``part``.

        Returns
        -------
        numpy.ndarray
            Shape ``(num_items, num_fields)``.
        """
        columns = [_numbers(self.item_ids, catalog["item_id"].to_list())]
        if self.num_categories:
            number = {name: place for place, name in enumerate(self.category_ids, FIRST_KNOWN)}
            categories = np.full((catalog.height, self.num_categories), PADDING, dtype=np.int64)
            for row, names in enumerate(catalog["category_ids"].to_list()):
                kept = [number.get(name, UNKNOWN) for name in (names or ())[: self.num_categories]]
                categories[row, : len(kept)] = kept
            columns.extend(categories.T)
        if self.parts:
            parts = catalog["part"].to_list()
            known = _numbers(self.parts, parts)
            columns.append(np.where([part is None for part in parts], PADDING, known))
        return np.stack(columns, axis=1)

    def outcome_numbers(self, outcomes: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of each word, 0 for those that training rows do not hold."""
        number = {name: place for place, name in enumerate(self.outcomes, 1)}
        return np.array([number.get(name, 0) for name in outcomes], dtype=np.int64)

    def context(
        self, history_length: NDArray[np.int64], gap_seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return the numbers about impressions, near 0 with spread near 1. Shape ``(num_rows, num_context)``.

        A gap that is not known is NaN, and becomes 0.
        """
        history = self.history(history_length.astype(np.float32))
        return np.stack([history, self.gap(gap_seconds.astype(np.float32))], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "format": FORMAT,
            "item_ids": list(self.item_ids),
            "category_ids": list(self.category_ids),
            "parts": list(self.parts),
            "outcomes": list(self.outcomes),
            "num_categories": self.num_categories,
            "history": [self.history.mean, self.history.deviation],
            "gap": [self.gap.mean, self.gap.deviation],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureMap:
        """Return what :meth:`to_dict` described.

        Raises
        ------
        TrainingError
            If the values are of another format.
        """
        if values.get("format") != FORMAT:
            raise TrainingError(
                "The feature map has a format that this version does not read.",
                found=repr(values.get("format")),
                expected=str(FORMAT),
                next_step="Use the version that wrote it, or train again.",
            )
        return cls(
            tuple(values["item_ids"]),
            tuple(values["category_ids"]),
            tuple(values["parts"]),
            tuple(values["outcomes"]),
            int(values["num_categories"]),
            TimeScaler(*values["history"]),
            TimeScaler(*values["gap"]),
        )

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        temporary = path.with_name(f".{path.name}.writing")
        temporary.write_text(json.dumps(self.to_dict()), encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> FeatureMap:
        """Read what :meth:`save` wrote."""
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))


def _numbers(known: Sequence[object], wanted: Sequence[object]) -> NDArray[np.int64]:
    number = {name: place for place, name in enumerate(known, FIRST_KNOWN)}
    return np.array([number.get(name, UNKNOWN) for name in wanted], dtype=np.int64)
