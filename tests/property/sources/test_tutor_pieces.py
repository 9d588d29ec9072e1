"""A tutor log cut into pieces of any size is the log read in one go, whatever its cells hold."""

from __future__ import annotations

import csv
import io
from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from edpipe.sources.tutor_header import detect_layout
from edpipe.sources.tutor_pieces import Head, cut, cut_quickly, read_bytes
from edpipe.sources.tutor_quotes import regular_cells
from edpipe.sources.tutor_rows import NULLS, TutorFile, read_rows

HEAD = b"x\n"
MESS = st.text(alphabet='ab",\t\n\r', max_size=120).map(str.encode)
# Cells as CSV writers make them, with line ends and quotes inside.
CELLS = st.text(alphabet='ab",\n ', max_size=6)  # the csv module quotes no lone carriage return
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=12)
NAMES = ("Anon Student Id", "Problem Name", "Step Name", "Correct First Attempt", "Hints", "KC(m)")
COLUMNS = (*NAMES, "Opportunity(m)")
WORDS = st.sampled_from(
    ["s1", " s2 ", "NA", "", '"say ""x"""', '5" rule', '"whole"', "a~~b", '"a, b"', "é", "\x00", "''"]
)


def records(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def written(tmp_path_factory, data: bytes):
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_bytes(HEAD + data)
    return path


def check_quoted(path, data: bytes, size: int) -> None:
    pieces = list(cut(path, Head("x", "\n", len(HEAD)), size, separator=",", is_quoted=True))
    parts = [records(read_bytes(path, piece.start, piece.end - piece.start)) for piece in pieces]
    assert [record for part in parts for record in part] == records(data)
    assert all(one.end == other.start for one, other in pairwise(pieces))
    before = 1
    for piece, part in zip(pieces, parts, strict=True):
        assert piece.first_row == before
        before += len(part)


@settings(deadline=None)
@given(data=MESS, size=st.integers(1, 40))
def test_pieces_of_messy_quotes_hold_the_records_of_the_whole(tmp_path_factory, data, size):
    check_quoted(written(tmp_path_factory, data), data, size)


@settings(deadline=None)
@given(table=TABLES, size=st.integers(1, 40), end=st.sampled_from(["\n", "\r\n"]))
def test_pieces_of_written_csv_hold_the_records_of_the_whole(tmp_path_factory, table, size, end):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(table)
    data = text.getvalue().encode()
    assert len(records(data)) == len(table)
    check_quoted(written(tmp_path_factory, data), data, size)


@settings(deadline=None)
@given(data=MESS, size=st.integers(1, 40), newline=st.sampled_from(["\n", "\r"]))
def test_pieces_without_quoting_hold_the_lines_of_the_whole(tmp_path_factory, data, size, newline):
    path = written(tmp_path_factory, data)
    head = Head("x", newline, len(HEAD))
    pieces = list(cut(path, head, size, separator="\t", is_quoted=False))
    assert b"".join(read_bytes(path, piece.start, piece.end - piece.start) for piece in pieces) == data
    assert all(data[: piece.end - len(HEAD)].endswith(newline.encode()) for piece in pieces[:-1])
    for piece in pieces:
        assert piece.first_row == data[: piece.start - len(HEAD)].count(newline.encode()) + 1
    quick = [(piece.start, piece.end) for piece in cut_quickly(path, head, size)]
    assert quick == [(piece.start, piece.end) for piece in pieces]


@settings(deadline=None)
@given(
    table=st.integers(2, 4).flatmap(
        lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=9)
    ),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    is_ended=st.booleans(),
)
def test_the_quick_reader_of_quoted_text_reads_what_the_csv_module_reads(table, end, quoting, is_ended):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows(table)
    data = text.getvalue().removesuffix("" if is_ended else end).encode()
    cells = regular_cells(data, b"\n", ",", len(table[0]))
    assert cells is not None
    assert cells.select(pl.all().fill_null("")).rows() == [tuple(record) for record in records(data)]


@settings(deadline=None)
@given(data=MESS, width=st.integers(1, 4))
def test_the_quick_reader_declines_what_it_could_misread(data, width):
    cells = regular_cells(data, b"\n", ",", width)
    if cells is not None:
        expected = [tuple(record) or ("",) for record in records(data)]
        assert cells.select(pl.all().fill_null("")).rows() == expected


def slow_cell(text: str, *, keeps_nulls: bool = False) -> str | None:
    """Read a cell as documented, one character rule after another."""
    is_quoted = len(text) > 2 and text[0] == text[-1] == '"' and ('""' in text[1:-1] or "," in text)
    if is_quoted and '"' not in text[1:-1].replace('""', ""):
        text = text[1:-1].replace('""', '"')
    text = text.strip()
    return None if text == "" or (text in NULLS and not keeps_nulls) else text


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(
        st.tuples(
            *(WORDS,) * 3,
            st.sampled_from(["0", "1", "", "correct", "maybe"]),
            st.sampled_from(["0", "2", "2.0", "2.5", "-1", "", "x"]),
            *(WORDS,) * 2,
        ),
        max_size=15,
    ),
    short=st.booleans(),
)
def test_rows_are_what_a_slow_reader_makes_of_them(rows, short):
    layout = detect_layout("\t".join(COLUMNS))
    lines = ["\t".join(row) for row in rows] + (["too\tshort"] if short else [])
    file = TutorFile("f", "kddcup", "f", None, layout)
    found, rejects = read_rows("\n".join(lines).encode(), file, newline="\n", first_row=1)
    expected, refused = [], []
    for number, row in enumerate(rows, 1):
        if not "".join(row).strip():
            continue
        student, problem, step = (slow_cell(cell, keeps_nulls=True) for cell in row[:3])
        kc, count = (slow_cell(cell) for cell in row[5:])
        first = {"0": "incorrect", "1": "correct", "correct": "correct", "": None}.get(row[3])
        hints = {"0": 0, "2": 2, "2.0": 2}.get(row[4])
        is_bad = row[3] == "maybe" or row[4] in ("2.5", "-1", "x")
        if is_bad or student is None or (problem is None and step is None):
            refused.append(number)
        else:
            expected.append((number, student, problem, step, first, hints, [kc], [count]))
    names = ("source_row", "student_id", "problem_name", "step_name", "first_attempt", "hints")
    names = (*names, "kc_cells", "opportunity_cells")
    assert found.select(names).rows() == expected
    assert rejects["source_row"].to_list() == refused + [len(rows) + 1] * short
    assert isinstance(found.schema["kc_cells"], pl.List)
