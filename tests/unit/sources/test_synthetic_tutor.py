from __future__ import annotations

import csv
import re
import weakref
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edpipe.errors import SettingsError
from edpipe.sources.synthetic import draw_tutor_world, tutor_kddcup, write_kddcup
from edpipe.sources.synthetic.tutor_kddcup import BLANK_IN_TEST
from edpipe.sources.synthetic.tutor_log import GUESS, SLIP
from edpipe.sources.synthetic.tutor_world import BOOKKEEPING

HEADER = (
    "Row\tAnon Student Id\tProblem Hierarchy\tProblem Name\tProblem View\tStep Name\tStep Start Time\t"
    "First Transaction Time\tCorrect Transaction Time\tStep End Time\tStep Duration (sec)\t"
    "Correct Step Duration (sec)\tError Step Duration (sec)\tCorrect First Attempt\tIncorrects\tHints\t"
    "Corrects\tKC(SubSkills)\tOpportunity(SubSkills)\tKC(KTracedSkills)\tOpportunity(KTracedSkills)"
)
TIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.0)?"
COUNT = r"(\d+)?"
LINE = re.compile(
    r"\d+\tstu_[0-9a-f]+\tUnit [^\t,]+, Section [^\t]+\t[^\t]+\t[12]\t[^\t]+"
    + (r"\t" + TIME) * 4
    + (r"\t" + COUNT) * 7
    + r"(\t[^\t]*\t(\d+(~~\d+)*)?){2}"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    world = draw_tutor_world(150, 4, 30, 24, seed=3)
    return write_kddcup(
        tmp_path_factory.mktemp("kdd"), world, name="synthetic_ba08", test_share=0.5, with_master=True
    )


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def labeled(made) -> list[dict[str, str]]:
    """Return the rows of the training file and of the master file, without those that stand twice."""
    train, _, master = (read(path) for path in made.paths)
    rows = {}
    for row in sorted(train + master, key=lambda one: int(one["Row"])):
        rows.setdefault((*attempt_of(row), row["Step Name"]), row)
    return list(rows.values())


def attempt_of(row: dict[str, str]) -> tuple[str, ...]:
    return (row["Anon Student Id"], row["Problem Hierarchy"], row["Problem Name"], row["Problem View"])


def strategies_of(rows: list[dict[str, str]]) -> dict[tuple[str, ...], list[str]]:
    """Return the KCs of each attempt in order: of first transactions, then of Row; sorted in a step."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda one: (one["First Transaction Time"], int(one["Row"]))):
        names = [name for name in row["KC(SubSkills)"].split("~~") if name and name not in BOOKKEEPING]
        found[attempt_of(row)] += sorted(names)
    return found


def problem_of(row, world) -> int:
    section = int(row["Problem Hierarchy"].rsplit("-", 1)[1])
    return section * world.problems_per_section + int(row["Problem Name"].removeprefix("P-"))


def test_files_have_the_21_columns_and_the_bytes_of_the_challenge(made):
    for path in made.paths:
        text = path.read_bytes()
        assert text.endswith(b"\n")
        assert b"\r" not in text
        header, *lines = text.decode().removesuffix("\n").split("\n")
        assert header == HEADER
        assert all(LINE.fullmatch(line) for line in lines)
    assert any('"' in line for line in lines), "names with quotes are quoted as in the published slice"
    assert made.rows == sum(len(read(path)) for path in made.paths[:2])


def test_rows_of_the_test_file_are_blank_where_those_of_the_challenge_are(made, real_data):
    folder = real_data / "education" / "kddcup2010"
    published = read(folder / "algebra_2005_2006_test.txt")
    ours = read(made.paths[1])
    for rows in (published, ours):
        assert all(row[column] == "" for row in rows for column in BLANK_IN_TEST)
        for column in rows[0].keys() - set(BLANK_IN_TEST):
            assert any(row[column] for row in rows), column
    slice_header = (folder / "bridge_to_algebra_2008_2009_test_slice.txt").read_text().split("\n", 1)[0]
    assert slice_header == HEADER


def test_the_master_file_has_what_the_test_file_lacks(made):
    _, test, master = (read(path) for path in made.paths)
    assert [{**row, **dict.fromkeys(BLANK_IN_TEST, "")} for row in master] == test
    assert all(row["First Transaction Time"] and row["Correct First Attempt"] in "01" for row in master)


def test_row_rises_in_each_file_and_counts_over_all(made):
    train, test, _ = ([int(row["Row"]) for row in read(path)] for path in made.paths)
    assert train == sorted(set(train))
    assert test == sorted(set(test))
    assert sorted(train + test) == list(range(1, made.rows + 1))


def test_one_problem_of_a_section_is_held_out_with_all_its_views(made):
    train, test, _ = (read(path) for path in made.paths)
    held_out = {attempt_of(row)[:3] for row in test}
    assert held_out
    assert held_out.isdisjoint({attempt_of(row)[:3] for row in train})
    sections = [key[:2] for key in held_out]
    assert len(sections) == len(set(sections))


def test_an_independent_reader_finds_the_planted_strategies(made):
    found = strategies_of(labeled(made))
    planted = {tuple(map(str, row[:4])): row[4] for row in made.attempts.select(
        "student_id", "problem_hierarchy", "problem_name", "problem_view", "strategy"
    ).iter_rows()}  # fmt: skip
    assert dict(found) == planted
    assert {len(view) for view in planted.values()} > {2, 3}


def test_an_independent_reader_finds_the_planted_departures_and_groups(made):
    world = made.world
    group_of = dict(made.students.select("student_id", "group").iter_rows())
    rows = labeled(made)
    found = strategies_of(rows)
    problem = {attempt_of(row): problem_of(row, world) for row in rows}
    departed = []
    for key, strategy in found.items():
        if key[3] == "1":
            group, number = group_of[key[0]], problem[key]
            template = world.problem_templates[number, world.preferred[group, number]]
            preferred = [world.kc_names[code] for code in world.template_strategy[template]]
            departed.append(strategy != preferred)
    rate = float(np.mean(departed))
    assert abs(rate - world.departure_rate) < 4 * np.sqrt(0.21 / len(departed))
    assert set(group_of.values()) == {0, 1, 2}


def test_first_answers_are_right_as_often_as_the_planted_mastery_says(made):
    world = made.world
    group_of = dict(made.students.select("student_id", "group").iter_rows())
    codes = {name: code for code, name in enumerate(world.kc_names[: world.num_kcs])}
    by_level = defaultdict(list)
    for row in labeled(made):
        if row["KC(SubSkills)"] in codes and row["Opportunity(SubSkills)"] == "1":
            mastery = world.group_mastery[group_of[row["Anon Student Id"]], codes[row["KC(SubSkills)"]]]
            expected = GUESS + (1 - GUESS - SLIP) * mastery
            by_level[mastery > 0.5].append(int(row["Correct First Attempt"]) - expected)
    for errors in by_level.values():
        assert len(errors) > 300
        assert abs(np.mean(errors)) < 4 * 0.5 / np.sqrt(len(errors))


def test_opportunities_count_the_meetings_of_student_and_kc(made):
    met: dict[tuple[str, str], set[int]] = defaultdict(set)
    rows = labeled(made)
    for row in rows:
        names, numbers = row["KC(SubSkills)"], row["Opportunity(SubSkills)"]
        for name, number in zip(names.split("~~"), numbers.split("~~"), strict=True):
            if name:
                met[row["Anon Student Id"], name].add(int(number))
    assert all(numbers == set(range(1, len(numbers) + 1)) for numbers in met.values())
    traced = [row["KC(KTracedSkills)"] for row in rows if row["KC(KTracedSkills)"]]
    assert all(name.endswith("-1") for cell in traced for name in cell.split("~~"))


def test_counts_and_first_attempts_agree(made):
    for row in labeled(made):
        right, wrong, hints = (int(row[name]) for name in ("Corrects", "Incorrects", "Hints"))
        if row["Correct First Attempt"] == "1":
            assert (right, wrong, hints) == (1, 0, 0)
        else:
            assert wrong + hints > 0
        assert (row["Correct Transaction Time"] == "") == (right == 0)
        assert row["Step Start Time"] <= row["First Transaction Time"] <= row["Step End Time"]


def test_quirks_are_planted(made):
    train = read(made.paths[0])
    keys = [(*attempt_of(row), row["Step Name"]) for row in train]
    assert len(keys) > len(set(keys)), "rows that stand twice"
    attempts = [key[:4] for key in keys]
    runs = sum(one != other for one, other in pairwise(attempts)) + 1
    assert runs > len(set(attempts)), "attempts left and entered again"
    assert any(row["Problem View"] == "2" for row in train)
    assert any(row["KC(SubSkills)"] == "" for row in train)
    assert any("TRACK ME" in row["KC(SubSkills)"] for row in train)
    times = [(row["Anon Student Id"], row["First Transaction Time"]) for row in train]
    assert len(times) > len(set(times)), "equal times"
    assert any(one[0] == other[0] and one[1] > other[1] for one, other in pairwise(times))
    cells = [row["KC(SubSkills)"].split("~~") for row in train]
    assert any(cell != sorted(cell) for cell in cells if not {"D"} & {name[0] for name in cell if name})


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path):
    texts = []
    for number, seed in enumerate((5, 5, 6)):
        world = draw_tutor_world(12, 3, 6, 12, seed=seed)
        made = write_kddcup(tmp_path / str(number), world)
        texts.append([path.read_bytes() for path in made.paths])
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_memory_does_not_grow_with_students_when_no_truth_is_kept(tmp_path, monkeypatch):
    world = draw_tutor_world(60, 3, 6, 12, seed=5)
    original, held, most = tutor_kddcup.with_names, [], []

    def watched(log, world):
        most.append(sum(one() is not None for one in held))
        named = original(log, world)
        held.append(weakref.ref(named))
        return named

    monkeypatch.setattr(tutor_kddcup, "with_names", watched)
    monkeypatch.setattr("edpipe.sources.synthetic.tutor_log.BLOCK", 5)
    made = write_kddcup(tmp_path / "without", world, keep_truth=False)
    assert made.steps.is_empty()
    assert len(held) == 12
    assert max(most) <= 1
    held.clear()
    most.clear()
    write_kddcup(tmp_path / "with", world)
    assert max(most) == 11


@pytest.mark.parametrize("amounts", [{"sections_per_student": 0}, {"test_share": 1.5}])
def test_amounts_out_of_range_are_refused(tmp_path, amounts):
    world = draw_tutor_world(3, 1, 2, 4)
    with pytest.raises(SettingsError, match="out of range"):
        write_kddcup(tmp_path / "x", world, **amounts)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "change", [{"num_kcs": 3}, {"num_students": 0}, {"strategies_per_problem": 1}, {"departure_rate": 1.1}]
)
def test_a_world_out_of_range_is_refused(change):
    amounts = {"num_students": 3, "num_sections": 1, "problems_per_section": 2, "num_kcs": 4}
    with pytest.raises(SettingsError):
        draw_tutor_world(**{**amounts, **change})


def test_choices_follow_the_group_and_the_best_foreteller_is_known():
    world = draw_tutor_world(90, 4, 5, 20, departure_rate=0.3, seed=1)
    assert np.allclose(world.choice_probability.sum(axis=2), 1)
    assert world.bayes_exact_match == pytest.approx(0.7)
    assert world.usual_exact_match < world.bayes_exact_match
    for group, problem in ((0, 3), (2, 11)):
        templates = world.problem_templates[problem]
        fit = [world.group_mastery[group, list(world.template_strategy[one])].mean() for one in templates]
        assert world.preferred[group, problem] == int(np.argmax(fit))
