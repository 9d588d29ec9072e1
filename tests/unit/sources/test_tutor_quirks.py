"""Quirks of tutor logs, one test each, beside those of the neighboring files.

In test_tutor.py: thirteen time formats, unit of counts since 1970, days of spreadsheets, times without a
date; odd names of KC models; blanked test rows; line ends; quotes of spreadsheets and of whole exports;
bytes that are not UTF-8; spellings of nothing; repeated headers; raw and newer MATHia forms with Done clicks
and autofilled steps; several samples. In test_tutor_hostile.py: damaged files. Merging, sorting and counting
over rows (duplicates, views, re-entries, order of action, stop lists) are the matter of the SQL models.
"""

from __future__ import annotations

import polars as pl
import pytest

from edpipe import ingest
from edpipe.raw import relation_dir
from edpipe.sources.tutor_header import detect_layout

STEPS = "Row\tAnon Student Id\tProblem Hierarchy\tProblem Name\tProblem View\tStep Name\tFirst Attempt"
TRANSACTIONS = (
    "Anon Student Id\tTransaction Id\tTime\tTime Zone\tStudent Response Type\tTutor Response Type\t"
    "Problem Name\tProblem View\tStep Name\tAttempt At Step\tOutcome\tHelp Level"
)


def read(settings, folder, text: str, *, source="datashop", name="d.txt", relation="steps"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    report = ingest(source, [path], settings, max_rejects=0)
    shards = relation_dir(settings.raw_dir, source, relation).glob("shard*.parquet")
    return pl.read_parquet(list(shards)).sort("source_row"), report.relations[0]


def step(number: int, *cells: str, view: str = "1", name: str = "q", first: str = "correct") -> str:
    return "\t".join([str(number), "s", "Unit A, Section B", "p", view, name, first, *cells])


def test_a_step_without_a_kc_is_kept(settings, tmp_path):
    text = "\n".join([f"{STEPS}\tKC (m)\tOpportunity (m)", step(1, "k", "1"), step(2, "", "")])
    rows, _ = read(settings, tmp_path, text)
    assert rows["kc_cells"].to_list() == [["k"], [None]]


def test_several_kcs_of_a_cell_stand_beside_their_opportunities(settings, tmp_path):
    text = "\n".join([f"{STEPS}\tKC (m)\tOpportunity (m)", step(1, "b~~a~~c", "7~~1~~2")])
    rows, report = read(settings, tmp_path, text)
    assert (rows["kc_cells"][0].to_list(), rows["opportunity_cells"][0].to_list()) == (
        ["b~~a~~c"],
        ["7~~1~~2"],
    )
    assert not any("opportunities" in note for note in report.notes)


def test_another_number_of_opportunities_than_of_kcs_is_flagged(settings, tmp_path):
    header = f"{STEPS}\tKC (m)\tOpportunity (m)\tKC (n)\tOpportunity (n)"
    lines = [
        step(1, "a~~b", "1", "k", "1"),
        step(2, "a", "1~~2", "k~~l", "1~~1~~1"),
        step(3, "", "", "k", ""),
    ]
    rows, report = read(settings, tmp_path, "\n".join([header, *lines]))
    assert rows.height == 3
    assert "3 cells have another number of opportunities than of KCs" in report.notes[-1]


def test_kc_models_of_one_file_are_separate_vocabularies(settings, tmp_path):
    header = f"{STEPS}\tKC(SubSkills)\tOpportunity(SubSkills)\tKC(KTracedSkills)\tOpportunity(KTracedSkills)"
    rows, _ = read(settings, tmp_path, "\n".join([header, step(1, "Add", "1", "Add-1", "3")]))
    row = rows.row(0, named=True)
    assert row["kc_models"] == ["SubSkills", "KTracedSkills"]
    assert row["kc_cells"] == ["Add", "Add-1"]
    assert row["opportunity_cells"] == ["1", "3"]


def test_bookkeeping_tags_rows_that_stand_twice_and_later_views_are_kept_for_sql(settings, tmp_path):
    header = f"{STEPS}\tKC (m)\tOpportunity (m)"
    lines = [step(4, "DON'T TRACK ME", "1"), step(4, "DON'T TRACK ME", "1"), step(9, "k", "1", view="2")]
    rows, _ = read(settings, tmp_path, "\n".join([header, *lines]))
    assert rows["published_row"].to_list() == [4, 4, 9]
    assert rows["problem_view"].to_list() == [1, 1, 2]
    assert rows["kc_cells"].to_list() == [["DON'T TRACK ME"], ["DON'T TRACK ME"], ["k"]]


@pytest.mark.parametrize(
    "spelling", ["KC (m)", "KC(m)", "kc (m)", "KC Model(m)", "KC_Model(m)", "Knowledge Component(m)"]
)
def test_every_spelling_of_a_kc_column_is_known(spelling):
    layout = detect_layout(f"{STEPS}\t{spelling}\tOpportunity(m)")
    assert [(one.model, one.kcs, one.opportunities) for one in layout.kc_models] == [("m", (7,), (8,))]


@pytest.mark.parametrize(
    ("old", "ours"),
    [
        ("#", "published_row"),
        ("Assistance Time (sec)", "step_duration_seconds"),
        ("ANON STUDENT ID", "student_id"),
        ("Anon_Student_Id", "student_id"),
        ("Sample Name", "sample"),
    ],
)
def test_columns_of_older_releases_are_bound(old, ours):
    layout = detect_layout(f"Problem Name\tAnon Student Id\tFirst Attempt\t{old}")
    assert 3 in layout.columns[ours]


def test_columns_are_bound_by_name_in_any_order(settings, tmp_path):
    names = f"{STEPS}\tKC (m)\tOpportunity (m)".split("\t")
    cells = step(1, "k", "2").split("\t")
    usual, _ = read(settings, tmp_path, "\t".join(names) + "\n" + "\t".join(cells))
    other, _ = read(settings, tmp_path, "\t".join(names[::-1]) + "\n" + "\t".join(cells[::-1]))
    assert other.equals(usual)


def test_the_estimates_of_a_fitted_model_are_left_out(settings, tmp_path):
    header = f"{STEPS}\tKC (m)\tOpportunity (m)\tPredicted Error Rate (m)"
    rows, _ = read(settings, tmp_path, "\n".join([header, step(1, "k", "1", "0.123")]))
    assert "0.123" not in str(rows.row(0))


def test_a_first_attempt_is_kept_in_three_kinds_and_those_of_the_challenge_in_two(settings, tmp_path):
    lines = [step(number, first=first) for number, first in enumerate(["correct", "Incorrect", "HINT", ""])]
    rows, _ = read(settings, tmp_path, "\n".join([STEPS, *lines]))
    assert rows["first_attempt"].to_list() == ["correct", "incorrect", "hint", None]
    header = STEPS.replace("First Attempt", "Correct First Attempt")
    lines = [step(number, first=first) for number, first in enumerate("10")]
    rows, _ = read(settings, tmp_path, "\n".join([header, *lines]), source="kddcup")
    assert rows["first_attempt"].to_list() == ["correct", "incorrect"]


def test_durations_that_are_not_known_are_none(settings, tmp_path):
    header = f"{STEPS}\tStep Duration (sec)\tCorrect Step Duration (sec)\tError Step Duration (sec)"
    rows, _ = read(settings, tmp_path, "\n".join([header, step(1, ".", "", "12.5")]))
    assert rows.select(pl.col("^.*duration_seconds$")).row(0) == (None, None, 12.5)


def test_the_name_of_a_step_or_problem_may_be_a_spelling_of_nothing(settings, tmp_path):
    rows, _ = read(settings, tmp_path, "\n".join([STEPS, step(1, name="NA"), step(2, name="null")]))
    assert rows["step_name"].to_list() == ["NA", "null"]


def test_rows_that_the_tutor_did_not_answer_are_kept_without_step_and_outcome(settings, tmp_path):
    lines = [
        "s\tt1\t2009-09-11 13:30:45\tUTC\tVIEW_PAGE\t\tp\t\t\t\t\t",
        "s\tt2\t2009-09-11 13:30:45\tUTC\tATTEMPT\tRESULT\tp\t\tq\t1\tCORRECT\t0",
    ]
    rows, _ = read(settings, tmp_path, "\n".join([TRANSACTIONS, *lines]), relation="transactions")
    assert rows["step_name"].to_list() == [None, "q"]
    assert rows["outcome"].to_list() == [None, "CORRECT"]
    assert rows["problem_view"].to_list() == [None, None]


def test_equal_times_keep_the_order_of_the_file_and_the_published_ids(settings, tmp_path):
    lines = [
        f"s\t{name}\t2009-09-11 13:30:45\tUTC\tATTEMPT\tRESULT\tp\t1\tq\t{number}\tHINT\t{number}"
        for number, name in enumerate(["zz", "aa", "mm"], 1)
    ]
    rows, _ = read(settings, tmp_path, "\n".join([TRANSACTIONS, *lines]), relation="transactions")
    assert rows["transaction_id"].to_list() == ["zz", "aa", "mm"]
    assert rows["source_row"].to_list() == rows["attempt_at_step"].to_list() == [1, 2, 3]
    assert rows["milliseconds"].n_unique() == 1


def test_a_time_is_the_clock_as_written_whatever_its_zone(settings, tmp_path):
    lines = [
        f"s\tt\t2009-09-11 13:30:45\t{zone}\tATTEMPT\tRESULT\tp\t1\tq\t1\tHINT\t1"
        for zone in ("UTC", "US/Eastern", "")
    ]
    rows, _ = read(settings, tmp_path, "\n".join([TRANSACTIONS, *lines]), relation="transactions")
    assert rows["milliseconds"].unique().to_list() == [1_252_675_845_000]
    assert rows["time_zone"].to_list() == ["UTC", "US/Eastern", None]


def test_outcomes_of_unconverted_exports_are_kept_as_published(settings, tmp_path):
    outcomes = ["OK", "BUG", "ERROR", "JIT", "INITIAL_HINT", "HINT_LEVEL_CHANGE", "STUDY"]
    lines = [f"s\tt\t1252675845000\t\tATTEMPT\t\tp\t\tq\t1\t{outcome}\t0" for outcome in outcomes]
    text = "\n".join([TRANSACTIONS, *lines])
    rows, _ = read(settings, tmp_path, text, source="mathia", relation="transactions")
    assert rows["outcome"].to_list() == outcomes


def test_levels_make_the_hierarchy_where_none_is_published(settings, tmp_path):
    header = "Anon Student Id\tProblem Name\tStep Name\tFirst Attempt\tLevel (Assignment)\tLevel (Section)"
    lines = ["s\tp\tq\thint\ta1\tb2", "s\tp\tq\thint\t\tb2", "s\tp\tq\thint\t\t"]
    rows, _ = read(settings, tmp_path, "\n".join([header, *lines]), source="mathia")
    assert rows["problem_hierarchy"].to_list() == ["Assignment a1, Section b2", "Section b2", None]
    published = [header + "\tProblem Hierarchy", lines[0] + "\tUnit X"]
    rows, _ = read(settings, tmp_path, "\n".join(published), source="mathia", name="e.txt")
    assert rows["problem_hierarchy"].to_list() == ["Unit X"]


def test_whole_numbers_of_spreadsheets_are_read(settings, tmp_path):
    rows, _ = read(settings, tmp_path, f"{STEPS}\tHints\n" + step(1, "3.0"))
    assert rows["hints"].to_list() == [3]


@pytest.mark.parametrize(
    ("name", "dataset", "split"),
    [
        ("algebra_2005_2006_train.txt", "algebra_2005_2006", "train"),
        ("bridge_to_algebra_2008_2009_test_slice.txt", "bridge_to_algebra_2008_2009", "test"),
        ("ds96_student_step.txt", "ds96", None),
        ("plain.csv", "plain", None),
    ],
)
def test_the_name_of_a_file_tells_data_set_and_split(settings, tmp_path, name, dataset, split):
    rows, _ = read(settings, tmp_path, f"{STEPS}\n{step(1)}", name=name)
    assert rows.select("dataset", "split").row(0) == (dataset, split)
