"""The synthetic archives have the published form, byte for byte."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edpipe.errors import SettingsError, SourceError
from edpipe.sources.synthetic import SyntheticEdNet, write_ednet
from edpipe.sources.synthetic.archives import ArchiveWriter

HEADERS = {
    "kt1": "timestamp,solving_id,question_id,user_answer,elapsed_time",
    "kt2": "timestamp,action_type,item_id,source,user_answer,platform",
    "kt3": "timestamp,action_type,item_id,source,user_answer,platform",
    "kt4": "timestamp,action_type,item_id,cursor_time,source,user_answer,platform",
}
CONTENTS_HEADERS = {
    "questions": "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at",
    "lectures": "lecture_id,part,tags,video_length,deployed_at",
    "payments": "payment_item_id,type,duaration,number_of_questions",
    "coupons": "coupon_id,coupon_type,duration",
}
LINE = {
    "kt1": r"\d{13},[1-9]\d*,q[1-9]\d*,[abcd]?,\d+",
    "kt4": r"\d{13},[a-z_]+,[bqelpc][1-9]\d*,\d*,[a-z_]*,[abcd]?,(mobile|web)?",
}


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def table(path: Path) -> pl.DataFrame:
    """Read every student of one archive with Polars' own reader, as an oracle."""
    frames = [
        pl.read_csv(io.BytesIO(data), infer_schema=False).with_columns(
            student_id=pl.lit(Path(name).stem), row=pl.int_range(1, pl.len() + 1)
        )
        for name, data in members(path).items()
        if not name.endswith("/")
    ]
    return pl.concat(frames)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SyntheticEdNet:
    return write_ednet(tmp_path_factory.mktemp("synthetic"), num_students=60, num_items=300)


@pytest.mark.parametrize("level", HEADERS)
def test_members_are_plain_csv_below_a_directory_entry(small: SyntheticEdNet, level: str) -> None:
    files = members(small.paths[level])
    names = list(files)
    assert names[0] == f"{level.upper()}/"
    for name in names[1:]:
        assert re.fullmatch(rf"{level.upper()}/u[1-9]\d*\.csv", name)
        text = files[name].decode("ascii")
        assert text.startswith(HEADERS[level] + "\n")
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert "\r" not in text
        assert '"' not in text


@pytest.mark.parametrize("level", LINE)
def test_rows_look_as_published(small: SyntheticEdNet, level: str) -> None:
    for name, data in members(small.paths[level]).items():
        if not name.endswith("/"):
            for line in data.decode().splitlines()[1:]:
                assert re.fullmatch(LINE[level], line), line


def test_contents_have_the_four_tables_and_the_published_header(small: SyntheticEdNet) -> None:
    files = members(small.paths["contents"])
    assert set(files) == {"contents/", *(f"contents/{name}.csv" for name in CONTENTS_HEADERS)}
    for name, header in CONTENTS_HEADERS.items():
        assert files[f"contents/{name}.csv"].decode().startswith(header + "\n")


def test_headers_equal_those_of_the_real_files(small: SyntheticEdNet, real_data: Path) -> None:
    real = real_data / "education" / "ednet"
    for name in CONTENTS_HEADERS:
        ours = members(small.paths["contents"])[f"contents/{name}.csv"].split(b"\n")[0]
        assert ours == (real / "contents" / f"{name}.csv").read_bytes().split(b"\n")[0]
    for level in ("kt1", "kt4"):
        ours = list(members(small.paths[level]).values())[1].split(b"\n")[0]
        assert ours == (real / level.upper() / "u1.csv").read_bytes().split(b"\n")[0]


def test_questions_follow_the_rules_of_the_published_table(small: SyntheticEdNet) -> None:
    raw = members(small.paths["contents"])["contents/questions.csv"]
    questions = pl.read_csv(io.BytesIO(raw))
    assert questions.height == 300
    assert questions["question_id"].is_unique().all()
    assert set(questions["part"]) == set(range(1, 8))
    assert set(questions.filter(part=2)["correct_answer"]) <= set("abc")
    assert (questions["bundle_id"].str.slice(1) == questions["explanation_id"].str.slice(1)).all()
    assert questions.group_by("bundle_id").agg(pl.col("part").n_unique())["part"].max() == 1
    largest = questions.group_by("bundle_id", "part").len().group_by("part").agg(pl.col("len").max())
    assert dict(largest.iter_rows()) == {1: 1, 2: 1, 3: 3, 4: 3, 5: 1, 6: 4, 7: 5}
    numbers = questions["question_id"].str.slice(1).cast(pl.Int64)
    assert numbers.is_sorted()
    assert numbers.max() > questions.height  # holes
    assert questions["tags"].str.contains(r"^(-1|\d+(;\d+)*)$").all()
    assert (questions["tags"] == "-1").any()
    tags = questions["tags"].str.split(";")
    assert (tags.list.len() > tags.list.n_unique()).any()
    assert (questions["deployed_at"] == -1).any()


def test_odd_rows_of_the_other_contents_are_there(small: SyntheticEdNet) -> None:
    files = members(small.paths["contents"])
    lectures = pl.read_csv(io.BytesIO(files["contents/lectures.csv"]))
    assert {-1} < set(lectures["part"])
    assert (
        lectures.filter(part=-1).select(pl.col("tags", "video_length", "deployed_at") == -1).to_numpy().all()
    )
    payments = pl.read_csv(io.BytesIO(files["contents/payments.csv"]))
    assert payments.height == 190
    assert payments.filter(type="-1").height == 14
    assert payments.filter(type="paygo")["number_of_questions"].to_list() == [2_000, 4_000, 4_000]
    assert members(small.paths["contents"])["contents/coupons.csv"].count(b"\n") == 92


