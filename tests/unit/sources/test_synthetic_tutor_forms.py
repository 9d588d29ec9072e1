from __future__ import annotations

import csv
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from edpipe import ingest
from edpipe.errors import SettingsError
from edpipe.sources.synthetic import (
    draw_tutor_world,
    write_datashop_steps,
    write_datashop_transactions,
    write_mathia,
)

FORMS = ("raw", "tabs", "commas")
KEY = ("student_id", "problem_hierarchy", "problem_name", "problem_view", "step_name")
RAW_HEADER = (
    "assignmentid,ctcontextid,semanticeventid,skillid,ruleid,goalnodeid,servertime,attempt,action,"
    "tutoroutcome,helplevel,input,skillpreviouspknown,skillnewpknown,sectionname,sectionprogressstatus,"
    "problemid,schoolid"
)
TABS_HEADER = (
    "Anon Student Id\tSession Id\tTime\tLevel (Workspace Id)\tProblem Name\tStep Name\tSelection\tAction\t"
    "Input\tOutcome\tHelp Level\tAttempt At Step\tKC Model(MATHia)\tCF (Ruleid)\tCF (Etalon)\t"
    "CF (Skill Previous p-Known)\tCF (Skill New p-Known)\tCF (Workspace Progress Status)\t"
    "CF (Semantic Event Id)"
)
COUNTED = {
    "OK": "corrects",
    "ERROR": "incorrects",
    "JIT": "incorrects",
    "BUG": "incorrects",
    "INITIAL_HINT": "hints",
    "HINT_LEVEL_CHANGE": "hints",
    "CORRECT": "corrects",
    "INCORRECT": "incorrects",
    "HINT": "hints",
}
FIRST = {"corrects": "correct", "incorrects": "incorrect", "hints": "hint"}


@pytest.fixture(scope="module")
def world():
    return draw_tutor_world(25, 4, 12, 20, seed=11)


@pytest.fixture(scope="module")
def steps(world, tmp_path_factory):
    return write_datashop_steps(tmp_path_factory.mktemp("steps"), world)


@pytest.fixture(scope="module")
def transactions(world, tmp_path_factory):
    return write_datashop_transactions(tmp_path_factory.mktemp("transactions"), world)


@pytest.fixture(scope="module", params=FORMS)
def mathia(request, world, tmp_path_factory):
    return request.param, write_mathia(tmp_path_factory.mktemp(request.param), world, form=request.param)


