"""Prediction tables are replaced whole and know what they were made from."""

from __future__ import annotations

import polars as pl
import pytest

from edpipe.families.tables import MadeFrom, is_made_from, replace_table, table_lines, table_path

MADE_FROM = MadeFrom("strategy", 2, "data1")


def test_a_table_knows_the_version_and_the_data_it_was_made_from(settings):
    assert not is_made_from(settings, "strategies", MADE_FROM)
    path = replace_table(settings, "strategies", pl.DataFrame({"x": [1]}), MADE_FROM)
    assert path == table_path(settings, "strategies")
    assert pl.read_parquet(path)["x"].to_list() == [1]
    assert is_made_from(settings, "strategies", MADE_FROM)
    assert not is_made_from(settings, "strategies", MadeFrom("strategy", 3, "data1"))
    assert not is_made_from(settings, "strategies", MadeFrom("strategy", 2, "data2"))


def test_tables_tell_their_rows_and_whether_they_are_new(settings):
    path = replace_table(settings, "strategies", pl.DataFrame({"x": range(1200)}), MADE_FROM)
    written = path.stat().st_mtime
    assert table_lines([path], since=written) == ["predictions.strategies: 1,200 rows written."]
    assert table_lines([path], since=written + 1) == ["predictions.strategies: 1,200 rows were up to date."]


def test_a_note_is_told_with_the_rows_and_does_not_make_a_table_stale(settings):
    frame = pl.DataFrame({"x": [1]})
    path = replace_table(settings, "strategies", frame, MADE_FROM, note="Of all, 3 left out.")
    told = ["predictions.strategies: 1 rows written. Of all, 3 left out."]
    assert table_lines([path], since=path.stat().st_mtime) == told
    assert is_made_from(settings, "strategies", MADE_FROM)


def test_a_failure_leaves_the_old_table_and_no_other_file(settings, monkeypatch):
    path = replace_table(settings, "strategies", pl.DataFrame({"x": [1]}), MADE_FROM)

    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("edpipe.families.tables.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        replace_table(settings, "strategies", pl.DataFrame({"x": [2]}), MADE_FROM)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert pl.read_parquet(path)["x"].to_list() == [1]
