# ruff: noqa: E501 - whole lines of the published files
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from edpipe import build, ingest
from edpipe.errors import SettingsError, SourceError
from edpipe.raw import read_manifest, write_manifest
from edpipe.sources.tutor_header import detect_layout
from edpipe.sources.tutor_times import to_milliseconds

MOMENT = 1_252_675_845_000  # 2009-09-11 13:30:45
KDD = (
    "Row\tAnon Student Id\tProblem Hierarchy\tProblem Name\tProblem View\tStep Name\tStep Start Time\t"
    "First Transaction Time\tCorrect Transaction Time\tStep End Time\tStep Duration (sec)\t"
    "Correct Step Duration (sec)\tError Step Duration (sec)\tCorrect First Attempt\tIncorrects\tHints\t"
    "Corrects\tKC(SubSkills)\tOpportunity(SubSkills)"
)
TIMES = "2009-09-11 13:30:45.0"


def kdd_row(
    row=1, student="s1", step="x+1=2", kcs="Add~~Move", counts="1~~2", first="1", time=TIMES, view="1"
):
    times = "\t".join([time] * 4)
    return f"{row}\t{student}\tUnit A, Section B\tP1\t{view}\t{step}\t{times}\t5\t5\t.\t{first}\t0\t0\t1\t{kcs}\t{counts}"


def written(settings, source: str, relation: str) -> pl.DataFrame:
    folder = settings.raw_dir / source / relation
    return pl.read_parquet([path for path in folder.glob("*.parquet") if "rejects" not in path.name]).sort(
        "source_file", "source_row"
    )


def ingested(
    settings, folder: Path, text: str | bytes, *, source="kddcup", name="a_train.txt", relation="steps"
):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    report = ingest(source, [path], settings, max_rejects=1)
    return written(settings, source, relation), report.relations[0]


@pytest.mark.parametrize(
    "text",
    [
        "2009-09-11 13:30:45",
        "2009-09-11 13:30:45.0",
        "2009-09-11 13:30:45.000",
        "2009-09-11 13:30:45:000",
        "2009-09-11T13:30:45",
        "2009/09/11 13:30:45",
        "09/11/2009 13:30:45",
        "9/11/09 13:30:45",
        "09/11/2009 13:30:45.000",
        "09/11/2009 01:30:45 PM",
        "September 11, 2009 01:30:45 PM",
        "1252675845",
        "1252675845000",
    ],
)
def test_a_moment_is_read_in_every_written_form(text):
    assert to_milliseconds(pl.Series([text])).to_list() == [MOMENT]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2009-09-11 13:30", MOMENT - 45_000),
        ("9/11/2009 13:30", MOMENT - 45_000),
        ("9/11/2009 12:30 AM", MOMENT - 45_000 - 13 * 3_600_000),
        ("2009-09-11 13:30:45:678", MOMENT + 678),
        ("2009-09-11 13:30:45.5", MOMENT + 500),
        ("2009-09-11", MOMENT - ((13 * 60 + 30) * 60 + 45) * 1000),
        ("40067.5", MOMENT - (90 * 60 + 45) * 1000),
    ],
)
def test_other_moments_are_read(text, milliseconds):
    assert to_milliseconds(pl.Series([text])).to_list() == [milliseconds]


@pytest.mark.parametrize(
    "text",
    [
        "30:45.0",
        "9" * 16,
        "9" * 400,
        "2009-13-11 10:00:00",
        "2009-02-30 10:00:00",
        "13/13/2009 10:00",
        "soon",
    ],
)
def test_what_is_no_moment_is_none(text):
    assert to_milliseconds(pl.Series([text, None])).to_list() == [None, None]


def test_kc_models_and_their_opportunities_are_found_by_name():
    odd = "Single-KC!@#$%^&*()\"';:/.?<>\\'[]{}a"
    layout = detect_layout(
        f"#\tAnon Student ID\tproblem name\tStep Name\tFirst Attempt\tOpportunity ({odd})\tKC ({odd})\t"
        "KC(Old)\tOpportunity(Old)\tKnowledge Component(Older)\tPredicted Error Rate (Old)"
    )
    assert [(one.model, one.kcs, one.opportunities) for one in layout.kc_models] == [
        (odd, (6,), (5,)),
        ("Old", (7,), (8,)),
        ("Older", (9,), ()),
    ]
    assert layout.columns["published_row"] == (0,)
    assert layout.fields == ()


