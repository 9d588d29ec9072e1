"""Short labels of published ids."""

from __future__ import annotations

from edpipe.evaluation.report.names import LONGEST, short_names, without_middle
from edpipe.evaluation.report.numbers import counted


def test_sources_are_left_out():
    assert short_names(["assist2009_pid:87", "u1", "algebra/stu_1"]) == ["87", "u1", "stu_1"]


def test_what_all_names_begin_with_is_left_out():
    ids = ["d/[SkillRule: Add]", "d/[SkillRule: Divide]"]
    assert short_names(ids) == ["Add", "Divide"]


def test_long_names_lose_their_middle_and_stay_different():
    ids = [f"d/{start} and the very same end" for start in ("Lines", "Slope", "Lines, too,")]
    labels = short_names(ids)
    assert len(set(labels)) == 3
    assert all(len(label) <= LONGEST for label in labels)
    assert labels[0].startswith("Lines")


def test_a_long_name_keeps_both_ends_within_its_room():
    name = "[SkillRule: Remove positive coefficient; {ax/b=c, reciprocal; ax/b=c; x/a=b; ax=b}]"
    short = without_middle(name, 45)
    assert len(short) == 45
    assert short.startswith("[SkillRule: Remove positive")
    assert short.endswith("ax=b}]")
    assert without_middle(short, 45) == short


def test_longer_labels_have_room_for_more_of_the_name():
    ids = [f"a/Using large numbers in step {number}" for number in range(12)]
    labels = short_names([*ids, "a/Add"], longest=18)
    assert max(map(len, labels)) <= 18
    assert len(set(labels)) == len(labels)


def test_one_thing_is_not_told_in_the_plural():
    assert [counted(number, "student") for number in (0, 1, 1200)] == [
        "0 students",
        "1 student",
        "1,200 students",
    ]
