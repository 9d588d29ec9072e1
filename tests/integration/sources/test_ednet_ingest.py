"""EdNet from archive to raw Parquet: whole, in parts, interrupted, damaged, selected."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile

import pytest
from ednet_archives import QUESTIONS, expected_rows, landed, make_kt1
from ingest_processes import processes_of_group, wait_until

from edpipe.errors import SettingsError, SourceError
from edpipe.raw import read_manifest, relation_dir
from edpipe.settings import load_settings
from edpipe.sources.ednet import NUM_STUDENTS, ingest_ednet
from edpipe.sources.subset import student_hash

pytestmark = pytest.mark.integration


def with_shards_of_one_mib(settings, **more):
    return settings.model_copy(update={"ingest": settings.ingest.model_copy(update={"shard_mib": 1, **more})})


def test_archive_lands_row_for_row_and_a_second_run_does_nothing(settings, tmp_path):
    texts = make_kt1(tmp_path / "in", 300)
    report = ingest_ednet([tmp_path / "in"], settings)
    assert landed(settings.raw_dir, "kt1").rows() == expected_rows(texts)
    assert [result.relation for result in report.relations] == ["questions", "kt1"]
    manifest = read_manifest(settings.raw_dir, "ednet", "kt1")
    assert (manifest.release, manifest.licence) == ("KT1 2019-12-24", "CC BY-NC 4.0")
    assert manifest.inputs[0].num_members == 300
    assert len(manifest.inputs[0].sha256) == 64
    again = ingest_ednet([tmp_path / "in"], settings)
    assert again.shards_written == 0
    assert read_manifest(settings.raw_dir, "ednet", "kt1") == manifest


def test_zip_folder_and_two_processes_give_the_same_rows(settings, tmp_path):
    texts = make_kt1(tmp_path / "in", 1_000, mean_rows=700)
    expected = expected_rows(texts)
    settings = with_shards_of_one_mib(settings, workers=2)
    report = ingest_ednet([tmp_path / "in"], settings)
    assert report.shards_written > 15
    assert landed(settings.raw_dir, "kt1").rows() == expected
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "in" / "EdNet-KT1.zip") as archive:
        archive.extractall(unpacked)
    ingest_ednet([unpacked], settings)  # the questions are known from before
    assert sorted(landed(settings.raw_dir, "kt1").rows()) == sorted(expected)


def test_changed_archive_redoes_only_what_changed(settings, tmp_path):
    texts = make_kt1(tmp_path / "in", 1_500, mean_rows=200)
    settings = with_shards_of_one_mib(settings, workers=1)
    first = ingest_ednet([tmp_path / "in"], settings)
    with zipfile.ZipFile(tmp_path / "in" / "EdNet-KT1.zip", "a") as archive:
        texts["KT1/u9001.csv"] = texts["KT1/u1.csv"]
        archive.writestr("KT1/u9001.csv", texts["KT1/u9001.csv"])
    second = ingest_ednet([tmp_path / "in"], settings)
    assert first.shards_written > 5
    assert second.shards_written <= 2
    assert landed(settings.raw_dir, "kt1").rows() == expected_rows(texts)


RUN = """
import signal, sys
from pathlib import Path
from edpipe.settings import load_settings
from edpipe.sources.ednet import ingest_ednet
if __name__ == "__main__":
    # A shell that runs the tests in the background ignores SIGINT, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = load_settings(
        "smoke", home=Path(sys.argv[2]), progress="none", ingest={"workers": 2, "shard_mib": 1}
    )
    ingest_ednet([Path(sys.argv[1])], settings)