@pytest.mark.parametrize("line", ["a,b,c", "", "Anon Student Id\tProblem Name\tGrade"])
def test_another_header_is_no_layout(line):
    assert detect_layout(line) is None


def test_a_step_is_read_whole(settings, tmp_path):
    rows, report = ingested(settings, tmp_path, f"{KDD}\n{kdd_row()}\n")
    row = rows.row(0, named=True)
    assert (report.rows, report.rejected_rows) == (1, 0)
    assert (row["dataset"], row["split"], row["source_row"]) == ("a", "train", 1)
    assert (row["problem_hierarchy"], row["problem_view"], row["first_attempt"]) == (
        "Unit A, Section B",
        1,
        "correct",
    )
    assert (row["kc_models"], row["kc_cells"], row["opportunity_cells"]) == (
        ["SubSkills"],
        ["Add~~Move"],
        ["1~~2"],
    )
    assert (row["first_transaction_milliseconds"], row["error_step_duration_seconds"]) == (MOMENT, None)


def test_blanked_rows_of_the_challenge_keep_their_kcs(settings, tmp_path):
    blank = "7\ts1\tUnit A, Section B\tP1\t1\tstep" + "\t" * 12 + "Add\t3"
    rows, report = ingested(settings, tmp_path, f"{KDD}\n{blank}\n", name="a_test.txt")
    row = rows.row(0, named=True)
    assert report.rejected_rows == 0
    assert (row["first_attempt"], row["first_transaction_milliseconds"], row["hints"]) == (None, None, None)
    assert (row["kc_cells"], row["opportunity_cells"], row["split"]) == (["Add"], ["3"], "test")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_gives_the_same_rows(settings, tmp_path, end):
    text = end.join([KDD, kdd_row(1), "", kdd_row(2), ""])
    rows, _ = ingested(settings, tmp_path, text)
    assert rows["published_row"].to_list() == [1, 2]
    assert rows["source_row"].to_list() == [1, 3]
    assert rows["opportunity_cells"].to_list() == [["1~~2"], ["1~~2"]]


def test_quotes_of_a_spreadsheet_are_undone_and_others_kept(settings, tmp_path):
    written_as = ['"Say ""x"" aloud"', '"Unit A, Section B"', '5" rule', '"whole"', '"a" and "b, c"']
    lines = [kdd_row(number, kcs=cell) for number, cell in enumerate(written_as, 1)]
    rows, _ = ingested(settings, tmp_path, "\n".join([KDD, *lines]))
    read = ['Say "x" aloud', "Unit A, Section B", '5" rule', '"whole"', '"a" and "b, c"']
    assert rows["kc_cells"].to_list() == [[cell] for cell in read]


def test_an_export_quoted_throughout_equals_the_plain_one(settings, tmp_path):
    lines = [KDD, kdd_row(1), kdd_row(2, first="0")]
    quoted = "\n".join("\t".join(f'"{cell}"' for cell in line.split("\t")) for line in lines)
    plain, _ = ingested(settings, tmp_path, "\n".join(lines))
    rows, _ = ingested(settings, tmp_path, quoted)
    assert rows.equals(plain)


def test_bytes_that_are_no_utf_8_are_read_as_latin_1_and_told(settings, tmp_path):
    text = (
        f"{KDD}\n".encode()
        + kdd_row(1, kcs="\u00e9t\u00e9").encode()
        + b"\n"
        + kdd_row(2, kcs="\u00e9t\u00e9").encode("latin-1")
    )
    rows, report = ingested(settings, tmp_path, text)
    assert rows["kc_cells"].to_list() == [["\u00e9t\u00e9"], ["\u00e9t\u00e9"]]
    assert "Latin-1" in report.notes[0]


@pytest.mark.parametrize("null", ["", "NA", "n/a", "null", ".", "nan"])
def test_no_spelling_of_nothing_becomes_a_kc(settings, tmp_path, null):
    rows, _ = ingested(settings, tmp_path, f"{KDD}\n{kdd_row(kcs=null, counts=null)}")
    assert rows["kc_cells"].to_list() == [[None]]


