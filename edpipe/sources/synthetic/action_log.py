"""Actions collected column by column, and the ids that stand in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from edpipe.sources.synthetic.contents import Contents, Ints

NONE: Final = -1
LOG_COLUMNS: Final = ("visit", "time", "rank", "action", "item", "source", "cursor", "choice")


@dataclass(frozen=True, slots=True)
class Labels:
    """All published ids in one column; the other fields say where each kind begins."""

    ids: pl.Series
    explanation: int
    question: int
    lecture: int
    payment: int
    coupon: int
    num_lectures: int


def make_labels(contents: Contents) -> Labels:
    """Put bundles (from 0), explanations, questions, lectures, payments and coupons in one column."""
    bundles = [f"b{number}" for number in contents.bundle_number]
    explanations = [f"e{number}" for number in contents.bundle_number]
    columns = [
        bundles,
        explanations,
        contents.questions["question_id"].to_list(),
        contents.lectures["lecture_id"].to_list(),
        contents.payments["payment_item_id"].to_list(),
        contents.coupons["coupon_id"].to_list(),
    ]
    begins = [0, *np.cumsum([len(column) for column in columns]).tolist()]
    return Labels(
        ids=pl.Series("item_id", [label for column in columns for label in column]),
        explanation=begins[1],
        question=begins[2],
        lecture=begins[3],
        payment=begins[4],
        coupon=begins[5],
        num_lectures=len(columns[3]),
    )


class ActionLog:
    """Actions collected column by column, in any order."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Ints]] = {name: [] for name in LOG_COLUMNS}

    def add(
        self,
        visit: Ints,
        time: Ints,
        rank: int,
        action: int | Ints,
        item: Ints,
        *,
        source: Ints | None = None,
        cursor: int | Ints = NONE,
        choice: int | Ints = NONE,
    ) -> None:
        """Add one action for each entry of ``visit``; ``rank`` orders actions of the same ms."""
        values = {
            "visit": visit,
            "time": time,
            "rank": rank,
            "action": action,
            "item": item,
            "source": NONE if source is None else source,
            "cursor": cursor,
            "choice": choice,
        }
        for name, value in values.items():
            self._parts[name].append(np.broadcast_to(np.asarray(value, dtype=np.int64), visit.shape))

    def columns(self) -> dict[str, Ints]:
        """Return the columns in the order of the file."""
        joined = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        order = np.lexsort((joined["rank"], joined["time"], joined["visit"]))
        return {name: column[order] for name, column in joined.items()}