def test_truth_is_aligned_with_kt1(small: SyntheticEdNet) -> None:
    kt1 = table(small.paths["kt1"]).join(small.questions, on="question_id", how="left")
    truth = small.answers
    assert kt1["student_id"].to_list() == truth["student_id"].to_list()
    assert kt1["row"].to_list() == truth["source_row"].to_list()
    assert kt1["question_id"].to_list() == truth["question_id"].to_list()
    answered = kt1["user_answer"].is_not_null() & (kt1["user_answer"] != "")
    assert (answered == truth["is_answered"]).all()
    correct = (kt1["user_answer"] == kt1["correct_answer"]).fill_null(value=False)
    assert (correct == truth["is_correct"]).all()
    assert kt1.filter(part=2)["user_answer"].is_in(["a", "b", "c", "", None]).all()


def test_counts_of_the_truth_are_those_of_the_archives(small: SyntheticEdNet) -> None:
    for level in HEADERS:
        frame = table(small.paths[level])
        assert frame.height == small.rows[level]
        assert frame["student_id"].n_unique() == small.members[level]
        if level != "kt1":
            repeated = frame.drop("row")
            assert frame.height - repeated.unique().height == small.duplicates[level]
    kt1 = table(small.paths["kt1"]).with_columns(pl.col("elapsed_time").cast(pl.Int64))
    assert kt1.filter(elapsed_time=0).height == small.num_zero_elapsed > 0
    assert kt1["user_answer"].null_count() == small.num_unanswered > 0
    assert small.answers["is_repeat"].sum() == small.num_repeats > 0


def test_one_bundle_shares_its_elapsed_time_in_whole_seconds(small: SyntheticEdNet) -> None:
    kt1 = table(small.paths["kt1"]).join(small.questions, on="question_id", how="left")
    size = small.questions.group_by("bundle_id").agg(size=pl.len())
    kt1 = kt1.join(size, on="bundle_id").with_columns(pl.col("elapsed_time").cast(pl.Int64))
    # Truncated division loses less than a ms a question, so the total is a whole second within that.
    rest = (-kt1["elapsed_time"] * kt1["size"]) % 1_000
    assert (rest < kt1["size"]).all()


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    def digests(name: str, seed: int, levels: tuple[str, ...]) -> dict[str, str]:
        made = write_ednet(tmp_path / name, num_students=12, num_items=40, seed=seed, levels=levels)
        return {level: hashlib.sha256(path.read_bytes()).hexdigest() for level, path in made.paths.items()}

    everything = digests("a", 7, ("kt1", "kt2", "kt3", "kt4"))
    assert digests("b", 7, ("kt1", "kt2", "kt3", "kt4")) == everything
    # A level does not depend on which others are written.
    assert digests("c", 7, ("kt1",)).items() <= everything.items()
    assert digests("d", 7, ("kt3",)).items() <= everything.items()
    assert digests("e", 8, ("kt1",))["kt1"] != everything["kt1"]


def test_folders_hold_what_the_zips_hold(tmp_path: Path) -> None:
    zipped = write_ednet(tmp_path / "zip", num_students=5, num_items=30)
    folders = write_ednet(tmp_path / "folder", num_students=5, num_items=30, layout="folder")
    for level in zipped.paths:
        files = {name: data for name, data in members(zipped.paths[level]).items() if name[-1] != "/"}
        unpacked = {
            path.relative_to(folders.folder).as_posix(): path.read_bytes()
            for path in folders.paths[level].iterdir()
        }
        assert unpacked == files


def test_an_interrupted_zip_leaves_the_earlier_one(tmp_path: Path) -> None:
    def stop() -> None:
        with ArchiveWriter(tmp_path / "a.zip", "KT1", "zip") as writer:
            writer.add("u2.csv", b"")
            raise KeyboardInterrupt

    with ArchiveWriter(tmp_path / "a.zip", "KT1", "zip") as writer:
        writer.add("u1.csv", b"")
    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list(members(tmp_path / "a.zip")) == ["KT1/", "KT1/u1.csv"]
    assert list(tmp_path.iterdir()) == [tmp_path / "a.zip"]


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    write_ednet(tmp_path, num_students=2, num_items=20, layout="folder", levels=("kt1",))
    with pytest.raises(SourceError, match="already holds files"):
        write_ednet(tmp_path, num_students=1, num_items=20, layout="folder", levels=("kt1",))


def test_a_smaller_archive_can_go_without_truth(tmp_path: Path) -> None:
    made = write_ednet(tmp_path, num_students=3, num_items=20, keep_truth=False, levels=("kt1",))
    assert made.answers.is_empty()
    assert made.final_mastery.shape[0] == 0
    assert made.rows["kt1"] > 0


def test_saved_truth_can_be_read_back(small: SyntheticEdNet, tmp_path: Path) -> None:
    small.save(tmp_path)
    mastery = pl.read_parquet(tmp_path / "mastery.parquet")
    assert mastery.height == 60 * len(small.kc_ids)
    one = mastery.filter(student_id=small.students["student_id"][5], kc_id=small.kc_ids[3])
    assert one["final_mastery"].item() == np.float32(small.final_mastery[5, 3])
    assert pl.read_parquet(tmp_path / "answers.parquet").equals(small.answers)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_students": 0, "num_items": 30},
        {"num_students": 3, "num_items": 19},
        {"num_students": 3, "num_items": 30, "levels": ("kt5",)},
        {"num_students": 3, "num_items": 30, "unanswered_share": 1.0},
        {"num_students": 3, "num_items": 30, "interactions_per_student": 0.5},
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_written(tmp_path: Path, arguments: dict) -> None:
    with pytest.raises(SettingsError):
        write_ednet(tmp_path / "none", **arguments)
    assert not (tmp_path / "none").exists()