def test_lines_that_cannot_be_used_are_refused_with_their_reason(settings, tmp_path):
    lines = [
        kdd_row(1),
        "2\tshort",
        kdd_row(3, student=""),
        kdd_row(4, time="30:45.0"),
        kdd_row(5, first="maybe"),
    ]
    rows, report = ingested(settings, tmp_path, "\n".join([KDD, *lines]))
    rejects = pl.read_parquet(list((settings.raw_dir / "kddcup" / "steps").glob("*rejects*"))).sort(
        "source_row"
    )
    assert rows["published_row"].to_list() == [1]
    assert rejects["source_row"].to_list() == [2, 3, 4, 5]
    assert [reason.split(":")[0] for reason in rejects["reason"]] == [
        "2 fields instead of 19",
        "no student or no problem and step",
        "unreadable time",
        "unreadable first_attempt",
    ]
    assert report.rows + report.rejected_rows == 5


def test_columns_of_one_name_keep_all_their_values(settings, tmp_path):
    text = (
        "Anon Student Id\tTime\tTime Zone\tLevel (Unit)\tLevel (Section)\tProblem Name\tStep Name\tOutcome\tSelection\t"
        "Selection\tKC (D)\tKC Category (D)\tKC (D)\tKC Category (D)\tCondition Name\tCondition Type\tCF (x)\n"
        "s1\t2009-09-11 13:30:45\tUTC\tA\tB\tP\tq\tCORRECT\tone\ttwo\tk1\t\tk2\tc\tgroup\tcontrol\t7\n"
    )
    rows, _ = ingested(
        settings, tmp_path, text, source="datashop", name="d_transactions.txt", relation="transactions"
    )
    row = rows.row(0, named=True)
    assert (row["problem_hierarchy"], row["selection"], row["kc_cells"]) == (
        "Unit A, Section B",
        "one~~two",
        ["k1~~k2"],
    )
    assert row["condition"] == "group (control)"
    fields = dict(zip(row["field_names"], row["field_values"], strict=True))
    assert fields == {"KC Category (D)": "c", "CF (x)": "7", "Level (Unit)": "A", "Level (Section)": "B"}


def test_a_raw_mathia_log_is_a_transaction_log(settings, tmp_path):
    text = (
        "assignmentid,ctcontextid,semanticeventid,skillid,goalnodeid,servertime,attempt,action,tutoroutcome,helplevel,"
        "input,sectionname,problemid\n"
        'a1,s1,e1,k1,g1,1252675845000,1,Attempt,OK,,"3,5",sec,p1\n'
        "a1,s1,e2,,,1252675846000,1,Done Button,OK,,,sec,p1\n"
    )
    rows, report = ingested(settings, tmp_path, text, source="mathia", name="m.csv", relation="transactions")
    assert report.rejected_rows == 0
    first, done = rows.rows(named=True)
    assert (first["milliseconds"], first["input"], first["kc_models"], first["kc_cells"]) == (
        MOMENT,
        "3,5",
        ["MATHia"],
        ["k1"],
    )
    assert first["problem_hierarchy"] == "Assignment a1, Section sec"
    assert (done["step_name"], done["selection"], done["kc_cells"]) == (None, "Done Button", [None])


def test_the_newer_mathia_form_separates_with_commas(settings, tmp_path):
    text = (
        "Anon Student Id,Time,Level (Workspace Id),Problem Name,Step Name,Outcome,Attempt At Step,KC_Model(MATHia),"
        "CF (Is Autofilled)\n"
        's1,9/11/2009 13:30,w1,"p, 1",g1,OK,1,k1~~k2,TRUE\n'
    )
    rows, _ = ingested(settings, tmp_path, text, source="mathia", name="m.csv", relation="transactions")
    row = rows.row(0, named=True)
    assert (row["problem_name"], row["kc_models"], row["kc_cells"]) == ("p, 1", ["MATHia"], ["k1~~k2"])
    assert (row["is_autofilled"], row["problem_hierarchy"]) == (True, "Workspace Id w1")


def test_rows_of_a_second_sample_are_refused(settings, tmp_path):
    text = "Sample\tAnon Student Id\tProblem Name\tStep Name\tFirst Attempt\nAll\ts\tp\tq\thint\nOdd\ts\tp\tq\thint\n"
    rows, report = ingested(settings, tmp_path, text, source="datashop", name="d.txt")
    assert (rows.height, report.rejected_rows) == (1, 1)