def cells_of(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return header and rows, of a tab-separated file without quoting, of another with."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    if path.suffix == ".txt":
        header, *rows = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    else:
        header, *rows = csv.reader(text.splitlines())
    assert all(len(row) == len(header) for row in rows)
    return header, rows


def mathia_rows(form: str, path: Path) -> list[dict[str, str]]:
    """Return rows in words that all forms share."""
    header, rows = cells_of(path)
    if form == "raw":
        names = {"ctcontextid": "student_id", "problemid": "problem_name", "goalnodeid": "step_name"}
        names |= {
            "tutoroutcome": "outcome",
            "attempt": "attempt_at_step",
            "skillid": "kc",
            "servertime": "time",
        }
    else:
        names = {"Anon Student Id": "student_id", "Problem Name": "problem_name", "Step Name": "step_name"}
        names |= {"Outcome": "outcome", "Attempt At Step": "attempt_at_step", "KC Model(MATHia)": "kc"}
        names |= {"Time": "time"}
    found = [{names.get(name, name): cell for name, cell in zip(header, row, strict=True)} for row in rows]
    for row in found:
        if form == "raw":
            row["problem_hierarchy"] = f"Assignment {row['assignmentid']}, Section {row['sectionname']}"
        else:
            row["problem_hierarchy"] = f"Workspace Id {row['Level (Workspace Id)']}"
        row["problem_view"] = "1"
    return found


def roll_up(rows: list[dict[str, str]]) -> dict[tuple[str, ...], tuple[str, int, int, int]]:
    """Count outcomes a step; the first row in file order is the first attempt."""
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    first: dict[tuple[str, ...], str] = {}
    for row in rows:
        if row["step_name"] and row.get("CF (Is Autofilled)") != "TRUE":
            key = tuple(row[name] for name in KEY)
            kind = COUNTED[row["outcome"]]
            first.setdefault(key, FIRST[kind])
            counts[key][kind] += 1
    return {
        key: (first[key], found["incorrects"], found["hints"], found["corrects"])
        for key, found in counts.items()
    }


def planted(made) -> dict[tuple[str, ...], tuple[str, int, int, int]]:
    rows = made.steps.select(*KEY, "first_attempt", "incorrects", "hints", "corrects").iter_rows()
    return {tuple(map(str, row[:5])): row[5:] for row in rows}


def test_the_roll_up_has_the_header_of_datashop(steps, real_data):
    published = (real_data / "education/datashop/ds96_student_step.txt").read_text().split("\n", 1)[0]
    assert "\t".join(cells_of(steps.paths[0])[0]) == published


def test_the_transactions_have_the_columns_of_datashop_in_their_order(transactions, real_data):
    path = real_data / "education/datashop/ds1465_transactions_short.txt"
    published = path.read_text(encoding="utf-8").split("\n", 1)[0].split("\t")
    header = cells_of(transactions.paths[0])[0]

    def fixed(names: list[str]) -> list[str]:
        own = ("KC", "CF", "Level", "Condition")
        return [name for name in names if not name.startswith(own)]

    assert fixed(header) == fixed(published)
    assert header.count("KC (Default)") == 3
    assert header.index("KC Category (Default)") == header.index("KC (Default)") + 1


def test_the_roll_up_counts_from_row_1_and_marks_what_is_unknown_as_datashop_does(steps):
    header, rows = cells_of(steps.paths[0])
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert [int(row["Row"]) for row in table] == list(range(1, steps.rows + 1))
    assert {row["Sample"] for row in table} == {"All Data"}
    for row in table:
        assert (row["Step Duration (sec)"] == ".") == (row["Step Start Time"] == "")
        assert not row["First Transaction Time"].endswith(".0")
        if row["Step Start Time"]:
            assert (row["First Attempt"] == "correct") == (row["Error Step Duration (sec)"] == ".")
        names, numbers, rates = (
            row[f"{kind} (Default)"] for kind in ("KC", "Opportunity", "Predicted Error Rate")
        )
        assert names.count("~~") == numbers.count("~~") == rates.count("~~")
    assert planted(steps) == {
        (
            row["Anon Student Id"],
            row["Problem Hierarchy"],
            row["Problem Name"],
            row["Problem View"],
            row["Step Name"],
        ): (row["First Attempt"], int(row["Incorrects"]), int(row["Hints"]), int(row["Corrects"]))
        for row in table
    }


def test_rolling_the_transactions_up_gives_the_steps(steps, transactions):
    header, rows = cells_of(transactions.paths[0])
    kcs = [place for place, name in enumerate(header) if name == "KC (Default)"]
    place = {name: header.index(name) for name in header}
    responses, times, tags = [], defaultdict(list), {}
    for row in rows:
        key = (
            row[place["Anon Student Id"]],
            f"Unit {row[place['Level (Unit)']]}, Section {row[place['Level (Section)']]}",
            *(row[place[name]] for name in ("Problem Name", "Problem View", "Step Name")),
        )
        if row[place["Tutor Response Type"]]:
            responses.append({**dict(zip(KEY, key, strict=True)), "outcome": row[place["Outcome"]]})
            times[key].append((row[place["Time"]], row[place["Outcome"]]))
            tags[key] = {row[one] for one in kcs} - {""}
        else:
            assert row[place["Outcome"]] == row[place["Step Name"]] == row[place["Attempt At Step"]] == ""
    assert roll_up(responses) == planted(steps) == planted(transactions)
    step_header, step_rows = cells_of(steps.paths[0])
    for cells in step_rows:
        row = dict(zip(step_header, cells, strict=True))
        key = (cells[2], cells[3], cells[4], cells[5], cells[6])
        assert row["First Transaction Time"] == times[key][0][0]
        assert row["Step End Time"] == times[key][-1][0]
        right = [time for time, outcome in times[key] if outcome == "CORRECT"]
        assert row["Correct Transaction Time"] == (right[0] if right else "")
        assert set(row["KC (Default)"].split("~~")) - {""} == tags[key]


def test_page_views_and_saves_stand_between_responses_and_are_told(transactions):
    header, rows = cells_of(transactions.paths[0])
    kinds = Counter(row[header.index("Student Response Type")] for row in rows)
    told = dict(transactions.transactions["kind"].value_counts().iter_rows())
    assert kinds["VIEW_PAGE"] == told["view_page"] > 0
    assert kinds["SAVE_ATTEMPT"] == told["save"] > 0
    assert kinds["HINT_REQUEST"] == told["hint"] > 0
    assert kinds["ATTEMPT"] == told["correct"] + told["incorrect"]
    assert transactions.rows == len(rows) == transactions.transactions.height


def test_attempts_at_a_step_count_up_and_times_never_fall_and_are_sometimes_equal(transactions):
    header, rows = cells_of(transactions.paths[0])
    place = {name: header.index(name) for name in header}
    seen: Counter[tuple[str, ...]] = Counter()
    last: dict[str, str] = {}
    equal = 0
    for row in rows:
        student, time = row[place["Anon Student Id"]], row[place["Time"]]
        assert last.get(student, "") <= time
        equal += last.get(student) == time
        last[student] = time
        if row[place["Step Name"]]:
            step = ("Level (Section)", "Problem Name", "Problem View", "Step Name")
            key = (student, *(row[place[name]] for name in step))
            seen[key] += 1
            assert int(row[place["Attempt At Step"]]) == seen[key]
    assert equal > 100


def test_a_mathia_log_has_the_header_of_its_form(mathia):
    form, made = mathia
    with made.paths[0].open() as file:
        header = file.readline().removesuffix("\n")
    if form == "raw":
        assert header == RAW_HEADER
    elif form == "tabs":
        assert header == TABS_HEADER
        assert header.count("\t") == 18
    else:
        more = [
            "CF (Anon School Id)",
            "CF (Anon Class Id)",
            "CF (Is Autofilled)",
            "CF (Problem Scenario Tags)",
        ]
        assert header.split(",") == [*TABS_HEADER.split("\t"), *more]


def test_rolling_a_mathia_log_up_gives_the_planted_steps(mathia):
    form, made = mathia
    assert roll_up(mathia_rows(form, made.paths[0])) == planted(made)


def test_done_clicks_hint_levels_and_autofilled_rows_are_told(mathia):
    form, made = mathia
    rows = mathia_rows(form, made.paths[0])
    told = dict(made.transactions["kind"].value_counts().iter_rows())
    done = [row for row in rows if not row["step_name"]]
    outcomes = Counter(row["outcome"] for row in rows)
    assert made.rows == len(rows) == made.transactions.height
    assert len(done) == told["done"] > 0
    assert {row.get("action", row.get("Action")) for row in done} == {"Done"}
    assert {row["kc"] for row in done} <= {"", "NA"}
    assert outcomes["INITIAL_HINT"] + outcomes["HINT_LEVEL_CHANGE"] == told["hint"]
    assert outcomes["HINT_LEVEL_CHANGE"] > 0
    wrong = {"JIT", "ERROR"} if form == "raw" else {"BUG", "ERROR"}
    assert set(outcomes) == {"OK", "INITIAL_HINT", "HINT_LEVEL_CHANGE"} | wrong
    filled = [row for row in rows if row.get("CF (Is Autofilled)") == "TRUE"]
    assert len(filled) == told.get("autofilled", 0)
    assert bool(filled) == (form == "commas")
    named = set(made.steps["step_name"])
    assert all(row["step_name"] not in named and row["kc"] != "NA" for row in filled)


def test_untagged_steps_of_a_mathia_log_have_no_kc(mathia):
    form, made = mathia
    rows = [row for row in mathia_rows(form, made.paths[0]) if row["step_name"]]
    untagged = [row for row in rows if row["kc"] in ("", "NA")]
    assert 0.1 < len(untagged) / len(rows) < 0.4
    assert any("~~" in row["kc"] for row in rows)


def test_times_of_a_mathia_log_are_those_of_the_truth(mathia):
    form, made = mathia
    rows = mathia_rows(form, made.paths[0])
    for row, second in zip(rows[:200], made.transactions["second"], strict=False):
        if form == "raw":
            assert int(row["time"]) == second * 1000
        else:
            assert datetime.fromisoformat(row["time"]).replace(tzinfo=UTC).timestamp() == second


@pytest.mark.parametrize("kind", ["steps", "transactions", *FORMS])
def test_every_written_row_is_ingested_as_planted(settings, tmp_path, world, kind):
    if kind == "steps":
        source, made = "datashop", write_datashop_steps(tmp_path / "in", world)
    elif kind == "transactions":
        source, made = "datashop", write_datashop_transactions(tmp_path / "in", world)
    else:
        source, made = "mathia", write_mathia(tmp_path / "in", world, form=kind)
    report = ingest(source, made.paths, settings, max_rejects=0)
    assert (report.rows, report.rejected_rows) == (made.rows, 0)
    relation = report.relations[0].relation
    assert report.relations[0].manifest.licence == "none: synthetic students"
    rows = pl.read_parquet(list((settings.raw_dir / source / relation).glob("shard*.parquet")))
    if kind == "steps":
        columns = [*KEY, "first_attempt", "incorrects", "hints", "corrects"]
        assert rows.select(pl.col(columns).cast(pl.String)).equals(
            made.steps.select(pl.col(columns).cast(pl.String))
        )
        return
    told = made.transactions
    assert rows["step_name"].equals(told["step_name"])
    assert rows["problem_hierarchy"].equals(told["problem_hierarchy"])
    assert (rows["milliseconds"] == told["second"] * 1000).all()
    if kind == "commas":
        assert (rows["is_autofilled"] == (told["kind"] == "autofilled")).all()


@pytest.mark.parametrize("write", [write_datashop_steps, write_datashop_transactions, write_mathia])
def test_equal_arguments_give_equal_bytes_and_amounts_are_checked(tmp_path, world, write):
    texts = [write(tmp_path / name, world).paths[0].read_bytes() for name in ("one", "two")]
    assert texts[0] == texts[1]
    bare = write(tmp_path / "bare", world, keep_truth=False)
    assert bare.paths[0].read_bytes() == texts[0]
    assert bare.steps.is_empty()
    assert bare.transactions.is_empty()
    with pytest.raises(SettingsError, match="out of range"):
        write(tmp_path / "none", world, problems_per_student=0)
