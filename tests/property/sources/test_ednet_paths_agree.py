"""The quick path and the line-by-line path accept the same rows; shards do not depend on their cut."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from edpipe.sources.archive import Members, MemberText
from edpipe.sources.ednet_formats import FORMATS
from edpipe.sources.ednet_lines import clean_text, read_lines, split_header
from edpipe.sources.ednet_rows import parse_members, student_of
from edpipe.sources.ednet_shards import shard_jobs

QUESTIONS = pl.Series(["q1", "q22"])
number = st.sampled_from(
    ["0", "15", "-7", "007", "1500000000000", "", "1.5", "+5", " 5", "5 ", "x", "-", "1e3"]
)
word = st.sampled_from(["q1", "q22", "q9", "b3", "-1", "a", "", "é", '"q1"', " q1", "q1\r", "\x00", "qé"])
ending = st.sampled_from(["\n", "\r\n", "\n\n", ""])


def line(level: str):
    cells = [number if kind.is_integer() else word for kind in FORMATS[level].schema.values()]
    exact = st.tuples(*cells).map(list)
    clean = st.just(["15" if kind.is_integer() else "q1" for kind in FORMATS[level].schema.values()])
    any_width = st.lists(word, max_size=9)
    return st.one_of(clean, clean, clean, exact, any_width).map(",".join)


def member(level: str):
    header = st.permutations(list(FORMATS[level].columns)).map(",".join)
    usual = st.just(",".join(FORMATS[level].columns))
    broken = st.sampled_from([b"", b"", b"", b"\xff", b"1,\xc3,q1"])
    lines = st.lists(line(level), max_size=4)
    return st.tuples(st.one_of(usual, usual, header), lines, ending, broken).map(
        lambda parts: "\n".join([parts[0], *parts[1]]).encode() + parts[2].encode() + parts[3]
    )


def slowly(members: list[MemberText], level: str):
    rows, refused = [], []
    for item in members:
        header, body = split_header(item.text)
        columns = header.decode(errors="replace").split(",")
        known = columns if sorted(columns) == sorted(FORMATS[level].columns) else None
        found, bad = read_lines(
            item.name, clean_text(body), known, FORMATS[level], frozenset(QUESTIONS), item.problem
        )
        rows += [(student_of(item.name), *row) for row in found]
        refused += bad
    return rows, refused


@given(data=st.data(), level=st.sampled_from(["kt1", "kt2", "kt4"]))
@settings(max_examples=200, deadline=None)
def test_both_paths_accept_the_same_rows_and_refuse_the_same(data, level):
    texts = data.draw(st.lists(member(level), max_size=5))
    members = [MemberText(f"u{index}.csv", text) for index, text in enumerate(texts)]
    parsed = parse_members(members, FORMATS[level], QUESTIONS)
    rows, refused = slowly(members, level)
    assert [row for frame in parsed.frames for row in frame.rows()] == rows
    assert parsed.refused == refused


def table(students: list[int]) -> Members:
    sizes = np.array([(student * 7919) % 9000 + 100 for student in students], np.int64)
    zeros = np.zeros(len(students), np.int64)
    names = [f"KT1/u{student}.csv" for student in students]
    return Members("a.zip", True, names, sizes, sizes, zeros, sizes, zeros.astype(np.uint16))


@given(count=st.integers(1, 3000), removed=st.integers(0, 2999), shard_kib=st.sampled_from([64, 256, 1024]))
@settings(max_examples=40, deadline=None)
def test_shards_cover_every_member_once_within_their_size(count, removed, shard_kib):
    students = [student for student in range(count) if student != removed]
    jobs = shard_jobs("kt1", [table(students)], QUESTIONS, shard_kib * 1024)
    covered = [name for job in jobs for name in job.produce.args[1].names]
    assert covered == table(students).names
    assert all(job.weight <= shard_kib * 1024 for job in jobs)


@given(added=st.integers(0, 4000))
@settings(max_examples=25, deadline=None)
def test_one_student_more_changes_few_shards(added):
    students = [student for student in range(4000) if student != added]
    before = {job.key for job in shard_jobs("kt1", [table(students)], QUESTIONS, 256 * 1024)}
    students.insert(min(added, len(students)), added)
    after = {job.key for job in shard_jobs("kt1", [table(students)], QUESTIONS, 256 * 1024)}
    assert len(before) > 60
    assert len(after - before) <= 12
