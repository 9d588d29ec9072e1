"""Damaged tutor logs: an error that says what to do, or rejects that are counted; never half."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from edpipe import ingest
from edpipe.errors import SourceError
from edpipe.raw import read_manifest, relation_dir
from edpipe.sources import tutor, tutor_pieces

HEADER = "Row\tAnon Student Id\tProblem Name\tStep Name\tCorrect First Attempt\tKC(m)\tOpportunity(m)"
COMMAS = HEADER.replace("\t", ",")


def row(number: int = 1, step: str = "q") -> str:
    return f"{number}\ts{number % 3}\tp\t{step}\t1\tk\t1"


def log(folder: Path, data: bytes | str, name: str = "a_train.txt") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def landed(settings) -> pl.DataFrame:
    folder = relation_dir(settings.raw_dir, "kddcup", "steps")
    return pl.read_parquet([path for path in folder.glob("*.parquet") if "rejects" not in path.name])


def in_small_pieces(settings):
    return settings.model_copy(update={"ingest": settings.ingest.model_copy(update={"shard_mib": 1})})


def test_a_file_with_a_header_only_gives_no_row(settings, tmp_path):
    for end in ("", "\n", "\r\n", "\n\n"):
        report = ingest("kddcup", [log(tmp_path, HEADER + end)], settings)
        assert (report.rows, report.rejected_rows) == (0, 0)


@pytest.mark.parametrize("data", [b"", b"\n", b"\x00" * 1000, b"\xff\xfe" + HEADER.encode("utf-16-le")])
def test_a_file_without_a_header_is_refused_and_nothing_is_written(settings, tmp_path, data):
    with pytest.raises(SourceError, match="header of a tutor log is not known"):
        ingest("kddcup", [log(tmp_path, data)], settings)
    assert not settings.home.exists()


def test_text_in_utf_16_is_named(settings, tmp_path):
    with pytest.raises(SourceError, match="UTF-16"):
        ingest("kddcup", [log(tmp_path, HEADER.encode("utf-16"))], settings)


def test_a_byte_order_mark_is_no_part_of_the_first_column(settings, tmp_path):
    report = ingest("kddcup", [log(tmp_path, "\ufeff" + HEADER + "\n" + row(7))], settings)
    assert landed(settings)["published_row"].to_list() == [7]
    assert report.rejected_rows == 0


def test_a_file_that_ends_within_a_line_loses_that_line_only(settings, tmp_path):
    text = "\n".join([HEADER, row(1), row(2), row(3)])
    report = ingest("kddcup", [log(tmp_path, text[:-4])], settings, max_rejects=1)
    assert (report.rows, report.rejected_rows) == (2, 1)


def test_nul_bytes_are_characters_like_any_other(settings, tmp_path):
    text = "\n".join([HEADER, row(1, "a\x00b"), "\x00", row(2)])
    report = ingest("kddcup", [log(tmp_path, text)], settings, max_rejects=1)
    assert landed(settings).sort("source_row")["step_name"].to_list() == ["a\x00b", "q"]
    assert report.rejected_rows == 1


@pytest.mark.parametrize("is_quoted", [False, True])
def test_a_line_of_ten_megabytes_is_read(settings, tmp_path, is_quoted):
    text = "\n".join([HEADER, row(1), row(2, "x" * 10_000_000), row(3)])
    if is_quoted:
        text = text.replace("\t", ",")
    ingest("kddcup", [log(tmp_path, text)], settings, max_rejects=0)
    assert landed(settings)["step_name"].str.len_chars().sort().to_list() == [1, 1, 10_000_000]


def test_a_line_of_ten_megabytes_that_cannot_be_used_is_refused(settings, tmp_path):
    text = "\n".join([HEADER, "x" * 10_000_000, row(2)])
    report = ingest("kddcup", [log(tmp_path, text)], settings, max_rejects=1)
    assert (report.rows, report.rejected_rows) == (1, 1)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(tutor_pieces, "LONGEST_LINE", 2**20)
    path = log(tmp_path, HEADER + "\n" + row(1) + "\n" + "x" * 2**22)
    with pytest.raises(SourceError, match=r"does not end(.|\n)*row 2"):
        ingest("kddcup", [path], in_small_pieces(settings))
    assert not settings.home.exists()


def test_a_quote_that_is_never_closed_is_refused_in_a_large_file(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(tutor_pieces, "LONGEST_LINE", 2**20)
    lines = [row(number).replace("\t", ",") for number in range(1, 200_000)]
    lines[4] = lines[4].replace("q", '"q')
    with pytest.raises(SourceError, match=r"row 5(.|\n)*each quote closed"):
        ingest("kddcup", [log(tmp_path, "\n".join([COMMAS, *lines]))], in_small_pieces(settings))


def test_a_quote_that_is_never_closed_is_told_in_a_small_file(settings, tmp_path):
    lines = [row(number).replace("\t", ",") for number in range(1, 20)]
    lines[4] = lines[4].replace("q", '"q')
    report = ingest("kddcup", [log(tmp_path, "\n".join([COMMAS, *lines]))], settings, max_rejects=1)
    assert (report.rows, report.rejected_rows) == (4, 1)
    folder = relation_dir(settings.raw_dir, "kddcup", "steps")
    [reason] = pl.read_parquet(list(folder.glob("*rejects*")))["reason"]
    assert "a quoted cell goes over 15 lines" in reason


def test_stray_quotes_in_a_comma_separated_file_take_no_line_with_them(settings, tmp_path):
    lines = [row(number, step='5" rule').replace("\t", ",") for number in range(1, 4)]
    report = ingest("kddcup", [log(tmp_path, "\n".join([COMMAS, *lines]))], settings)
    assert report.rejected_rows == 0
    assert landed(settings)["step_name"].to_list() == ['5" rule'] * 3


def test_a_folder_inside_a_folder_is_left_out_and_named(settings, tmp_path):
    log(tmp_path, f"{HEADER}\n{row()}")
    (tmp_path / "more.txt").mkdir()
    log(tmp_path, "a\tb", "other.txt")
    report = ingest("kddcup", [tmp_path], settings)
    assert report.rows == 1
    assert {note.split(":")[0] for note in report.relations[0].notes} >= {"more.txt", "other.txt"}


def test_an_empty_folder_and_a_missing_file_are_named(settings, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(SourceError, match="no tutor log"):
        ingest("kddcup", [tmp_path / "in"], settings)
    with pytest.raises(SourceError, match="does not exist"):
        ingest("kddcup", [tmp_path / "absent.txt"], settings)


def test_a_file_that_may_not_be_read_is_named(settings, tmp_path, monkeypatch):
    path = log(tmp_path, f"{HEADER}\n{row()}")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything
        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match=r"cannot be read(.|\n)*permissions"):
        ingest("kddcup", [path], settings)


def refuse(path: Path, *_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


def test_a_file_that_becomes_shorter_while_it_is_read_is_refused(settings, tmp_path, monkeypatch):
    path = log(tmp_path, "\n".join([HEADER, row(1), row(2)]))
    original = tutor.land

    def land_late(*given, **named):
        path.write_text(path.read_text()[:-10])
        return original(*given, **named)

    monkeypatch.setattr(tutor, "land", land_late)
    with pytest.raises(SourceError, match="became shorter"):
        ingest("kddcup", [path], settings)
    assert read_manifest(settings.raw_dir, "kddcup", "steps") is None


def test_progress_of_a_long_file_is_shown_while_rows_are_counted_and_read(
    settings, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tutor, "_LARGE_BYTES", 0)
    shown = settings.model_copy(update={"progress": "log"})
    ingest("kddcup", [log(tmp_path, "\n".join([HEADER, row()]))], shown)
    told = capsys.readouterr().err
    assert "Count the rows of kddcup: done" in told
    assert "Ingest kddcup steps: done" in told


def test_two_files_of_one_name_are_refused(settings, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        log(tmp_path / folder, f"{HEADER}\n{row()}")
    with pytest.raises(SourceError, match="same name"):
        ingest("kddcup", [tmp_path / "one", tmp_path / "two"], settings)
    assert not settings.home.exists()


def test_too_many_rejects_leave_the_earlier_state(settings, tmp_path):
    ingest("kddcup", [log(tmp_path, f"{HEADER}\n{row()}")], settings)
    before = read_manifest(settings.raw_dir, "kddcup", "steps")
    broken = log(tmp_path, "\n".join([HEADER, row(), "broken", "broken too"]))
    with pytest.raises(SourceError, match="Too many rows"):
        ingest("kddcup", [broken], settings)
    assert read_manifest(settings.raw_dir, "kddcup", "steps") == before


def test_a_dry_run_reads_no_rows_of_a_file_without_quoting(settings, tmp_path, monkeypatch):
    path = log(tmp_path, "\n".join([HEADER, *(row(number) for number in range(1, 150_000))]))
    read = []
    original = tutor_pieces.read_bytes
    monkeypatch.setattr(tutor_pieces, "read_bytes", lambda *given: read.append(given[2]) or original(*given))
    small = in_small_pieces(settings)
    report = ingest("kddcup", [path], small, dry_run=True)
    assert report.shards_written > 2
    assert not settings.home.exists()
    assert sum(read) < path.stat().st_size
    read.clear()
    ingest("kddcup", [path], small)
    assert ingest("kddcup", [path], small, dry_run=True).shards_written == 0
