"""Short labels of published ids."""

from __future__ import annotations

from edpipe.evaluation.report.names import LONGEST, short_names


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
