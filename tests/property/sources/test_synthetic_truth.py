"""Invariants of the synthetic students: restriction, identities, calibration, rhythm, heavy tail."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edpipe.sources.synthetic import SyntheticEdNet, write_ednet


def read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {Path(name).stem: archive.read(name) for name in archive.namelist() if name[-1] != "/"}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> SyntheticEdNet:
    return write_ednet(tmp_path_factory.mktemp("synthetic"), num_students=1_500, num_items=500)


def kt4_rows(made: SyntheticEdNet) -> pl.DataFrame:
    frames = [
        pl.read_csv(io.BytesIO(data), infer_schema=False).with_columns(student_id=pl.lit(name))
        for name, data in read(made.paths["kt4"]).items()
    ]
    return pl.concat(frames).with_columns(pl.col("timestamp", "cursor_time").cast(pl.Int64))


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), num_students=st.integers(1, 40), num_items=st.integers(20, 200))
def test_kt3_and_kt2_are_exact_restrictions_of_kt4(
    tmp_path_factory: pytest.TempPathFactory, seed: int, num_students: int, num_items: int
) -> None:
    folder = tmp_path_factory.mktemp("restricted")
    made = write_ednet(folder, num_students=num_students, num_items=num_items, seed=seed)
    kt2, kt3, kt4 = (read(made.paths[level]) for level in ("kt2", "kt3", "kt4"))
    assert kt3.keys() == kt4.keys()
    for student, data in kt4.items():
        # Restricted by hand, line by line: action in column 2, cursor_time the fourth column.
        cells = [line.split(",") for line in data.decode().splitlines()]
        cut = [row[:3] + row[4:] for row in cells[1:] if row[1] in {"enter", "respond", "submit", "quit"}]
        assert [line.split(",") for line in kt3[student].decode().splitlines()[1:]] == cut
        cut = [row for row in cut if row[2][0] in "bq"]
        lines = kt2[student].decode().splitlines()[1:] if student in kt2 else []
        assert [line.split(",") for line in lines] == cut


def test_every_enter_has_its_close(many: SyntheticEdNet) -> None:
    frame = kt4_rows(many).with_columns(kind=pl.col("item_id").str.head(1))
    counts = {
        (action, kind): n for action, kind, n in frame.group_by("action_type", "kind").len().iter_rows()
    }
    assert counts["enter", "b"] == counts["submit", "b"]
    assert counts["enter", "e"] == counts["quit", "e"]
    assert counts["enter", "l"] == counts["quit", "l"]
    assert set(counts) <= {
        *((action, "b") for action in ("enter", "submit", "play_audio", "pause_audio")),
        *((action, "q") for action in ("respond", "erase_choice", "undo_erase_choice")),
        *((action, "e") for action in ("enter", "quit")),
        *((action, "l") for action in ("enter", "quit", "play_video", "pause_video")),
        ("pay", "p"),
        ("refund", "p"),
        ("enroll_coupon", "c"),
    }


def test_contexts_never_nest_and_every_action_is_inside_its_own(many: SyntheticEdNet) -> None:
    bundle_of = dict(many.questions.select("question_id", "bundle_id").iter_rows())
    for data in read(many.paths["kt4"]).values():
        inside, last = "", 0
        for line in data.decode().splitlines()[1:]:
            timestamp, action, item, *_ = line.split(",")
            assert int(timestamp) >= last
            last = int(timestamp)
            if action == "enter":
                assert not inside
                inside = item
            elif action in {"submit", "quit"}:
                assert inside == item
                inside = ""
            elif action in {"pay", "refund", "enroll_coupon"}:
                assert not inside
            elif action.endswith("audio"):
                assert inside[1:] == item[1:]
                assert inside[0] in "be"
            elif action.endswith("video"):
                assert inside == item
            else:
                assert inside == bundle_of[item]
        assert not inside


def test_columns_are_filled_exactly_where_they_are_published(many: SyntheticEdNet) -> None:
    frame = kt4_rows(many)
    media = frame["action_type"].str.contains("audio|video")
    assert (frame["cursor_time"].is_not_null() == media).all()
    assert frame["cursor_time"].min() >= 0
    money = frame["action_type"].is_in(["pay", "refund", "enroll_coupon"])
    assert (frame["source"].is_null() == money).all()
    assert (frame["platform"].is_null() == money).all()
    choosing = frame["action_type"].is_in(["respond", "erase_choice", "undo_erase_choice"])
    assert (frame["user_answer"].is_not_null() == choosing).all()
    assert set(frame.filter(action_type="undo_erase_choice")["platform"]) == {"web"}
    assert frame["timestamp"].min() >= 1_535_328_000_000  # 2018-08-27


def test_coverage_of_kt4_is_as_partial_as_in_the_published_data(many: SyntheticEdNet) -> None:
    assert 0.25 < many.members["kt4"] / many.members["kt1"] < 0.5
    frame = kt4_rows(many)
    bundle_of = many.questions.select("bundle_id", item_id="question_id")
    size = many.questions.group_by("bundle_id").agg(size=pl.len())
    responds = frame.filter(action_type="respond").unique().join(bundle_of, on="item_id")
    responds = responds.join(size, on="bundle_id").unique(["student_id", "timestamp", "item_id"])
    questions = frame.filter(action_type="submit").select("platform", bundle_id="item_id")
    questions = questions.join(size, on="bundle_id")
    several = questions.filter(pl.col("size") > 1, platform="mobile")["size"].sum()
    logged = responds.filter(pl.col("size") > 1, platform="mobile").height
    assert logged / several < 0.55  # a change of mind counts twice here
    single = questions.filter(size=1).height
    assert responds.filter(size=1).height / single > 0.9


def test_true_probabilities_are_calibrated(many: SyntheticEdNet) -> None:
    answered = many.answers.filter("is_answered")
    bins = answered.with_columns(bin=(pl.col("probability") * 10).cast(pl.Int32).clip(0, 9))
    table = bins.group_by("bin").agg(
        pl.len(),
        pl.col("is_correct").mean(),
        pl.col("probability").mean(),
        variance=(pl.col("probability") * (1 - pl.col("probability"))).mean(),
    )
    deviation = (table["is_correct"] - table["probability"]).abs()
    error = (table["variance"] / table["len"]).sqrt()
    assert (deviation < 4.5 * error).all()
    assert 0.6 < answered["is_correct"].mean() < 0.75


def test_students_learn(many: SyntheticEdNet) -> None:
    assert (many.initial_mastery >= 0).all()
    assert (many.final_mastery <= 1).all()
    assert (many.final_mastery >= many.initial_mastery - 1e-6).all()
    busy = many.students["num_answers"].to_numpy() > 500
    assert (many.final_mastery - many.initial_mastery)[busy].mean() > 0.1


def test_answers_a_student_have_a_heavy_tail_and_the_wanted_mean(many: SyntheticEdNet) -> None:
    counts = many.students["num_answers"].to_numpy()
    assert counts.mean() == pytest.approx(121.5, rel=0.05)
    low, middle, high = np.quantile(counts, [0.25, 0.5, 0.75])
    assert 5 < low < 15 < middle < 45 < high < 130
    assert counts.max() > 3_000
    assert counts.min() >= 1


def test_kt1_runs_forward_and_keeps_its_range(many: SyntheticEdNet) -> None:
    for data in read(many.paths["kt1"]).values():
        frame = pl.read_csv(io.BytesIO(data))
        assert frame["timestamp"].is_sorted()
        assert frame["timestamp"].is_between(1_492_000_000_000, 1_576_000_000_000).all()
        assert frame["solving_id"].is_sorted()
        assert frame["solving_id"][0] == 1
        assert frame["solving_id"].diff().max() in {None, 0, 1}


def test_days_and_weeks_have_a_rhythm(many: SyntheticEdNet) -> None:
    times = pl.concat(
        [pl.read_csv(io.BytesIO(data), columns=["timestamp"]) for data in read(many.paths["kt1"]).values()]
    ).select(pl.from_epoch("timestamp", time_unit="ms"))
    hours = times["timestamp"].dt.hour().value_counts().sort("timestamp")["count"].to_numpy()
    assert hours[12:15].mean() > 2 * hours[18:22].mean()
    days = times["timestamp"].dt.weekday().value_counts().sort("timestamp")["count"].to_numpy()
    assert days[:5].mean() > 1.2 * days[5:].mean()
