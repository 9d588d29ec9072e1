from __future__ import annotations

import io
import json

import polars as pl
import pytest

from edpipe.cli import output
from edpipe.cli.output import Format, emit

ROWS = pl.DataFrame(
    {
        "student_id": ["u1", "u2"],
        "num_answers": [1200, 3],
        "mastery": [0.123456, None],
        "kcs": [["1", "2"], []],
    }
)


def test_json_is_a_list_of_records(capsys):
    emit(ROWS, Format.json)
    records = json.loads(capsys.readouterr().out)
    assert records[0] == {"student_id": "u1", "num_answers": 1200, "mastery": 0.123456, "kcs": ["1", "2"]}


def test_csv_can_be_read_back(capsys):
    emit(ROWS, Format.csv)
    read = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert read["num_answers"].to_list() == [1200, 3]


def test_parquet_goes_to_stdout_as_bytes(capsysbinary):
    emit(ROWS, Format.parquet)
    assert pl.read_parquet(io.BytesIO(capsysbinary.readouterr().out)).equals(ROWS)


def test_a_long_table_says_how_many_rows_there_are(capsys):
    emit(pl.DataFrame({"n": range(500)}), Format.table)
    out, err = capsys.readouterr()
    assert "500 rows" in err
    assert "│ 199 │" in out
    assert "│ 200 │" not in out


@pytest.mark.parametrize("form", [Format.table, Format.json, Format.csv])
def test_no_rows_are_no_error(form, capsys):
    emit([], form)
    emit(pl.DataFrame({"n": []}), form)


def test_missing_values_are_blank_and_yes_is_said_in_words(capsys):
    emit([{"is_ok": True, "value": None, "count": 1234}], Format.table)
    out = capsys.readouterr().out
    assert "yes" in out
    assert "None" not in out
    assert "1,234" in out


def test_nested_dataclasses_and_paths_become_plain_values(tmp_path):
    class Item:
        path = tmp_path
        names = ("a", "b")

    assert output.rows_of([Item()], ("path", "names")) == [{"path": str(tmp_path), "names": "a, b"}]


def test_keys_and_ids_have_no_separators_that_a_query_would_refuse(capsys):
    emit([{"student_key": 12345, "num_answers": 12345}], Format.table)
    out = capsys.readouterr().out
    assert "12345" in out
    assert "12,345" in out


LONG = "synthetic/Write the <expression> that stands for the number of tickets in the story"


def test_long_names_of_several_rows_keep_one_line_each_and_both_ends(capsys):
    rows = [{"kc_id": f"{LONG} {n}", "kcs": [f"{LONG} {n}"] * 9, "num_answers": n} for n in range(3)]
    emit(rows, Format.table)
    out, err = capsys.readouterr()
    body = [line for line in out.splitlines() if line.startswith("│")]
    assert len(body) == 3
    assert all("synthetic/Write the" in line and "…" in line for line in body)
    # Names differ at their ends.
    assert "story 2 │" in body[2]
    assert "--format json" in err
    for form in (Format.csv, Format.json):
        emit(rows, form)
        assert f"{LONG} 2" in capsys.readouterr().out


def test_one_long_row_is_shown_whole_below_each_other(capsys):
    emit([{"kc_id": LONG, "kcs": ", ".join([LONG] * 5)}], Format.table)
    out, err = capsys.readouterr()
    assert "…" not in out
    assert LONG in out
    assert err == ""


def test_sentences_wrap_and_stay_whole(capsys):
    text = "Each student's mastery of each KC as the champion sees it, after all answers. " * 6
    emit([{"relation": f"a.{n}", "description": text} for n in range(2)], Format.table)
    out, err = capsys.readouterr()
    assert "…" not in out
    assert err == ""


def test_many_columns_are_shown_as_blocks_of_names_and_values(capsys):
    emit([{f"column_{n}": n for n in range(40)}], Format.table)
    lines = capsys.readouterr().out.splitlines()
    assert any("column_39" in line and "39" in line.split("│")[2] for line in lines if "│" in line)
