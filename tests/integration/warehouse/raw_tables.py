"""Small raw relations, written as ingestion writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from edpipe.raw import RAW_SCHEMAS, Manifest, RawShard, relation_dir, write_manifest

POLARS = {
    "VARCHAR": pl.String,
    "VARCHAR[]": pl.List(pl.String),
    "BIGINT": pl.Int64,
    "INTEGER": pl.Int32,
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
}
MONDAY = 1_546_300_800_000


def write_raw(raw_dir: Path, source: str, relation: str, rows: list[dict[str, Any]], version: str) -> None:
    """Replace a raw relation; ``version`` is its fingerprint."""
    schema = {name: POLARS[kind] for name, kind in RAW_SCHEMAS[source, relation].items()}
    folder = relation_dir(raw_dir, source, relation)
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "part-0.parquet")
    write_manifest(
        raw_dir,
        Manifest(
            source=source,
            relation=relation,
            fingerprint=version,
            inputs=[],
            shards=[RawShard("part-0.parquet", len(rows))],
        ),
    )


def write_questions(raw_dir: Path, version: str = "1") -> None:
    """Write three questions in two bundles."""
    rows = [
        {
            "source_row": 1,
            "question_id": "q1",
            "bundle_id": "b1",
            "correct_answer": "a",
            "part": 3,
            "tags": "1;2",
        },
        {
            "source_row": 2,
            "question_id": "q2",
            "bundle_id": "b1",
            "correct_answer": "b",
            "part": 3,
            "tags": "1",
        },
        {
            "source_row": 3,
            "question_id": "q3",
            "bundle_id": "b2",
            "correct_answer": "c",
            "part": 5,
            "tags": "-1",
        },
    ]
    for row in rows:
        row |= {"explanation_id": "e" + str(row["bundle_id"])[1:], "deployed_at": -1}
    write_raw(raw_dir, "ednet", "questions", rows, version)


def answer_rows(num_students: int) -> list[dict[str, Any]]:
    """Return four KT1 rows a student."""
    asked = [("q1", "a", 1), ("q2", "c", 1), ("q3", "", 2), ("q1", "a", 3)]
    return [
        {
            "student_id": f"u{student}",
            "source_row": row,
            "timestamp": MONDAY + row * 60_000 + student,
            "solving_id": visit,
            "question_id": item,
            "user_answer": answer,
            "elapsed_time": 5_000,
        }
        for student in range(1, num_students + 1)
        for row, (item, answer, visit) in enumerate(asked, 1)
    ]


def write_answers(raw_dir: Path, num_students: int, version: str, **changed: Any) -> None:
    """Write KT1; ``changed`` overwrites columns of its first row."""
    rows = answer_rows(num_students)
    rows[0] |= changed
    write_raw(raw_dir, "ednet", "kt1", rows, version)
