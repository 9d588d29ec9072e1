"""Time series files: every layout gives the values that were written, and damage is told with its place."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from edpipe.errors import SourceError
from edpipe.sources.series import (
    read_gluonts_series,
    read_long_series,
    read_row_series,
    read_wide_series,
)

at = datetime.fromisoformat


def test_a_long_csv_gives_its_rows(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("part,day,n\n1,2020-01-01,3\n1,2020-01-02,\n2,2020-01-01,0.5\n", encoding="utf-8")
    found = read_long_series(path, series_column="part", time_column="day", target_column="n")
    assert found["series_id"].to_list() == ["1", "1", "2"]
    assert found["time"].to_list() == [at("2020-01-01"), at("2020-01-02"), at("2020-01-01")]
    assert found["target"].to_list() == [3.0, None, 0.5]


def test_parquet_with_a_zone_becomes_utc(tmp_path):
    path = tmp_path / "long.parquet"
    times = pl.Series([at("2020-01-01 12:00")]).dt.replace_time_zone("Asia/Seoul")
    pl.DataFrame({"series_id": ["a"], "time": times, "target": [1]}).write_parquet(path)
    assert read_long_series(path)["time"].to_list() == [at("2020-01-01 03:00")]


def test_a_wide_table_becomes_one_series_a_column(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("date,word,a,b\n31/12/20,x,1,2\n1/1/21,y,3,4\n", encoding="utf-8")
    found = read_wide_series(path, time_column="date", time_format="%d/%m/%y")
    assert found.rows() == [
        ("a", at("2020-12-31"), 1.0),
        ("a", at("2021-01-01"), 3.0),
        ("b", at("2020-12-31"), 2.0),
        ("b", at("2021-01-01"), 4.0),
    ]


def test_rows_of_different_length_end_at_their_last_value(tmp_path):
    path = tmp_path / "m4.csv"
    path.write_text('"V1","V2","V3","V4"\n"H1","1","","3"\n"H2","5","NA",""\n', encoding="utf-8")
    first, second = read_row_series(path)
    assert first.series_id == "H1"
    np.testing.assert_array_equal(first.target, [1, np.nan, 3])
    np.testing.assert_array_equal(second.target, [5])


@pytest.mark.parametrize("is_packed", [True, False], ids=["archive", "folder"])
def test_gluonts_lines_are_read_from_a_folder_and_an_archive(tmp_path, is_packed):
    lines = [
        {"start": "2020-01-01 00:00:00", "target": [1, None, "NaN"]},
        {"start": "2020-01-02", "target": [4.5], "item_id": "named"},
    ]
    content = "\n".join(json.dumps(line) for line in lines).encode()
    if is_packed:
        path = tmp_path / "set.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in ("set/train/data.json", "set/metadata/metadata.json"):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        path = tmp_path
        (tmp_path / "train").mkdir()
        (tmp_path / "train" / "data.json").write_bytes(content)
    first, second = read_gluonts_series(path, "train")
    assert (first.series_id, second.series_id) == ("0", "named")
    assert first.start == at("2020-01-01")
    np.testing.assert_array_equal(first.target, [1, np.nan, np.nan])
    np.testing.assert_array_equal(second.target, [4.5])
    with pytest.raises(SourceError, match="no such part"):
        read_gluonts_series(path, "test")


def test_damage_is_told_with_its_place(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "data.json").write_text('{"start": "2020-01-01", "target": [1]}\n{"start"\n')
    with pytest.raises(SourceError, match=r"data\.json:2"):
        read_gluonts_series(tmp_path, "train")
    rows = tmp_path / "rows.csv"
    rows.write_text("V1,V2\nH1,one\n")
    with pytest.raises(SourceError, match=r"rows\.csv:2"):
        read_row_series(rows)
    table = tmp_path / "table.csv"
    table.write_text("series_id,time,target\na,yesterday,1\n")
    with pytest.raises(SourceError, match="1 of 1, first 'yesterday'"):
        read_long_series(table)
    with pytest.raises(SourceError, match="lacks columns"):
        read_long_series(table, target_column="value")
    with pytest.raises(SourceError, match="does not exist"):
        read_long_series(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02 03:00:00",
        "2024-01-02T03:00:00",
        "2024-01-02 03:00",
        "2024-01-02T03:00:00.000000",
        "2024-01-02T03:00:00.000000+0000",
        "2024-01-02 05:00:00+02:00",
        "2024-01-02T03:00:00Z",
    ],
)
def test_moments_are_read_in_the_forms_that_iso_allows(text, tmp_path):
    path = tmp_path / "one.csv"
    path.write_text(f"series_id,time,target\na,{text},1\n", encoding="utf-8")
    assert str(read_long_series(path)["time"][0]) == "2024-01-02 03:00:00"
