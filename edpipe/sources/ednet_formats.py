"""EdNet's files: their columns, which of them may be empty, and how large the published data is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from edpipe.sources.landing import polars_schema

SOURCE = "ednet"
LEVELS = ("kt1", "kt2", "kt3", "kt4")
CONTENTS = ("questions", "lectures", "payments", "coupons")
LICENCE = "CC BY-NC 4.0"
# Archive comment of synthetic data, which are EdNet's in form only and bound by no licence.
SYNTHETIC_MARK = b"edpipe.sources.synthetic"
SYNTHETIC_LICENCE = "none: synthetic students"
DOWNLOADS = "the list of links in https://github.com/riiid/ednet"
# Students of EdNet: all are on level KT1. Source: complete KT1 archive, release of 2019-12-24.
NUM_STUDENTS = 784_309


@dataclass(frozen=True, slots=True)
class RowFormat:
    """Columns of one kind of file.

    ``question_column`` names questions that must be known; on the action levels only ids that
    begin with ``q`` are questions.
    """

    relation: str
    schema: Mapping[str, pl.DataType]
    required_text: frozenset[str] = frozenset()
    optional_numbers: frozenset[str] = frozenset()
    question_column: str = ""
    only_q_ids: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the file, in the published order."""
        return tuple(self.schema)

    @property
    def has_students(self) -> bool:
        """Whether each file holds one student, named only by the file."""
        return self.relation in LEVELS


def _format(relation: str, *, required: tuple[str, ...], **more: object) -> RowFormat:
    schema = polars_schema(SOURCE, relation)
    file_columns = {name: kind for name, kind in schema.items() if name not in {"student_id", "source_row"}}
    if relation == "kt4":
        # In the file the column stands fourth, whatever the README of the data says.
        names = [name for name in file_columns if name != "cursor_time"]
        names.insert(3, "cursor_time")
        file_columns = {name: file_columns[name] for name in names}
    return RowFormat(relation, file_columns, required_text=frozenset(required), **more)  # type: ignore[arg-type]  # passed on as given


_ACTION_TEXT = ("action_type", "item_id")
FORMATS: dict[str, RowFormat] = {
    "kt1": _format("kt1", required=(), question_column="question_id"),
    "kt2": _format("kt2", required=_ACTION_TEXT, question_column="item_id", only_q_ids=True),
    "kt3": _format("kt3", required=_ACTION_TEXT, question_column="item_id", only_q_ids=True),
    "kt4": _format(
        "kt4",
        required=_ACTION_TEXT,
        optional_numbers=frozenset({"cursor_time"}),
        question_column="item_id",
        only_q_ids=True,
    ),
    "questions": _format("questions", required=("question_id", "bundle_id", "correct_answer")),
    "lectures": _format("lectures", required=("lecture_id",)),
    "payments": _format("payments", required=("payment_item_id",)),
    "coupons": _format("coupons", required=("coupon_id",)),
}
