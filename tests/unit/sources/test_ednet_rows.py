"""Which rows are refused, why, and what is tolerated."""

from __future__ import annotations

import polars as pl
import pytest

from edpipe.sources.archive import BAD_CRC, TRUNCATED, MemberText
from edpipe.sources.ednet_formats import FORMATS
from edpipe.sources.ednet_rows import parse_members

QUESTIONS = pl.Series(["q1", "q2"])
KT1 = b"timestamp,solving_id,question_id,user_answer,elapsed_time\n"
KT4 = b"timestamp,action_type,item_id,cursor_time,source,user_answer,platform\n"
GOOD = b"1500000000000,1,q1,a,3000"
READ = ("u7", 1_500_000_000_000, 1, "q1", "a", 3000)


def parse(*texts: bytes, level: str = "kt1", problem: str = ""):
    members = [MemberText(f"KT1/u{7 + index}.csv", text, problem) for index, text in enumerate(texts)]
    parsed = parse_members(members, FORMATS[level], QUESTIONS)
    rows = [row for frame in parsed.frames for row in frame.rows()]
    return rows, [(refused.source_row, refused.reason, refused.raw_text) for refused in parsed.refused]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"abc,1,q1,a,3000", "bad number"),
        (b",1,q1,a,3000", "bad number"),
        (b"1.5,1,q1,a,3000", "bad number"),
        (b" 15,1,q1,a,3000", "bad number"),
        (b"+15,1,q1,a,3000", "bad number"),
        (b"15,1,q1,a,", "bad number"),
        (b"15,3000000000,q1,a,3000", "bad number"),
        (b"99999999999999999999,1,q1,a,3000", "bad number"),
        (b"15,1,q1,a", "wrong column count"),
        (b"15,1,q1,a,3000,9", "wrong column count"),
        (b"", "wrong column count"),
        (b"15,1,q9,a,3000", "unknown question"),
        (b"15,1,,a,3000", "unknown question"),
        (b"15,1,q1,\xff,3000", "broken encoding"),
    ],
)
def test_bad_row_is_refused_alone_and_counted(line, reason):
    rows, refused = parse(KT1 + GOOD + b"\n" + line + b"\n" + GOOD + b"\n", KT1 + GOOD + b"\n")
    assert [(row[0], row[1]) for row in rows] == [("u7", 1), ("u7", 3), ("u8", 1)]
    assert refused == [(2, reason, line.decode(errors="backslashreplace"))]


@pytest.mark.parametrize(
    "text",
    [
        KT1 + GOOD + b"\n",
        KT1 + GOOD,
        b"\xef\xbb\xbf" + KT1 + GOOD + b"\n",
        (KT1 + GOOD + b"\n").replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + (KT1 + GOOD).replace(b"\n", b"\r\n"),
        KT1 + GOOD + b"\n\n\n",
        b"elapsed_time,user_answer,question_id,solving_id,timestamp\n3000,a,q1,1,1500000000000\n",
    ],
    ids=["published", "no final newline", "mark", "CRLF", "mark and CRLF", "blank end", "column order"],
)
def test_harmless_differences_are_tolerated(text):
    rows, refused = parse(text)
    assert rows == [("u7", 1, *READ[1:])]
    assert refused == []


def test_empty_answer_is_null_and_kept():
    rows, refused = parse(KT1 + b"15,1,q1,,3000\n")
    assert rows == [("u7", 1, 15, 1, "q1", None, 3000)]
    assert refused == []


@pytest.mark.parametrize("text", [KT1, KT1.rstrip(b"\n"), KT1 + b"\n"])
def test_file_without_rows_gives_no_rows(text):
    assert parse(text) == ([], [])


@pytest.mark.parametrize("text", [b"", b"some,other,columns\n", b"\x89PNG"])
def test_unknown_header_refuses_the_file(text):
    rows, refused = parse(text, KT1 + GOOD + b"\n")
    assert [row[0] for row in rows] == ["u8"]
    assert refused == [(0, "unknown header", "")]


@pytest.mark.parametrize("problem", [TRUNCATED, BAD_CRC])
def test_no_row_of_a_damaged_member_is_trusted(problem):
    rows, refused = parse(KT1 + GOOD + b"\n" + GOOD[:9], problem=problem)
    assert rows == []
    assert refused == [(1, problem, GOOD.decode()), (2, problem, GOOD[:9].decode())]


def test_member_that_cannot_be_read_at_all_is_one_refusal():
    assert parse(b"", problem=TRUNCATED) == ([], [(0, TRUNCATED, "")])


def test_actions_keep_unknown_words_and_check_only_questions():
    lines = [
        b"15,enter,b1,,sprint,,mobile",
        b"16,respond,q1,,a_new_source,a,mobile",
        b"17,play_audio,b1,250,sprint,,web",
        b"18,a_new_action,-1,,,,",
        b"19,respond,q9,,sprint,a,mobile",
        b"20,,b1,,sprint,,mobile",
        b"21,play_audio,b1,2.5,sprint,,web",
        b"22,quit,e1,,sprint,,",
    ]
    rows, refused = parse(KT4 + b"\n".join(lines), level="kt4")
    assert [row[1] for row in rows] == [1, 2, 3, 4, 8]
    assert rows[2][2:] == (17, "play_audio", "b1", 250, "sprint", None, "web")
    assert [(number, reason) for number, reason, _ in refused] == [
        (5, "unknown question"),
        (6, "missing value"),
        (7, "bad number"),
    ]


def test_too_few_and_too_many_columns_do_not_make_up_for_each_other():
    rows, refused = parse(KT4 + b"15,enter,b1,,sprint,\n16,enter,b1,,sprint,,mobile,\n", level="kt4")
    assert rows == []
    assert [reason for _, reason, _ in refused] == ["wrong column count"] * 2
