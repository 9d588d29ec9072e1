"""ASSISTments answers are read from three layouts, and nothing is dropped in silence."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from edpipe.errors import SettingsError, SourceError
from edpipe.raw import RAW_SCHEMAS, read_manifest, relation_dir
from edpipe.settings import Settings
from edpipe.sources.assistments import ingest_assistments, read_assistments
from edpipe.sources.synthetic import write_assistments

AKT = "5,701\n11,11,12\n1,2,1\n1,1,0\n6,702\n13\n3\n1\n"
DKT = "3\n0,4,0,\n1,0,1,\n2\n4,4,\n0,0,\n"
TABLE = (
    "user_id,problem_id,skill_id,correct,original,attempt_count,hint_count,ms_first_response,opportunity\n"
)


def write(folder: Path, name: str, text: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def landed(settings: Settings) -> pl.DataFrame:
    manifest = read_manifest(settings.raw_dir, "assistments", "answers")
    assert manifest
    folder = relation_dir(settings.raw_dir, "assistments", "answers")
    return pl.concat([pl.read_parquet(folder / shard.file) for shard in manifest.shards])


@pytest.mark.parametrize(
    ("name", "students", "answers"),
    [
        ("assist2009_pid_train1.csv", 2_491, 203_442),
        ("assist2009_pid_valid1.csv", 830, 61_280),
        ("assist2009_pid_test1.csv", 830, 60_915),
        ("builder_test.csv", 856, 117_567),
        ("skill_builder_2009_truncated_cr_eol.csv", 33, 100),
    ],
)
def test_real_files_have_their_known_counts(real_data: Path, name: str, students: int, answers: int) -> None:
    rows, rejects = read_assistments(real_data / "education" / "assistments" / name)
    assert (rows["student_id"].n_unique(), rows.height, rejects.height) == (students, answers, 0)


def test_real_folder_lands_with_disjoint_students(real_data: Path, settings: Settings) -> None:
    report = ingest_assistments([real_data / "education" / "assistments"], settings)
    assert report.rows == 443_304
    rows = landed(settings)
    assert rows["student_id"].n_unique() == 2_491 + 830 + 830 + 856 + 33
    assert rows.group_by("student_id").agg(pl.col("source_file").n_unique())["source_file"].max() == 1
    assert dict(rows.group_by("split").len().iter_rows()) == {
        "train": 203_442,
        "valid": 61_280,
        "test": 60_915 + 117_567,
        None: 100,
    }


def test_four_lines_a_student(tmp_path: Path) -> None:
    rows, rejects = read_assistments(write(tmp_path, "assist2009_pid_valid1.csv", AKT))
    assert rejects.is_empty()
    assert rows.columns == list(RAW_SCHEMAS["assistments", "answers"])
    assert rows["student_id"].to_list() == ["assist2009_pid-1:701"] * 3 + ["assist2009_pid-1:702"]
    assert rows["problem_id"].to_list() == [f"assist2009_pid:{number}" for number in (11, 11, 12, 13)]
    assert rows["kc_id"].to_list() == [f"assist2009_pid:{number}" for number in (1, 2, 1, 3)]
    assert rows["correct"].to_list() == [1, 1, 0, 1]
    assert rows["source_row"].to_list() == [1, 2, 3, 1]
    assert set(rows["split"]) == {"valid"}


def test_three_lines_a_student_with_trailing_commas(tmp_path: Path) -> None:
    rows, rejects = read_assistments(write(tmp_path, "builder_train.csv", DKT))
    assert rejects.is_empty()
    assert rows["student_id"].to_list() == ["builder_train:1"] * 3 + ["builder_train:2"] * 2
    assert rows["problem_id"].null_count() == 5
    assert rows["kc_id"].to_list() == ["builder:0", "builder:4", "builder:0", "builder:4", "builder:4"]
    assert rows["correct"].to_list() == [1, 0, 1, 0, 0]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_table_with_any_line_end(tmp_path: Path, line_end: str) -> None:
    text = TABLE + "7,50,3,1,1,1,0,1200,1\n8,51,,0,0,2,3,-5,2\n7,51,NA,0,1,,NA,3.0,9\n"
    rows, rejects = read_assistments(write(tmp_path, "answers.csv", text.replace("\n", line_end)))
    assert rejects.is_empty()
    assert rows["student_id"].to_list() == ["answers:7", "answers:8", "answers:7"]
    assert rows["source_row"].to_list() == [1, 1, 2]
    assert rows["kc_id"].to_list() == ["answers:3", None, None]
    assert rows["is_original"].to_list() == [True, False, True]
    assert rows["attempt_count"].to_list() == [1, 2, None]
    assert rows["response_milliseconds"].to_list() == [1_200, -5, 3]
    assert rows["split"].null_count() == 3


def test_table_is_ordered_by_order_id_where_there_is_one(tmp_path: Path) -> None:
    text = "order_id,user_id,problem_id,correct\n30,1,a,1\n10,1,b,0\n20,2,c,1\n10,1,d,1\n"
    rows, _ = read_assistments(write(tmp_path, "answers.csv", text))
    one = rows.filter(student_id="answers:1")
    assert one["problem_id"].to_list() == ["answers:b", "answers:d", "answers:a"]
    assert one["source_row"].to_list() == [1, 2, 3]


def test_latin_1_and_quoted_cells_are_read(tmp_path: Path) -> None:
    text = 'user_id,problem_id,skill_name,correct\n1,2,"Área, perímetro\u0085",1\n'
    rows, rejects = read_assistments(write(tmp_path, "answers.csv", text.encode("latin-1")))
    assert (rows.height, rejects.height) == (1, 0)


def test_byte_order_mark_is_no_part_of_the_first_cell(tmp_path: Path) -> None:
    rows, _ = read_assistments(write(tmp_path, "a_train.csv", b"\xef\xbb\xbf" + AKT.encode()))
    assert rows.height == 4


@pytest.mark.parametrize(
    ("text", "reasons", "kept"),
    [
        ("1,7\n1,2,3\n4,5\n1,0,1\n", ["ragged lists"] * 3, 0),
        ("1,7\n1,2,3\n4,5,6\n1,2,x\n", ["bad correct"] * 2, 1),
        ("1,7\n1,,3\n4,5,\n1,0,1\n", ["ragged lists"] * 3, 0),
        ("1,7\n1,,3\n4,5,6\n1,0,1\n", ["empty problem"], 2),
        ("1,7\n1,2,3\n4,,6\n1,0,1\n", ["empty kc"], 2),
        ("1,7\n1\n2\n1\n1,7\n5,5\n2,3\n1,1\n", ["student repeated"] * 2, 1),
        ("1,7\n1\n2\n1\nx,8\n5,5\n2,3\n1,1\n", ["bad student line"] * 2, 1),
        ("1,7\n1\n2\n1\n2,8\n5,5\n", ["truncated record"] * 2, 1),
        ("3\n1,2,\n1,0,\n", ["wrong length"] * 2, 0),
        (TABLE + "1,2,3,2,1,1,0,5,1\n1,2,3,1,1,1,0,5,1\n", ["bad correct"], 1),
        (TABLE + "1,2,3,1,1,1,0,5\n1,2,3,1,1,many,0,5,1\n", ["wrong column count", "bad number"], 0),
        (TABLE + ",2,3,1,1,1,0,5,1\n1,2,3,1,7,1,0,5,1\n", ["empty student or problem", "bad original"], 0),
        (TABLE + "1,2,3,1,1,99999999999,0,5,1\n", ["bad number"], 0),
    ],
)
def test_unusable_rows_are_rejected_with_a_reason(
    tmp_path: Path, text: str, reasons: list[str], kept: int
) -> None:
    rows, rejects = read_assistments(write(tmp_path, "odd.csv", text))
    assert rejects["reason"].to_list() == reasons
    assert rejects["raw_text"].str.len_chars().min() > 0
    assert rows.height == kept


@pytest.mark.parametrize("text", ["", "\x00\x01", "a,b\n1,2\n", "1,2,3\n", "user_id,correct\n1,1\n"])
def test_unknown_layout_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="layout"):
        read_assistments(write(tmp_path, "other.csv", text))


def test_a_table_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="column twice"):
        read_assistments(write(tmp_path, "a.csv", "user_id,problem_id,correct,correct\n1,1,1,0\n"))


def test_a_quote_that_is_never_closed_is_refused(tmp_path: Path) -> None:
    text = 'user_id,problem_id,correct\n1,"2,1\n' + "1,2,1\n" * 30_000
    with pytest.raises(SourceError, match="cells"):
        read_assistments(write(tmp_path, "a.csv", text))


def test_many_rejects_fail_and_leave_the_earlier_state(tmp_path: Path, settings: Settings) -> None:
    good = write(tmp_path / "in", "a_train.csv", AKT)
    ingest_assistments([good], settings)
    before = read_manifest(settings.raw_dir, "assistments", "answers")
    bad = write(tmp_path / "in", "b_train.csv", AKT + "8,703\n1,2\n1\n1,1\n")
    with pytest.raises(SourceError, match="Too many rows"):
        ingest_assistments([bad], settings)
    assert read_manifest(settings.raw_dir, "assistments", "answers") == before
    report = ingest_assistments([bad], settings, max_rejects=0.5)
    assert (report.rows, report.rejected_rows) == (4, 2)


def test_second_run_writes_nothing_and_a_dry_run_never(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "in"
    write(folder, "a_train.csv", AKT)
    write(folder, "b.csv", "no,layout\n")
    assert ingest_assistments([folder], settings, dry_run=True).shards_written == 1
    assert not settings.raw_dir.exists()
    first = ingest_assistments([folder], settings)
    assert first.shards_written == 1
    assert any("b.csv: left out" in note for note in first.relations[0].notes)
    assert ingest_assistments([folder], settings).shards_written == 0
    write(folder, "a_train.csv", AKT.replace("702", "709"))
    assert ingest_assistments([folder], settings).shards_written == 1
    assert "a:709" in landed(settings)["student_id"].to_list()


def test_students_of_one_fold_in_two_files_are_refused(tmp_path: Path, settings: Settings) -> None:
    one, two = write(tmp_path, "a_train1.csv", AKT), write(tmp_path, "a_test1.csv", AKT)
    with pytest.raises(SourceError, match="same fold") as caught:
        ingest_assistments([one, two], settings)
    assert "701" in str(caught.value)
    assert not settings.raw_dir.exists()


def test_equal_ids_of_different_data_stay_different_students(tmp_path: Path, settings: Settings) -> None:
    files = [
        write(tmp_path, "a_train1.csv", AKT),
        write(tmp_path, "a_test2.csv", AKT),
        write(tmp_path, "builder_train.csv", DKT),
        write(tmp_path, "builder_test.csv", DKT),
        write(tmp_path, "table.csv", TABLE + "701,11,1,1,1,1,0,5,1\n"),
    ]
    ingest_assistments(files, settings)
    assert landed(settings)["student_id"].n_unique() == 2 + 2 + 2 + 2 + 1


def test_files_of_the_same_name_are_refused(tmp_path: Path, settings: Settings) -> None:
    files = [write(tmp_path / name, "builder_test.csv", DKT) for name in ("one", "two")]
    with pytest.raises(SourceError, match="same name"):
        ingest_assistments(files, settings)


def test_a_folder_without_answers_is_refused(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(SourceError, match="no file"):
        ingest_assistments([tmp_path], settings)


def test_an_unknown_file_that_was_named_is_refused(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(SourceError, match="layout"):
        ingest_assistments([write(tmp_path, "a.csv", "no,layout\n")], settings)


def test_unknown_synthetic_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        write_assistments(tmp_path, num_students=3, layouts=("kdd",))