"""


@pytest.mark.parametrize(("sent", "shards_first"), [("SIGKILL", 1), ("SIGKILL", 6), ("SIGINT", 3)])
def test_stopped_run_goes_on_and_equals_an_unbroken_one(settings, tmp_path, sent, shards_first):
    texts = make_kt1(tmp_path / "in", 1_000, mean_rows=700)
    script = tmp_path / "run.py"
    script.write_text(RUN)
    settings = load_settings(
        "smoke", home=settings.home, progress="none", ingest={"workers": 2, "shard_mib": 1}
    )
    folder = relation_dir(settings.raw_dir, "ednet", "kt1")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(tmp_path / "in"), str(settings.home)]
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: len(list(folder.glob("shard-*.parquet"))) >= shards_first)
        os.killpg(process.pid, signal.SIGINT) if sent == "SIGINT" else process.kill()
        _, shown = process.communicate()
        # Its workers see that it is gone and end too.
        wait_until(lambda: processes_of_group(process.pid) == 0)
    finally:
        if process.poll() is None:
            process.kill()
    assert sent == "SIGKILL" or "the same command goes on from here" in shown
    assert read_manifest(settings.raw_dir, "ednet", "kt1") is None
    report = ingest_ednet([tmp_path / "in"], settings)
    [kt1] = [result for result in report.relations if result.relation == "kt1"]
    assert kt1.shards_reused >= shards_first
    assert kt1.shards_written > 0
    assert landed(settings.raw_dir, "kt1").rows() == expected_rows(texts)
    assert not list(folder.glob("*.tmp"))


def test_bad_rows_are_rejected_and_too_many_fail(settings, tmp_path):
    texts = make_kt1(tmp_path / "in", 100)
    texts["KT1/u101.csv"] = texts["KT1/u1.csv"] + "x,1,q1,a,5\n"
    texts["KT1/u102.csv"] = texts["KT1/u1.csv"] + "15,1,q999,a,5\n"
    with zipfile.ZipFile(tmp_path / "in" / "EdNet-KT1.zip", "a") as archive:
        for name in ("KT1/u101.csv", "KT1/u102.csv"):
            archive.writestr(name, texts[name])
    with pytest.raises(SourceError, match="Too many rows") as caught:
        ingest_ednet([tmp_path / "in"], settings, max_rejects=0.0001)
    assert caught.value.exit_code == 3
    assert read_manifest(settings.raw_dir, "ednet", "kt1") is None
    report = ingest_ednet([tmp_path / "in"], settings, max_rejects=0.01)
    assert report.rejected_rows == 2
    rejects = landed(settings.raw_dir, "kt1", rejects=True)
    last = len(texts["KT1/u1.csv"].splitlines())
    assert rejects.rows() == [
        ("ednet", "kt1", "EdNet-KT1.zip/KT1/u101.csv", last, "bad number", "x,1,q1,a,5"),
        ("ednet", "kt1", "EdNet-KT1.zip/KT1/u102.csv", last, "unknown question", "15,1,q999,a,5"),
    ]


def test_dangerous_archive_writes_nothing(settings, tmp_path):
    make_kt1(tmp_path / "in", 10)
    with zipfile.ZipFile(tmp_path / "in" / "EdNet-KT2.zip", "w") as archive:
        archive.writestr("../u1.csv", "x")
    with pytest.raises(SourceError, match="outside the archive"):
        ingest_ednet([tmp_path / "in"], settings)
    assert not settings.home.exists()


def test_missing_contents_are_named(settings, tmp_path):
    make_kt1(tmp_path / "in", 10)
    with pytest.raises(SourceError, match=r"EdNet-Contents.*github.com/riiid/ednet"):
        ingest_ednet([tmp_path / "in" / "EdNet-KT1.zip"], settings)
    assert not settings.home.exists()
    (tmp_path / "contents").mkdir()
    (tmp_path / "contents" / "questions.csv").write_text(QUESTIONS)
    ingest_ednet([tmp_path / "contents"], settings)
    assert ingest_ednet([tmp_path / "in" / "EdNet-KT1.zip"], settings).rows > 0


def test_dry_run_writes_nothing(settings, tmp_path):
    make_kt1(tmp_path / "in", 10)
    report = ingest_ednet([tmp_path / "in"], settings, dry_run=True)
    assert report.dry_run
    assert report.shards_written == 2
    assert not settings.home.exists()


def test_subset_depends_on_the_student_alone(settings, tmp_path):
    texts = make_kt1(tmp_path / "in", 400)
    ingest_ednet([tmp_path / "in"], settings, fraction=0.25)
    chosen = set(landed(settings.raw_dir, "kt1")["student_id"])
    ids = [f"u{index}" for index in range(1, 401)]
    assert chosen == {name for name, value in zip(ids, student_hash(ids), strict=True) if value < 0.25}
    manifest = read_manifest(settings.raw_dir, "ednet", "kt1")
    assert manifest.excluded_members == 400 - len(chosen)
    assert "0.25" in manifest.selection
    kept = {name: text for name, text in texts.items() if name[4:-4] in chosen}
    assert landed(settings.raw_dir, "kt1").rows() == expected_rows(kept)


def test_number_of_students_is_a_share_of_all_students(settings, tmp_path):
    make_kt1(tmp_path / "in", 400)
    report = ingest_ednet([tmp_path / "in"], settings, students=NUM_STUDENTS // 2)
    by_share = landed(settings.raw_dir, "kt1")
    assert "of 400 students present were selected" in report.relations[-1].notes[0]
    ingest_ednet([tmp_path / "in"], settings, fraction=(NUM_STUDENTS // 2) / NUM_STUDENTS)
    assert landed(settings.raw_dir, "kt1").equals(by_share)


@pytest.mark.parametrize(
    "subset", [{"students": 0}, {"fraction": 0.0}, {"fraction": 1.5}, {"students": 5, "fraction": 0.5}]
)
def test_impossible_subset_is_refused(settings, tmp_path, subset):
    make_kt1(tmp_path / "in", 3)
    with pytest.raises(SettingsError):
        ingest_ednet([tmp_path / "in"], settings, **subset)


def test_subset_of_nobody_is_refused(settings, tmp_path):
    make_kt1(tmp_path / "in", 3)
    with pytest.raises(SettingsError, match="leaves no student"):
        ingest_ednet([tmp_path / "in"], settings, students=1)


def test_real_sample_lands_whole(settings, real_data):
    report = ingest_ednet([real_data / "education" / "ednet"], settings)
    rows = {result.relation: (result.rows, result.rejected_rows) for result in report.relations}
    assert rows == {
        "questions": (13_169, 0),
        "lectures": (1_021, 0),
        "payments": (190, 0),
        "coupons": (91, 0),
        "kt1": (32_784, 0),
        "kt4": (5_134, 0),
    }
    kt1 = landed(settings.raw_dir, "kt1")
    texts = {
        f"KT1/{path.name}": path.read_text()
        for path in sorted((real_data / "education" / "ednet" / "KT1").glob("u*.csv"))
    }
    assert kt1.rows() == expected_rows(texts)
    assert set(landed(settings.raw_dir, "kt4")["student_id"]) == {"u1", "u3", "u5", "u6", "u8", "u10"}