def test_a_file_that_changed_is_read_again_and_another_run_does_nothing(settings, tmp_path):
    _, first = ingested(settings, tmp_path, f"{KDD}\n{kdd_row()}")
    _, again = ingested(settings, tmp_path, f"{KDD}\n{kdd_row()}")
    rows, changed = ingested(settings, tmp_path, f"{KDD}\n{kdd_row()}\n{kdd_row(2)}")
    assert (first.shards_written, again.shards_written, changed.shards_written) == (1, 0, 1)
    assert rows.height == 2


def test_an_unknown_header_names_what_is_expected(settings, tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a\tb\n1\t2\n")
    with pytest.raises(SourceError, match=r"header of a tutor log is not known(.|\n)*Anon Student Id"):
        ingest("datashop", [path], settings)


ROLL_UP = KDD.replace("Correct First Attempt", "First Attempt")
TRANSACTIONS = "Anon Student Id\tTime\tProblem Name\tOutcome\ns\t1252675845\tp\tCORRECT\n"


@pytest.mark.parametrize(
    ("source", "text", "advice"),
    [
        ("kddcup", TRANSACTIONS, "edpipe ingest datashop"),
        ("kddcup", ROLL_UP, "edpipe ingest mathia"),
        ("datashop", KDD, "edpipe ingest kddcup"),
        ("mathia", KDD, "edpipe ingest kddcup"),
    ],
)
def test_a_file_of_another_source_is_refused_with_the_command_that_takes_it(
    settings, tmp_path, source, text, advice
):
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(SourceError, match=f"not one of {source}(.|\n)*{advice}"):
        ingest(source, [path], settings)
    assert not settings.home.exists()


def test_a_file_of_another_source_in_a_folder_is_left_out_and_said_to_be_of_it(settings, tmp_path):
    (tmp_path / "a_train.txt").write_text(f"{KDD}\n{kdd_row()}\n")
    (tmp_path / "b.txt").write_text(TRANSACTIONS)
    [relation] = ingest("datashop", [tmp_path], settings).relations
    assert relation.relation == "transactions"
    assert "a_train.txt: left out, it holds KDD Cup steps of kddcup" in relation.notes


def test_one_file_under_two_sources_is_refused_by_its_content(settings, tmp_path):
    path, copied = tmp_path / "a_tx.txt", tmp_path / "renamed.txt"
    path.write_text(TRANSACTIONS)
    copied.write_text(TRANSACTIONS)
    ingest("datashop", [path], settings)
    for dry_run in (True, False):
        with pytest.raises(SourceError, match="count twice, as mathia and as datashop"):
            ingest("mathia", [copied], settings, dry_run=dry_run)
    assert read_manifest(settings.raw_dir, "mathia", "transactions") is None
    copied.write_text(TRANSACTIONS.replace("CORRECT", "INCORRECT"))
    assert ingest("mathia", [copied], settings).rows == 1


def test_one_file_that_is_under_two_sources_already_is_not_built_from(settings, tmp_path):
    path = tmp_path / "a_tx.txt"
    path.write_text(TRANSACTIONS)
    ingest("datashop", [path], settings)
    landed = read_manifest(settings.raw_dir, "datashop", "transactions")
    write_manifest(settings.raw_dir, replace(landed, source="mathia", shards=[]))
    with pytest.raises(SourceError, match="count twice"):
        build(settings)


def test_subsets_by_student_are_not_for_tutor_logs(settings, tmp_path):
    path = tmp_path / "a_train.txt"
    path.write_text(f"{KDD}\n{kdd_row()}\n")
    with pytest.raises(SettingsError, match="Subsets"):
        ingest("kddcup", [path], settings, students=3)


@pytest.mark.parametrize(
    ("source", "folder"), [("datashop", "datashop"), ("kddcup", "kddcup2010"), ("mathia", "mathia")]
)
def test_every_row_of_the_real_files_is_kept(settings, real_data, source, folder):
    files = real_data / "education" / folder
    report = ingest(source, [files], settings, max_rejects=0)
    rows = pl.concat(
        [written(settings, source, one.relation).select("source_file") for one in report.relations]
    )
    # Lines counted apart from the reader: none of these files has a line end inside a cell.
    lines = {path.name: len(path.read_bytes().splitlines()) - 1 for path in files.glob("*.txt")}
    assert dict(rows.group_by("source_file").len().rows()) == lines
    assert report.rejected_rows == 0
