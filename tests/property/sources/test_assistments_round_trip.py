"""What is written in an ASSISTments layout is read back, row for row."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edpipe.sources.assistments import read_assistments
from edpipe.sources.synthetic import write_assistments

Answers = list[list[tuple[int, int, bool]]]
answers = st.lists(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 400), st.booleans()), min_size=1, max_size=30),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(students=answers, line_end=st.sampled_from(["\n", "\r\n", "\r"]), comma=st.sampled_from(["", ","]))
def test_any_lists_come_back(tmp_path: Path, students: Answers, line_end: str, comma: str) -> None:
    lines = []
    for number, rows in enumerate(students):
        lines.append(f"{number},{number + 500}")
        lines += [",".join(str(int(row[column])) for row in rows) + comma for column in range(3)]
    path = tmp_path / "data_train.csv"
    path.write_bytes(line_end.join(lines).encode())
    read, rejects = read_assistments(path)
    assert rejects.is_empty()
    expected = [
        (f"data:{number + 500}", place, f"data:{problem}", f"data:{kc}", int(correct))
        for number, rows in enumerate(students)
        for place, (problem, kc, correct) in enumerate(rows, start=1)
    ]
    assert read.select("student_id", "source_row", "problem_id", "kc_id", "correct").rows() == expected


@pytest.mark.parametrize("line_end", ["\n", "\r"])
def test_synthetic_answers_come_back_from_every_layout(tmp_path: Path, line_end: Literal["\n", "\r"]) -> None:
    made = write_assistments(tmp_path, num_students=40, line_end=line_end)
    truth = made.rows
    for layout, paths in made.paths.items():
        read = [read_assistments(path) for path in paths]
        assert all(rejects.is_empty() for _, rejects in read)
        rows = pl.concat([rows for rows, _ in read])
        assert rows.height == truth.height
        assert rows["student_id"].n_unique() == truth["user"].n_unique()
        if layout == "akt":
            numbers = rows["student_id"].str.extract(r"(\d+)$").cast(pl.Int64)
            joined = rows.with_columns(user=numbers, source_row=pl.col("source_row").cast(pl.Int64)).join(
                truth, on=["user", "source_row"], suffix="_true"
            )
            assert joined.height == truth.height
            assert (joined["correct"] == joined["is_correct"].cast(pl.Int32)).all()
            assert (joined["split"] == joined["split_true"]).all()
            assert (joined["problem_id"].str.extract(r"(\d+)$") == joined["problem"].cast(pl.String)).all()


def test_rows_of_one_problem_repeat_its_answer(tmp_path: Path) -> None:
    rows = write_assistments(tmp_path, num_students=30).rows
    again = rows.filter(~pl.col("is_first_row"))
    assert again.height > 0
    previous = rows.with_columns(pl.col("problem", "is_correct").shift(1).over("user").name.suffix("_before"))
    repeated = previous.filter(~pl.col("is_first_row"))
    assert (repeated["problem"] == repeated["problem_before"]).all()
    assert (repeated["is_correct"] == repeated["is_correct_before"]).all()
    assert set(rows["split"]) == {"train", "valid", "test"}
